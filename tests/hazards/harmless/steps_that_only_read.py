# tasks: a=work, b=work
class Step:
    def __init__(self, word):
        self.word = word

    def apply(self, text):
        used = text.count(self.word)
        return text.replace(self.word, "") if used else text


STEPS = {"uh": Step("uh"), "er": Step("er")}


def work(text):
    for name in STEPS:
        text = STEPS[name].apply(text)
    return [step.apply(text) for step in STEPS.values()]
