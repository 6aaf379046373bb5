# tasks: a=make, b=make
class Ticket:
    issued = 0

    def __init__(self, owner):
        self.owner = owner
        Ticket.issued += 1  # here


def make(owner):
    return Ticket(owner).owner
