# tasks: first=render, second=render
# args: first=[{"out": "site/index.html", "title": "a"}], second=[{"out": "site/index.html", "title": "b"}]


def render(page):
    with open(page["out"], "w") as stream:  # here
        stream.write(page.get("title"))
