# tasks: a=area, b=area
PI = 3.14159
UNITS = {"m": 1.0, "cm": 0.01}
SIZES = [1, 2, 3]


def area(radius, unit):
    if unit not in UNITS:
        raise KeyError(unit)
    return sum(PI * radius**2 * UNITS[unit] * size for size in SIZES)
