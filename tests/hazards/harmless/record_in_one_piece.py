# tasks: a=work, b=work
LOG = open("/dev/null", "a")


def work(name):
    if name:
        LOG.write(f"{name}: done\n")
    else:
        LOG.write("nobody: done\n")
    with open(f"/tmp/{name!r}", "w") as own:
        own.write(name)
        own.write("\n")
