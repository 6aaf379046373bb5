# tasks: a=work, b=work
import logging


def work(name):
    handler = logging.FileHandler(f"/tmp/{name}.log")
    logging.getLogger().addHandler(handler)  # here
    logging.info("at work")
