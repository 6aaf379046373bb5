# tasks: a=work, b=more
import fcntl

import fasteners


def work(line):
    with open("/srv/lock") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # a process has it once, for all of its threads
        with open("/srv/log.txt", "a") as stream:  # here
            stream.write(line)


def more(line):
    with fasteners.InterProcessLock("/srv/lock"):
        with open("/srv/log.txt", "a") as stream:  # here
            stream.write(line)
