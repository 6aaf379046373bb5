# tasks: a=work, b=work
import logging

LOG = logging.getLogger(__name__)


def work(name):
    LOG.setLevel(logging.DEBUG)  # here
    LOG.debug("at work on %s", name)
