# tasks: crawl=crawl
# items: crawl=["a.example", "b.example"]
# args: crawl=["{{ item }}"]
VISITS = {"all": 0}


def crawl(host):
    VISITS[host] = VISITS.get(host, 0) + 1
    VISITS["all"] = VISITS["all"] + VISITS[host]  # here
