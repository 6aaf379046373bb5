# tasks: a=work, b=work
POOL = [object(), object(), object()]


def work():
    try:
        connection = POOL.pop()
    except IndexError:
        connection = object()
    try:
        return str(id(connection))
    finally:
        POOL.append(connection)
