import threading

LOCK = threading.Lock()
STATE = {"n": 0}
