# tasks: a=count_rows, b=count_words
TOTAL = 0


def count_rows(rows):
    global TOTAL
    for _ in range(rows):
        TOTAL += 1  # here


def count_words(text):
    global TOTAL
    TOTAL += len(text.split())  # here
