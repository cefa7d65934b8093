"""Programs that try to pass without being right, to get out, or to hurt: none is believed, and each gets a verdict."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from speciate.niches import contain
from speciate.niches.base import Item, Verdict
from speciate.niches.code import PythonVerifier

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containment is Linux only")

PROMPT = 'def add(a: int, b: int) -> int:\n    """The sum."""\n'
TEST = "def check(candidate):\n    assert candidate(2, 3) == 5\n    assert candidate(-1, 1) == 0\n"
RIGHT = "    return a + b\n"

CHEATS = """
### leaves at once
import os
os._exit(0)
### leaves when called
import os
def add(a, b): os._exit(0)
### leaves by an exception
def add(a, b): raise SystemExit(0)
### leaves when loaded
import sys
sys.exit(0)
### equals everything
class E:
    __eq__ = lambda s, o: True
    __hash__ = None
def add(a, b): return E()
### a number that equals everything
class E(int):
    __eq__ = lambda s, o: True
def add(a, b): return E()
### a text that equals everything
class E(str):
    __eq__ = lambda s, o: True
def add(a, b): return E()
### no number
def add(a, b): return float("nan")
### another comparison
import builtins, operator
operator.eq = lambda a, b: True
builtins.AssertionError = Exception
def add(a, b): return 0
### raises what the tests would
def add(a, b): raise AssertionError
### looks for the tests
import gc
def add(a, b):
    for found in gc.get_objects():
        values = list(found.values()) if isinstance(found, dict) else []
        if any("candi" + "date(2" in value for value in values if isinstance(value, str)): return a + b
    return 0
### looks in its frames
import sys
def add(a, b):
    frame = sys._getframe()
    while frame:
        values = [*frame.f_locals.values(), *frame.f_globals.values()]
        if any("candi" + "date(2" in repr(value) for value in values): return a + b
        frame = frame.f_back
    return 0
### replies for the judge
import os
for fd in range(64):
    try: os.write(fd, b'{"id": "0", "ms": 1, "value": {"reason": "ok", "detail": ""}}\\n')
    except OSError: pass
def add(a, b): return 0
### replies through other processes
import os
for pid in os.listdir("/proc"):
    for fd in range(16):
        try:
            if int(pid) != os.getpid():
                with open(f"/proc/{int(pid)}/fd/{fd}", "wb", buffering=0) as pipe: pipe.write(b'{"value": 5}\\n')
        except (OSError, ValueError): pass
def add(a, b): return 0
### prints
import sys
print("ok " * 1000000)
sys.stderr.write("x" * 10000000)
def add(a, b): print(5); return 0
### kills its judge
import os
for pid in (os.getppid(), 1):
    for number in (9, 15, 19):
        try: os.kill(pid, number)
        except OSError: pass
def add(a, b): return 0
### defines something else
def subtract(a, b): return a - b
### no program
I would add the numbers.
### nothing
### a generator
def add(a, b):
    yield a + b
### nests
def add(a, b):
    found = []
    for _ in range(100000): found = [found]
    return found
### a long result
def add(a, b): return "x" * 40000000
### a large number
def add(a, b): return 10 ** 100000
### recursion
def add(a, b): return add(a, b)
"""
SLOW = """
### timeout: a loop
def add(a, b):
    while True: pass
### timeout: a loop that ignores the signal
import signal
signal.signal(signal.SIGXCPU, signal.SIG_IGN)
def add(a, b):
    while True: pass
### timeout: sleeps
import time
def add(a, b): time.sleep(1000)
### memory: takes memory
def add(a, b):
    found = []
    while True: found.append(bytearray(10000000))
### timeout memory: results without end
import itertools
def add(a, b): return itertools.count()
### wrong: copies itself
import os
def add(a, b):
    while True:
        try: os.fork()
        except OSError: return 0
### wrong: threads without end
import threading, time
def add(a, b):
    while True:
        try: threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        except RuntimeError: return 0
"""

PROBES = """
import os, socket, subprocess, sys
def can(action):
    try: return bool(action())
    except BaseException: return False
def write(path, size=1):
    with open(path, "wb") as file: return file.write(b"x" * size)
