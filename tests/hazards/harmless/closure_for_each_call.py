# tasks: a=work, b=work
def work(rows):
    seen = {}

    def note(row):
        nonlocal_count[0] += 1
        seen[row] = seen.get(row, 0) + 1

    nonlocal_count = [0]
    for row in rows:
        note(row)
    return seen
