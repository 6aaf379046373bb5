# tasks: a=run, b=run
import os
import subprocess


def run(name):
    environment = {**os.environ, "NAME": name}
    environment["MODE"] = "x"
    return subprocess.run(["env"], env=environment, check=True).returncode