def probe(secret, port, parent):
    return sorted(name for name, found in {
        "secret": can(lambda: open(secret).read()),
        "password": can(lambda: open("/etc/passwd").read()),
        "home": can(lambda: os.listdir(os.path.expanduser("~"))) and can(lambda: os.listdir("/root")),
        "write beside": can(lambda: write(secret + ".x")),
        "write home": can(lambda: write(os.path.expanduser("~/speciate-was-here"))),
        "write root": can(lambda: write("/speciate-was-here")),
        "write much": can(lambda: [write(f"file-{n}", 900000) for n in range(100)]),
        "network": can(lambda: socket.create_connection(("127.0.0.1", port), 1)),
        "socket": can(lambda: socket.socket(socket.AF_UNIX)),
        "system": can(lambda: os.system("true") == 0),
        "program": can(lambda: subprocess.run(["/bin/true"]).returncode == 0),
        "fork": can(lambda: os.fork() + 1),
        "kill": can(lambda: os.kill(parent, 0) is None),
        "kill judge": can(lambda: os.kill(os.getppid(), 0) is None),
        "judge's memory": can(lambda: open(f"/proc/{os.getppid()}/mem", "rb")),
        "judge's pipes": any(can(lambda: open(f"/proc/{os.getppid()}/fd/{fd}", "wb")) for fd in range(16)),
        "first process's pipes": any(can(lambda: open(f"/proc/1/fd/{fd}", "wb")) for fd in range(16)),
        "environment": "SPECIATE_SECRET" in os.environ,
        "packages": can(lambda: __import__("numpy")),
        "package": can(lambda: __import__("speciate.storage")),
    }.items() if found)
"""
STRONG = {"bubblewrap": {"package"}, "namespaces": {"secret", "password", "home", "package"}}
"""What each containment lets a program do; the package is this one, whose code is no secret."""


def programs(text: str) -> dict[str, str]:
    """Programs by the name on the line above each, as code blocks."""
    parts = [part.partition("\n") for part in text.strip().split("### ")[1:]]
    return {name: f"```python\n{code}\n```" for name, _, code in parts}


@pytest.fixture(scope="module")
def python() -> Iterator[PythonVerifier]:
    with PythonVerifier(timeout_s=2) as verifier:
        yield verifier


def task(test: str = TEST, prompt: str = PROMPT, entry_point: str = "add") -> Item:
    return Item("code", prompt, RIGHT, test, {"prompt": prompt, "test": test, "entry_point": entry_point})


def verdicts(verifier: PythonVerifier, answers: list[str], item: Item | None = None) -> list[Verdict]:
    return list(verifier.verify([item or task()] * len(answers), answers))


def test_the_strongest_containment_is_there() -> None:
    if contain.containment() != "bubblewrap":
        (pytest.fail if os.environ.get("CI") else pytest.skip)("bubblewrap is missing, or may not run here")


def test_right_programs_pass_and_wrong_ones_say_why(python: PythonVerifier) -> None:
    answers = [
        RIGHT,
        "return a + b",
        f"Here it is:\n```python\n{PROMPT}{RIGHT}```\nIt adds.",
        "```\ndef helper(x):\n    return x\n\ndef add(a, b):\n    return helper(a) + b\n```",
        f"{RIGHT}\nprint(add(1, 1))\nassert False",
        "    return a - b\n",
        "    return a +\n",
        "    return missing\n",
    ]
    found = verdicts(python, answers)
    assert [each.reason for each in found] == ["ok"] * 5 + ["wrong", "error", "error"], found
    assert "NameError" in found[-1].detail
    assert "SyntaxError" in found[-2].detail


def test_no_cheat_passes(python: PythonVerifier) -> None:
    cheats = programs(CHEATS)
    assert len(cheats) > 20
    found = dict(zip(cheats, verdicts(python, [*cheats.values()]), strict=True))
    assert {name: each for name, each in found.items() if each.score or each.reason == "ok"} == {}
    assert {each.reason for each in found.values()} == {"wrong", "error", "crash", "memory"}
    assert verdicts(python, [RIGHT])[0].reason == "ok"


def test_what_takes_too_much_is_ended(python: PythonVerifier) -> None:
    slow = programs(SLOW)
    started = time.monotonic()
    found = dict(zip(slow, verdicts(python, [*slow.values()]), strict=True))
    assert time.monotonic() - started < 60
    assert {name: each for name, each in found.items() if each.score or each.reason not in name.partition(":")[0]} == {}


@pytest.mark.parametrize("by", ["bubblewrap", "namespaces"])
def test_a_program_reaches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: contain.Containment) -> None:
    if by not in contain.available():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"this machine has no {by}")
    monkeypatch.setenv("SPECIATE_SECRET", "x")
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    test = f"found = probe({str(secret)!r}, 22, {os.getpid()})\nassert not found, found\n"
    item = Item("code", "", "", test, {"test_list": [test]})
    with PythonVerifier(timeout_s=5, by=by) as verifier:
        (found,) = verdicts(verifier, [PROBES], item)
    reached = {name for name in ("secret", *PROBES.split('"')[1::2]) if f"'{name}'" in found.detail}
    assert reached <= STRONG[by], found
    assert found.reason == "wrong", found
    assert list(tmp_path.iterdir()) == [secret]


@pytest.mark.parametrize("by", ["namespaces", "limits", "none"])
def test_cheats_fail_in_weaker_containments_too(by: contain.Containment) -> None:
    if by not in contain.available():
        pytest.skip(f"this machine has no {by}")
    names = ["leaves at once", "equals everything", "replies for the judge", "looks for the tests"]
    with PythonVerifier(timeout_s=2, by=by) as verifier:
        found = verdicts(verifier, [RIGHT, *(programs(CHEATS)[name] for name in names)])
    assert [each.score for each in found] == [1.0, 0.0, 0.0, 0.0, 0.0], found


def test_tasks_with_a_list_of_tests(python: PythonVerifier) -> None:
    caught = (
        "try:\n    area(-1)\nexcept ValueError as error:\n    assert str(error) == 'negative'\nelse:\n    assert False"
    )
    payload = {
        "test_setup_code": "import math",
        "test_list": [
            "assert sorted(similar((3, 4, 5), (5, 4, 9))) == [4, 5]",
            "assert math.isclose(area(r=2), 4 * math.pi)",
            "assert pairs({'a': 1}) == [('a', 1)] and pairs({}) == []",
            caught,
        ],
    }
    code = """
