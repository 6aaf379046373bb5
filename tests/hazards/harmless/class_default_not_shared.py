# tasks: a=work, b=work
class Parser:
    position = 0
    limit = 100

    def step(self):
        self.position += 1
        return self.position < self.limit


def work():
    parser = Parser()
    while parser.step():
        pass
    return parser.position
