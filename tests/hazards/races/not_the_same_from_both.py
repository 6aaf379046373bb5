# tasks: a=fast, b=slow
SPEED = {"now": None}


def fast():
    SPEED["now"] = "fast"  # here


def slow():
    SPEED["now"] = "slow"  # here
