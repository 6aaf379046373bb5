"""What orch is compared with: the least program that does the same."""

NOOP = """\
def noop():
    pass
"""

# What reading the meter, and writing down what it says, adds to a call: µs, in turns.
LEDGER = """\
from statistics import median
from time import monotonic, perf_counter
from orchestrator import functions
from orchestrator.journal import _cost_text
from orchestrator.meter import Meter

def bare():
    functions.call("noop_tasks:noop", [], {})

def metered():
    meter = Meter(monotonic())
    functions.call("noop_tasks:noop", [], {}, None, meter.begins)
    _cost_text(meter.cost())

def timed(call, count=2000):
    began = perf_counter()
    for _ in range(count):
        call()
    return (perf_counter() - began) / count * 1e6

with functions.importing_from("."):
    print(median(timed(metered) - timed(bare) for _ in range(15)))
"""

POOL_WIDE = """\
import sys
from concurrent.futures import ThreadPoolExecutor

def noop():
    pass

with ThreadPoolExecutor(2) as pool:
    for future in [pool.submit(noop) for _ in range(int(sys.argv[1]))]:
        future.result()
"""

# Each submitted by the end of the one before, on the one thread of the pool: the fastest there is.
POOL_CHAIN = """\
import sys, threading
from concurrent.futures import ThreadPoolExecutor

def noop():
    pass

left = int(sys.argv[1])
done = threading.Event()

def following(_=None):
    global left
    left -= 1
    if left < 0:
        done.set()
    else:
        pool.submit(noop).add_done_callback(following)

with ThreadPoolExecutor(1) as pool:
    following()
    done.wait()
"""

# Each submitted by the main thread, when it has the result of the one before.
POOL_RESULTS = """\
import sys
from concurrent.futures import ThreadPoolExecutor

def noop():
    pass

with ThreadPoolExecutor(2) as pool:
    for _ in range(int(sys.argv[1])):
        pool.submit(noop).result()
"""

# Ten wide: the next ten are submitted when all of a layer have ended.
POOL_LAYERS = """\
import sys
from concurrent.futures import ThreadPoolExecutor

def noop():
    pass

with ThreadPoolExecutor(2) as pool:
    for _ in range(int(sys.argv[1]) // 10):
        for future in [pool.submit(noop) for _ in range(10)]:
            future.result()
"""

# Two at a time: a session of its own, two files for its output, a result, and no interpreter that
# takes itself apart.
FORKS = """\
import os, sys
from noop_tasks import noop

folder, running = sys.argv[2], 0
for i in range(int(sys.argv[1])):
    if running == 2:
        os.wait()
        running -= 1
    if os.fork() == 0:
        os.setsid()
        for number, end in (1, "out"), (2, "err"):
            os.dup2(os.open(f"{folder}/{i}.{end}", os.O_WRONLY | os.O_CREAT | os.O_EXCL), number)
        result = noop()
        with open(f"{folder}/{i}.output", "w") as file:
            file.write("null" if result is None else repr(result))
        os._exit(0)
    running += 1
while running:
    os.wait()
    running -= 1
"""

BURN = """\
import time

def burn(rounds=4_000_000):
    left = rounds
    while left:
        left -= 1

def nap():
    time.sleep(0.1)
"""

BURN_POOL = """\
import sys
from concurrent.futures import ProcessPoolExecutor
from burning import burn

if __name__ == "__main__":
    with ProcessPoolExecutor(max_workers=2) as pool:
        for future in [pool.submit(burn) for _ in range(int(sys.argv[1]))]:
            future.result()
"""

NAPS = """\
import sys, threading
from burning import nap

def naps():
    for _ in range(int(sys.argv[1])):
        nap()

threads = [threading.Thread(target=naps) for _ in range(64)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""

PROCESS_POOL = """\
import sys
from concurrent.futures import ProcessPoolExecutor
from noop_tasks import noop

if __name__ == "__main__":
    with ProcessPoolExecutor(max_workers=2, max_tasks_per_child=1) as pool:
        for future in [pool.submit(noop) for _ in range(int(sys.argv[1]))]:
            future.result()
