# tasks: a=w, b=w
import hashlib


def w(p):
    h = hashlib.sha256()
    buf = []
    with open(p, "rb") as f:
        for chunk in f:
            h.update(chunk)
            buf.append(len(chunk))
    while buf:
        buf.pop()
    return h.hexdigest()
