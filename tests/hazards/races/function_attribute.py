# tasks: a=fetch, b=fetch
def fetch(url):
    fetch.calls += 1  # here
    return url.upper()


fetch.calls = 0
