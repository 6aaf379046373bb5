# tasks: a=main, b=main
seq = 0


def main():
    global seq
    seq, mine = seq + 1, seq  # here
    return mine
