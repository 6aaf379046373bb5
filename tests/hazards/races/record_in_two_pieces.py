# tasks: a=work, b=work
LOG = open("/dev/null", "a")


def work(name):
    LOG.write(f"{name}: ")
    LOG.write("done\n")  # here
