# tasks: a=work, b=work, c=more
import filelock
import portalocker

LOCK = filelock.FileLock("other.lock")


def work(line):
    with filelock.FileLock("log.lock"):
        with open("/srv/log.txt", "a") as stream:
            stream.write(line)
    with portalocker.Lock("third.lock", timeout=3):
        open("/srv/third.txt", "w").close()


def more(line):
    with filelock.FileLock("./log.lock", timeout=3):
        with open("/srv/log.txt", "a") as stream:
            stream.write(line)
    with LOCK.acquire():
        open("/srv/other.txt", "w").close()
    with portalocker.Lock("third.lock", timeout=3) as _:
        open("/srv/third.txt", "w").close()
