# tasks: a=refresh, b=look
RATES = {"EUR": 1.0}


def refresh():
    RATES.clear()  # here
    RATES.update({"EUR": 1.0, "SEK": 11.0})


def look():
    return RATES["EUR"]  # here
