# tasks: a=hit, b=hit
HITS = 0


def hit():
    global HITS
    HITS += 1  # orch: shared
