# tasks: a=save, b=save
def _open(path, mode):
    return open(path, mode)  # here


def save(rows, *, mode="w"):
    with _open("/srv/out.csv", mode) as stream:
        stream.writelines(rows)
