# tasks: a=refresh, b=look
RATES = {"EUR": 1.0}


def refresh():
    RATES.clear()
    RATES.update({"EUR": 1.0, "SEK": 11.0})


def look():
    try:
        return RATES["EUR"]
    except KeyError:
        return RATES.get("SEK")
