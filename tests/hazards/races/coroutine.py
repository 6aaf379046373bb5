# tasks: a=main, b=main
async def step():
    global N
    N = N + 1  # here


N = 0


async def main():
    for _ in range(3):
        await step()
