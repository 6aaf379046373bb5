# tasks: a=quick, b=slow
import time


def pause():
    time.sleep(0.1)  # here


def quick():
    kept = time.sleep
    time.sleep = print  # here
    try:
        pause()
    finally:
        time.sleep = kept


def slow():
    pause()
