# tasks: a=work, b=work
from html.parser import HTMLParser

LINKS = []


def work(text):
    class Links(HTMLParser):
        def handle(self, link):
            if link not in LINKS:
                LINKS.append(link)  # here

    links = Links()
    for line in text:
        links.handle(line)
