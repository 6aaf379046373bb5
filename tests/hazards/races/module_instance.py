# tasks: a=send, b=send_many
class Client:
    def __init__(self):
        self.sent = 0
        self.log = []

    def post(self, text):
        self.log.append(text)
        self.sent += 1  # here


CLIENT = Client()


def send(text):
    CLIENT.post(text)


def send_many(texts):
    for text in texts:
        CLIENT.post(text)
