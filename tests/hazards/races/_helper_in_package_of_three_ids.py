last = 0


def next_id():
    global last
    last = last + 1  # here
    return last
