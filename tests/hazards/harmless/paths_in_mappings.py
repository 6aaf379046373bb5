# tasks: first=render, second=render
# args: first=[{"out": "site/a.html", "title": "x"}], second=[{"out": "site/b.html", "title": "x"}]


def render(page):
    with open(page["out"], "w") as stream:
        stream.write(page.get("title"))
