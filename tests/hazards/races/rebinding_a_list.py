# tasks: cleaner=drop_old, adder=add
EVENTS = []


def drop_old(limit):
    global EVENTS
    EVENTS = [event for event in EVENTS if event > limit]  # here


def add(event):
    EVENTS.append(event)  # here
