# ruff: noqa: SIM905 - a list of words reads better as words
"""What calls of the standard library and some others touch that all threads share."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from orchestrator.hazards.values import Resource

CWD, ENVIRON, UMASK = ("process", "cwd"), ("process", "environ"), ("process", "umask")
PROGRAMS = ("process", "programs")  # those that it starts: nobody is in their way
LIFE = ("process", "life")

# The kind of each call is one of ``read write update``; a name may end in ``*``.
_CALLS: dict[str, dict[str, str]] = {
    "cwd": {
        "write": "os.chdir os.fchdir",
        "update": "contextlib.chdir",
        "read": "os.getcwd os.getcwdb os.path.abspath os.path.realpath os.listdir os.scandir"
        " os.walk pathlib.Path.cwd glob.glob glob.iglob",
    },
    "environ": {"write": "os.putenv os.unsetenv", "read": "os.path.expandvars"},
    "umask": {"update": "os.umask"},
    "signals": {
        "write": "signal.signal signal.set_wakeup_fd signal.siginterrupt signal.setitimer"
        " signal.alarm",
        "read": "signal.getsignal",
    },
    "random seed": {
        "write": "random.seed random.setstate",
        "read": "random.random random.randint random.randrange random.choice random.choices"
        " random.sample random.shuffle random.uniform random.gauss random.normalvariate"
        " random.betavariate random.expovariate random.triangular random.getrandbits"
        " random.randbytes random.getstate",
    },
    "random seed of NumPy": {
        "write": "numpy.random.seed numpy.random.set_state",
        "read": "numpy.random.rand numpy.random.randn numpy.random.randint numpy.random.random"
        " numpy.random.choice numpy.random.normal numpy.random.uniform numpy.random.shuffle"
        " numpy.random.permutation",
    },
    "random seed of PyTorch": {
        "write": "torch.manual_seed torch.seed",
        "read": "torch.rand torch.randn torch.randint torch.randperm",
    },
    "print options of NumPy": {"write": "numpy.set_printoptions"},
    "options of pandas": {"write": "pandas.set_option pandas.reset_option"},
    "figures of pyplot": {"update": "matplotlib.pyplot.*", "write": "matplotlib.use"},
    "locale": {
        "write": "locale.setlocale locale.resetlocale",
        "read": "locale.localeconv locale.format_string locale.currency locale.atof locale.str"
        " locale.strcoll locale.strxfrm time.strftime",
    },
    "time zone": {"write": "time.tzset", "read": "time.localtime time.mktime time.ctime"},
    "warnings filters": {
        "write": "warnings.simplefilter warnings.filterwarnings warnings.resetwarnings",
        "update": "warnings.catch_warnings",
    },
    "standard streams": {
        "update": "contextlib.redirect_stdout contextlib.redirect_stderr",
        "write": "os.dup2",
    },
    "standard input": {"update": "builtins.input sys.stdin.*"},
    "logging configuration": {
        "write": "logging.basicConfig logging.disable logging.config.* logging.setLoggerClass"
        " logging.captureWarnings logging.addLevelName logging.shutdown"
        " logging.getLogger.addHandler logging.getLogger.removeHandler logging.getLogger.setLevel"
        " logging.getLogger.addFilter logging.getLogger.removeFilter logging.root.addHandler"
        " logging.root.removeHandler logging.root.setLevel",
    },
    "garbage collector": {
        "write": "gc.disable gc.enable gc.set_threshold gc.freeze gc.set_debug",
        "read": "gc.isenabled gc.get_threshold",
    },
    "recursion limit": {"write": "sys.setrecursionlimit", "read": "sys.getrecursionlimit"},
    "switch interval": {"write": "sys.setswitchinterval", "read": "sys.getswitchinterval"},
    "limit of digits": {"write": "sys.set_int_max_str_digits"},
    "dlopen flags": {"write": "sys.setdlopenflags"},
    "socket default timeout": {
        "write": "socket.setdefaulttimeout",
        "read": "socket.getdefaulttimeout socket.create_connection urllib.request.urlopen",
    },
    "URL opener": {
        "write": "urllib.request.install_opener",
        "read": "urllib.request.urlopen urllib.request.urlretrieve",
    },
    "threads' trace function": {"write": "threading.settrace threading.setprofile"},
    "threads' stack size": {"update": "threading.stack_size"},
    "start method": {
        "write": "multiprocessing.set_start_method",
        "read": "multiprocessing.get_start_method multiprocessing.Process multiprocessing.Pool",
    },
    "event loop policy": {
        "write": "asyncio.set_event_loop_policy",
        "read": "asyncio.new_event_loop asyncio.run",
    },
    "fault handler": {"write": "faulthandler.enable faulthandler.disable faulthandler.register"},
    "memory tracing": {"write": "tracemalloc.start tracemalloc.stop tracemalloc.clear_traces"},
    "loaded modules": {"update": "importlib.reload", "read": "importlib.import_module"},
    "field size limit of csv": {"update": "csv.field_size_limit"},
    "dialects of csv": {"write": "csv.register_dialect csv.unregister_dialect"},
    "priority": {"update": "os.nice", "write": "os.setpriority"},
    "resource limits": {"write": "resource.setrlimit", "read": "resource.getrlimit"},
    "user and group": {"write": "os.setuid os.setgid os.seteuid os.setegid os.setgroups"},
    "root directory": {"write": "os.chroot"},
    "temporary directory": {
        "read": "tempfile.gettempdir tempfile.mkstemp tempfile.mkdtemp tempfile.TemporaryFile"
        " tempfile.NamedTemporaryFile tempfile.TemporaryDirectory",
    },
    "life": {
        "write": "os._exit os.abort os.fork os.forkpty os.execv os.execve os.execvp os.execvpe"
        " os.execl os.execle os.execlp os.execlpe"
    },
}
# With no more arguments than this, a call only asks what is set.
ASKS = {"locale.setlocale": 1, "csv.field_size_limit": 0, "threading.stack_size": 0}
_STARTS = "subprocess.run subprocess.Popen subprocess.call subprocess.check_call"
STARTERS = frozenset(
    f"{_STARTS} subprocess.check_output subprocess.getoutput os.system os.popen".split()
)

# What an assignment to the attribute of an outside module sets.
STORES = {
    "sys.stdout": "standard streams",
    "sys.stderr": "standard streams",
    "sys.stdin": "standard input",
    "sys.path": "sys.path",
    "sys.argv": "sys.argv",
    "os.environ": "environ",
    "tempfile.tempdir": "temporary directory",
    "warnings.filters": "warnings filters",
    "sys.excepthook": "exception hook",
    "threading.excepthook": "exception hook",
    "warnings.showwarning": "warnings filters",
    "decimal.DefaultContext": "default decimal context",
    "sys.dont_write_bytecode": "byte code files",
    "socket.socket": "class of sockets",
    "logging.getLogger.propagate": "logging configuration",
    "logging.getLogger.disabled": "logging configuration",
    "logging.getLogger.level": "logging configuration",
    "logging.getLogger.handlers": "logging configuration",
}
# Objects of outside modules that all threads share: what made them, and what they are.
OBJECTS: dict[str, tuple[str, Resource]] = {
    "os.environ": ("dict", ENVIRON),
    "os.environb": ("dict", ENVIRON),
    "sys.path": ("list", ("process", "sys.path")),
    "sys.argv": ("list", ("process", "sys.argv")),
    "sys.modules": ("dict", ("process", "loaded modules")),
    "sys.meta_path": ("list", ("process", "sys.path")),
    "warnings.filters": ("list", ("process", "warnings filters")),
}

# Modes and places of paths in calls: position of the path, position of the mode (or None), mode.
OPENERS: dict[str, tuple[int, int | None, str]] = {
    "builtins.open": (0, 1, "r"),
    "io.open": (0, 1, "r"),
    "codecs.open": (0, 1, "r"),
    "gzip.open": (0, 1, "r"),
    "bz2.open": (0, 1, "r"),
    "lzma.open": (0, 1, "r"),
    "tarfile.open": (0, 1, "r"),
    "zipfile.ZipFile": (0, 1, "r"),
    "os.open": (0, None, "r"),
    "shelve.open": (0, None, "r+"),
    "os.remove": (0, None, "w"),
    "os.unlink": (0, None, "w"),
    "os.rmdir": (0, None, "w"),
    "os.mkdir": (0, None, "w"),
    "os.truncate": (0, None, "w"),
    "shutil.rmtree": (0, None, "w"),
    "numpy.save": (0, None, "w"),
    "numpy.savez": (0, None, "w"),
    "numpy.savetxt": (0, None, "w"),
    "numpy.load": (0, None, "r"),
    "numpy.loadtxt": (0, None, "r"),
    "pandas.read_csv": (0, None, "r"),
    "pandas.read_parquet": (0, None, "r"),
    "os.path.exists": (0, None, "r"),
    "os.path.isfile": (0, None, "r"),
    "os.path.isdir": (0, None, "r"),
    "os.path.getsize": (0, None, "r"),
    "os.stat": (0, None, "r"),
}
FOLDERS = frozenset("os.rmdir os.mkdir shutil.rmtree".split())
# Calls with two paths, and what each does to both.
MOVERS = {
    "os.rename": ("w", "w"),
    "os.replace": ("w", "w"),
    "shutil.move": ("w", "w"),
    "shutil.copy": ("r", "w"),
    "shutil.copy2": ("r", "w"),
    "shutil.copyfile": ("r", "w"),
    "shutil.copytree": ("r", "w"),
}
PATH_METHODS = {
    "write_text": "w",
    "write_bytes": "w",
    "touch": "w",
    "unlink": "w",
    "rmdir": "w",
    "rename": "w",
    "replace": "w",
    "read_text": "r",
    "read_bytes": "r",
    "exists": "r",
    "is_file": "r",
    "stat": "r",
}
# Methods of whatever that write the file which is their first argument.
SAVERS = frozenset("to_csv to_parquet to_excel to_pickle to_json to_feather savefig".split())
PATHS = frozenset(
    "pathlib.Path pathlib.PurePath pathlib.PosixPath os.path.join os.path.abspath"
    " os.path.expanduser os.fspath".split()
)

# Locks that are the same where their path is. Neither ``fasteners.InterProcessLock`` nor what is
# under it, ``fcntl.lockf``: a process has such a lock once, for all of its threads.
FILE_LOCKS = frozenset(
    "filelock.FileLock filelock.SoftFileLock filelock.UnixFileLock filelock.WindowsFileLock"
    " portalocker.Lock portalocker.RLock".split()
)
LOCKS = FILE_LOCKS | frozenset(
    f"{package}.{name}"
    for package in ("threading", "multiprocessing", "_thread")
    for name in ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "allocate_lock")
)
QUEUES = frozenset(
    "queue.Queue queue.LifoQueue queue.PriorityQueue queue.SimpleQueue"
    " multiprocessing.Queue".split()
)
# What is made by these may be used by several threads at once.
SAFE = LOCKS | frozenset(
    "threading.local contextvars.ContextVar threading.Event threading.Barrier queue.Queue"
    " queue.LifoQueue queue.PriorityQueue queue.SimpleQueue multiprocessing.Queue"
    " multiprocessing.Event itertools.count logging.getLogger re.compile"
    " concurrent.futures.ThreadPoolExecutor concurrent.futures.ProcessPoolExecutor"
    " collections.namedtuple types.MappingProxyType frozenset tuple builtins.frozenset"
    " builtins.object builtins.range string.Template operator.itemgetter".split()
)
CONTAINERS = {
    "builtins.list": "list",
    "builtins.dict": "dict",
    "builtins.set": "set",
    "builtins.bytearray": "list",
    "collections.deque": "deque",
    "collections.defaultdict": "dict",
    "collections.OrderedDict": "dict",
    "collections.Counter": "Counter",
    "collections.ChainMap": "dict",
    "collections.UserDict": "dict",
    "collections.UserList": "list",
    "weakref.WeakValueDictionary": "dict",
    "weakref.WeakKeyDictionary": "dict",
    "weakref.WeakSet": "set",
    "array.array": "list",
}
SHARED_CONTAINERS = frozenset(CONTAINERS.values())
# Objects that have just the attributes that somebody sets.
NAMESPACES = frozenset("types.SimpleNamespace argparse.Namespace".split())
# What these give is another in each call, or in each thread.
NEW = frozenset(
    "uuid.uuid1 uuid.uuid4 secrets.token_hex secrets.token_urlsafe threading.get_ident"
    " threading.get_native_id threading.current_thread".split()
)
PATCHES = frozenset(
    f"{mock}.patch{which}"
    for mock in ("unittest.mock", "mock")
    for which in ("", ".object", ".dict")
)
# What multiprocessing runs on threads after all.
THREAD_POOLS = frozenset(
    "multiprocessing.pool.ThreadPool multiprocessing.dummy.Pool"
    " multiprocessing.dummy.Process".split()
)
# Iterators: a step of one that runs in two threads raises or repeats.
ITERATORS = frozenset(
    "builtins.iter builtins.map builtins.filter builtins.zip builtins.enumerate itertools.cycle"
    " itertools.chain itertools.islice generator csv.reader cursor".split()
)

ONE_STEP = frozenset(
    "append extend insert pop remove add discard setdefault update popleft appendleft popitem"
    " clear extendleft move_to_end rotate".split()
)
STEPS = frozenset(
    "sort reverse difference_update intersection_update symmetric_difference_update"
    " subtract".split()
)
LOOKS = frozenset("get index count __contains__ isdisjoint".split())
GOES_THROUGH = frozenset(
    "keys values items copy most_common elements total union intersection difference".split()
)
ELEMENTS = frozenset("get pop setdefault popleft popitem".split())

# Functions of outside modules that change their first argument, in more than one step.
CHANGERS = frozenset(
    "heapq.heappush heapq.heappop heapq.heapify heapq.heappushpop heapq.heapreplace"
    " bisect.insort bisect.insort_left bisect.insort_right random.shuffle".split()
)
# Methods that change an outside object, by what made it; its state depends on the order.
METHODS = {
    "hashlib.sha256": "update",
    "hashlib.sha1": "update",
    "hashlib.md5": "update",
    "hashlib.new": "update",
    "hashlib.blake2b": "update",
    "sqlite3.connect": "execute executemany commit rollback cursor executescript",
    "io.StringIO": "seek truncate read readline getvalue",
    "io.BytesIO": "seek truncate read readline getvalue",
    "builtins.open": "seek read readline readlines truncate",
    "configparser.ConfigParser": "read read_string read_dict",
    "random.Random": "seed",
    "generator": "send throw close __next__",
    "cursor": "execute executemany executescript callproc fetchone fetchmany fetchall scroll"
    " nextset __next__",
}
# Decorators by which all callers are given the same object.
CACHES = frozenset("functools.lru_cache functools.cache functools.cached_property".split())
TRANSPARENT = CACHES | frozenset(
    "functools.wraps builtins.staticmethod builtins.classmethod builtins.property"
    " contextlib.contextmanager".split()
)


def _listed() -> tuple[dict[str, list[tuple[Resource, str]]], list[tuple[str, Resource, str]]]:
    plain: dict[str, list[tuple[Resource, str]]] = {}
    starred: list[tuple[str, Resource, str]] = []
    for name, kinds in _CALLS.items():
        for kind, calls in kinds.items():
            for call in calls.split():
                if call.endswith("*"):
                    starred.append((call, ("process", name), kind))
                else:
                    plain.setdefault(call, []).append((("process", name), kind))
    return plain, starred


_PLAIN, _STARRED = _listed()


@lru_cache(maxsize=4096)
def touched_by(dotted: str) -> tuple[tuple[Resource, str], ...]:
    """Return what a call of *dotted* touches, each with ``read``, ``write`` or ``update``."""
    found = list(_PLAIN.get(dotted, ()))
    found += [(what, kind) for name, what, kind in _STARRED if fnmatchcase(dotted, name)]
    return tuple(found)


def touched_through(maker: str, method: str) -> list[tuple[Resource, str]]:
    """Return what a *method* of an object that a call of *maker* gave touches."""
    return _PLAIN.get(f"{maker}.{method}", [])
