# tasks: a=poll, b=stop
RUNNING = {"yes": True}


def poll():
    return (
        RUNNING["yes"]  # orch: shared
    )


def stop():
    RUNNING["yes"] = False
