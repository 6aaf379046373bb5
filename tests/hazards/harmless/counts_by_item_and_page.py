# tasks: crawl=crawl
# items: crawl=["a.example", "b.example"]
# args: crawl=["{{ item }}"]
VISITS = {}
SIZES = {}


def crawl(host):
    for page in range(10):
        VISITS[host] = VISITS.get(host, 0) + page
        where = (host, page)
        if where not in SIZES:
            SIZES[where] = len(host) * page
        key = f"{host}/{page}"
        SIZES[key] = SIZES.setdefault(key, 0) + 1
