# tasks: a=work, b=work
RATES = {}


def work(message):
    match message:
        case {"rate": str(name)} if name in RATES:
            return RATES[name]
        case {"rate": str(name)}:
            RATES[name] = len(name)  # here
            return RATES[name]
