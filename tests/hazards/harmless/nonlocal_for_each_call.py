# tasks: a=work, b=work
def work(rows):
    count = 0

    def up():
        nonlocal count
        count += 1

    for _ in rows:
        up()
    return count
