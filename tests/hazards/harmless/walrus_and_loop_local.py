# tasks: a=work, b=work
import re

LINE = re.compile(r"(\w+)=(\w+)")
KEY = None
FOUND = []


def work(lines):
    found = []
    for line in lines:
        if (match := LINE.match(line)) is not None:
            KEY, value = match.groups()
            found.append((KEY, value))
    if any((FOUND := pair) for pair in found):
        return FOUND
    return [KEY for KEY in found]
