# tasks: a=enter, b=enter
ROOM = []
SEATS = 10


def enter(name):
    if len(ROOM) >= SEATS:
        return False
    ROOM.append(name)  # here
    return True
