# tasks: a=work, b=work
class Lamp:
    def __init__(self):
        self._watts = 0

    @property
    def watts(self):
        return self._watts

    @watts.setter
    def watts(self, value):
        self._watts = min(value, 100)


def work():
    lamp = Lamp()
    lamp.watts += 5
    return lamp.watts
