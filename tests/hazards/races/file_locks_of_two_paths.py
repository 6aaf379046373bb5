# tasks: a=work, b=more
import filelock


def work(line):
    with filelock.FileLock("one.lock"):
        with open("/srv/log.txt", "a") as stream:  # here
            stream.write(line)


def more(line):
    with filelock.FileLock("two.lock"):
        with open("/srv/log.txt", "a") as stream:  # here
            stream.write(line)
