# tasks: save=save
# items: save=["north", "south", "north"]
# args: save=["out/{{ item }}.txt"]


def save(path):
    with open(path, "w") as stream:  # here
        stream.writelines(f"{number}\n" for number in range(1000))
