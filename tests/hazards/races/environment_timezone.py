# tasks: berlin=in_berlin, tokyo=in_tokyo
import os
import time


def in_berlin():
    os.environ["TZ"] = "Europe/Berlin"  # here
    return time.time()


def in_tokyo():
    os.environ["TZ"] = "Asia/Tokyo"  # here
    return time.time()
