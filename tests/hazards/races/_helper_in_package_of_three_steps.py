import _helper_in_package_of_three_ids as ids


def prepare(name):
    return f"{ids.next_id()}-{name}"
