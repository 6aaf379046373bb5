# tasks: a=work, b=work
def work(row, skip={"", "-"}, order=["a", "b"]):
    return [row.get(key) for key in order if row.get(key) not in skip]
