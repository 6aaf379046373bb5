# tasks: full=change, quick=change
# never: quick
STATE = {"changes": 0}


def change():
    STATE["changes"] = STATE["changes"] + 1
