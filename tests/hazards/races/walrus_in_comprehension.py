# tasks: a=work, b=work
N = 0


def work(rows):
    global N
    return [N := N + row for row in rows]  # here
