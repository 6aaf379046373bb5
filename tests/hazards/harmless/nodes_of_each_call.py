# tasks: a=w, b=w
class Node:
    count = 0

    def __init__(self, v):
        self.v, self.next = v, None

    def add(self, n):
        self.next = n
        return self


def w(vs):
    head = None
    for v in vs:
        n = Node(v)
        n.next = head
        head = n
    return head.v
