# tasks: ship=change, mend=change, pack=pack, build=pack
# needs: ship->pack pack->build mend->build
# run when: mend=failed
STATE = {"changes": 0}


def change():
    STATE["changes"] = STATE["changes"] + 1


def pack():
    return "packed"
