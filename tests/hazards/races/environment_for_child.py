# tasks: a=run_a, b=run_b
import os
import subprocess


def run_a():
    os.environ["PYTHONHASHSEED"] = "0"  # here


def run_b():
    return subprocess.run(["env"], capture_output=True, check=True).stdout.decode()  # here