import math

def similar(a, b):
    return set(a) & set(b)

def area(r):
    if r < 0:
        raise ValueError("negative")
    return math.pi * r * r

def pairs(found):
    return list(found.items())
"""
    item = Item("code", "", code, "", payload)
    found = verdicts(
        python, [code, code.replace("&", "|"), code.replace("negative", "no"), "def similar(a, b): 1"], item
    )
    assert [each.reason for each in found] == ["ok", "wrong", "wrong", "error"], found


def test_a_task_may_give_a_helper(python: PythonVerifier) -> None:
    prompt = (
        "import math\n\ndef twice(x: int) -> int:\n    return 2 * x\n\n\ndef half(x: int) -> int:\n    # undoes twice\n"
    )
    test = "def check(candidate):\n    for n in range(5):\n        assert candidate(twice(n)) == n\n"
    found = verdicts(python, ["    return x // 2\n", "    return x\n"], task(test, prompt, "half"))
    assert [each.reason for each in found] == ["ok", "wrong"], found


def test_what_is_left_half_way_leaves_no_process(python: PythonVerifier) -> None:
    sleeper = programs(SLOW)["timeout: sleeps"]
    before = children()
    stream = iter(python.verify([task()] * 6, [sleeper] * 6))
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted(stream)
    assert time.monotonic() - started < 10
    assert children() <= before


def interrupted(stream: Iterator[Verdict]) -> None:
    """Ask for one verdict, and be interrupted meanwhile."""

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stopped)
    signal.setitimer(signal.ITIMER_REAL, 1)
    try:
        next(stream)
    finally:
        signal.signal(signal.SIGALRM, before)


def children() -> set[int]:
    """What this process has started and still has, dead ones that were not waited for too."""
    words = ["ps", "-o", "pid=,stat=,comm=", "--ppid", str(os.getpid())]
    shown = subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
    return {int(line.split()[0]) for line in shown if " ps" not in line}
