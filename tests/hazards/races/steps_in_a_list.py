# tasks: a=work, b=work
class Step:
    def __init__(self, word):
        self.word, self.used = word, 0

    def apply(self, text):
        found = text.replace(self.word, "")
        self.used = self.used + len(text) - len(found)  # here
        return found


STEPS = [Step("uh"), Step("er")]


def work(text):
    for step in STEPS:
        text = step.apply(text)
    return text
