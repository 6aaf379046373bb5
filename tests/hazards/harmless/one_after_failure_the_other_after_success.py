# tasks: ship=ship, mend=mend, build=build
# needs: ship->build mend->build
# run when: mend=failed
STATE = {"changes": 0}


def change():
    STATE["changes"] = STATE["changes"] + 1


def build():
    change()


def ship():
    change()


def mend():
    change()
