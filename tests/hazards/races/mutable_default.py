# tasks: a=remember, b=remember
def remember(name, seen=[]):
    if name in seen:
        return False
    seen.append(name)  # here
    return True
