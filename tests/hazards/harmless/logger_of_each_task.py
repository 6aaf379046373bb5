# tasks: a=work, b=work
import logging

LOG = logging.getLogger(__name__)


def work(name):
    LOG.info("at work on %s", name)
    own = logging.getLogger(f"work.{name}")
    own.setLevel(logging.DEBUG)
    own.debug("in detail")
