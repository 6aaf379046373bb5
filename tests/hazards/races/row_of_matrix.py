# tasks: a=w, b=w
matrix = [[0] * 3 for _ in range(3)]


def w(i, j):
    matrix[i][j] += 1  # here
