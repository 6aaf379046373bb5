# tasks: a=get, b=get
import threading

_lock = threading.Lock()
_model = None


def model():
    global _model
    if _model is None:
        with _lock:
            if _model is None:
                _model = {"weights": [1, 2, 3]}
    return _model


def get(i):
    return model()["weights"][i]
