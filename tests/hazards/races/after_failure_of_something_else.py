# tasks: ship=ship, mend=mend, build=build, test=build
# needs: ship->build mend->test
# run when: mend=failed
STATE = {"changes": 0}


def change():
    STATE["changes"] = STATE["changes"] + 1  # here


def build():
    return "built"


def ship():
    change()


def mend():
    change()
