# tasks: slow=fetch_slow, fast=fetch_fast
import socket
from urllib.request import urlopen


def fetch_slow(host):
    socket.setdefaulttimeout(60)  # here
    return host


def fetch_fast(host):
    return urlopen(f"http://{host}/").status  # here
