# tasks: a=register_csv, b=register_json
class Registry:
    plugins = {}
    order = []

    @classmethod
    def register(cls, name):
        number = len(cls.order)
        cls.order.append(f"{number}:{name}")  # here
        cls.plugins[name] = number


def register_csv():
    Registry.register("csv")


def register_json():
    Registry.register("json")
