# tasks: a=work, b=work
class Buffer:
    def __init__(self):
        self.used = 0

    def fill(self, text):
        self.used = self.used + len(text)


FREE = [Buffer() for _ in range(8)]


def work(text):
    buffer = FREE.pop()
    buffer.fill(text)
    FREE.append(buffer)
