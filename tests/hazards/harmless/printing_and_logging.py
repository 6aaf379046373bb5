# tasks: a=work, b=work
import logging
import sys

log = logging.getLogger(__name__)


def work(n):
    print("n is", n)
    sys.stdout.write("done\n")
    sys.stdout.flush()
    log.info("n is %s", n)