"""

# Each prints seconds; imports are not counted.
LOAD = """\
import sys
from time import perf_counter
from orchestrator.loading import load
from orchestrator.plan import build
from orchestrator.spec import validate
began = perf_counter()
loaded = load(sys.argv[1])
print(perf_counter() - began)
"""

SOURCE = """\
import sys
from pathlib import Path
from time import perf_counter
from orchestrator.spec.source import Source
data = Path(sys.argv[1]).read_bytes()
began = perf_counter()
source = Source(sys.argv[1], data)
print(perf_counter() - began)
assert source.value and not source.problems
"""

YAML = """\
import sys
from pathlib import Path
from time import perf_counter
import yaml
data = Path(sys.argv[1]).read_bytes()
began = perf_counter()
value = yaml.load(data, yaml.CSafeLoader)
print(perf_counter() - began)
"""

# N programs, two at a time or as many as are asked for; with a folder each gets two new files for
# its output, as orch gives.
SPAWN = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    int count = atoi(argv[1]), running = 0, status, worst = 0;
    int most = argc > 3 ? atoi(argv[3]) : 2;
    const char *folder = argc > 2 ? argv[2] : NULL;
    char *child[] = {"/bin/true", NULL};
    for (int i = 0; i < count || running; ) {
        if (running == most || i == count) {
            if (wait(&status) < 0) return 3;
            worst |= status;
            running--;
            continue;
        }
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        int files[2] = {-1, -1};
        if (folder) {
            char path[4096];
            const char *ends[] = {"out", "err"};
            for (int k = 0; k < 2; k++) {
                snprintf(path, sizeof path, "%s/%d.%s", folder, i, ends[k]);
                files[k] = open(path, O_WRONLY | O_CREAT | O_APPEND | O_EXCL | O_CLOEXEC, 0600);
                if (files[k] < 0) return 4;
                posix_spawn_file_actions_adddup2(&actions, files[k], k + 1);
            }
        }
        pid_t pid;
        if (posix_spawn(&pid, child[0], &actions, NULL, child, environ)) return 5;
        posix_spawn_file_actions_destroy(&actions);
        for (int k = 0; k < 2; k++) if (files[k] >= 0) close(files[k]);
        running++;
        i++;
    }
    return worst != 0;
}
"""

QUEUE = """\
# COUNT items through a queue.Queue(100) from one thread to another.
import sys, threading
from queue import Queue
count, items = int(sys.argv[1]), Queue(100)
def give():
    for i in range(count):
        items.put(i)
    items.put(None)
threading.Thread(target=give).start()
taken = 0
while items.get() is not None:
    taken += 1
assert taken == count
"""

MP_QUEUE = """\
# COUNT items through a multiprocessing.Queue(100) to another process.
import multiprocessing, sys
def take(items, count):
    taken = 0
    while items.get() is not None:
        taken += 1
    assert taken == count
if __name__ == "__main__":
    count, items = int(sys.argv[1]), multiprocessing.Queue(100)
    other = multiprocessing.Process(target=take, args=(items, count))
    other.start()
    for i in range(count):
        items.put(i)
    items.put(None)
    other.join()
    assert other.exitcode == 0
"""

FLOW = """\
# Functions that give COUNT items and take them.
def give(count):
    yield from range(count)
def take(items, count):
    taken = sum(1 for _ in items)
    assert taken == count, taken
"""

WRITER = """\
# COUNT lines to stdout, each flushed.
import sys
out = sys.stdout.buffer
for i in range(int(sys.argv[1])):
    out.write(b"%d\\n" % i)
    out.flush()
"""

READER = """\
# COUNT lines from stdin.
import sys
taken = sum(1 for _ in sys.stdin.buffer)
assert taken == int(sys.argv[1]), taken
"""

TRIVIAL = """\
import sys
print(sys.argv[1:])
"""

NUMPY = """\
import numpy
print(numpy.arange(3).sum())
"""

PANDAS = """\
import pandas
print(pandas.Series([1, 2]).sum())
"""

# What a live child holds for itself, with seven others beside it: pages that several of them have
# are divided among those.
HOLDS = """
import os, sys, time
number, count = sys.argv[1:]
open(f"begun.{number}", "w").close()
while sum(name.startswith("begun.") for name in os.listdir()) < int(count):
    time.sleep(0.01)
with open("/proc/self/smaps_rollup") as file:
    held_kb = file.read().partition("Pss:")[2].split()[0]
with open(f"held.{number}", "w") as file:
    file.write(held_kb)
while sum(name.startswith("held.") for name in os.listdir()) < int(count):
    time.sleep(0.01)
"""
