# tasks: a=crawl, b=crawl
from concurrent.futures import ThreadPoolExecutor

VISITED = 0


def visit(url):
    global VISITED
    VISITED += 1  # here
    return url


def crawl(urls):
    with ThreadPoolExecutor() as pool:
        return list(pool.map(visit, urls))
