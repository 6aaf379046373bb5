# tasks: a=failed, b=failed
STATS = {"load": {"errors": 0, "rows": 0}}


def failed():
    entry = STATS["load"]
    entry["errors"] += 1  # here
