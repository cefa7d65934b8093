"""A model's program and the tests of its task, in two processes: the tests decide, and the program cannot reach them.

Runs inside the sandbox, one program in each. The process that will run the program is made before the tests arrive, so
it never holds them. The tests run in the other one: a function of the program is there a call to the first process, its
arguments and results pass as plain values, and nothing that the program does to its own process (its exit, what it
prints, what it puts in the place of `assert` or `==`) passes at all. Not stopped: a program that tells its tests from
other calls by their arguments, as any function can. Functions and objects of the program's own classes do not pass, so
tests that need them fail, the right answer too.
"""

import ast
import builtins
import contextlib
import json
import math
import os
import select
import socket
import sys
import time
import types
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from speciate.niches.inside import lock
from speciate.niches.inside.judge import BUSY_MACHINE, Channel, Setting, shown
from speciate.niches.inside.values import NotPlain, as_json, from_json

_LONGEST = 1 << 24
_OPAQUE = '"$": "opaque"'


class Raised(Exception):
    """The program raised an exception of a class that is not Python's own."""


class Broken(BaseException):
    """The program's process is of no more use, whatever the tests make of that."""


def serve(channel: Channel, setting: Setting) -> None:
    """Judge one program."""
    near, far = socket.socketpair()
    here = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            near.close()
            _run(far, channel, setting, here)
        finally:
            os._exit(1)
    far.close()
    channel.say({"ready": True})
    requests = channel.take()
    while not requests:
        requests = channel.take()
    trial = Trial(near, pid, requests[0])
    reason, detail = trial.outcome()
    channel.say({"id": requests[0]["id"], "ms": trial.ms(), "value": {"reason": reason, "detail": detail[:300]}})


class Trial:
    """The side of the tests."""

    def __init__(self, near: socket.socket, pid: int, request: dict[str, Any]) -> None:
        self._near, self._pid, self._request = near, pid, request
        self._unread = b""
        self._broken: tuple[str, str] | None = None
        self._passed_on: BaseException | None = None
        self._started = time.monotonic()

    def ms(self) -> float:
        """Milliseconds since it began."""
        return round((time.monotonic() - self._started) * 1000, 1)

    def outcome(self) -> tuple[str, str]:
        """`ok`, or why not, and a line of detail."""
        try:
            self._tell({"source": self._request["source"], "timeout_s": self._request["timeout_s"]})
            self._run_tests()
            found = ("ok", "")
        except MemoryError:
            found = ("memory", "the program took too much memory")
        except AssertionError as error:
            found = ("error" if error is self._passed_on else "wrong", shown(error))
        except BaseException as error:
            found = ("error", shown(error))
        return self._broken or found

    def _run_tests(self) -> None:
        names: dict[str, Any] = {"__name__": "tests"}
        _run_head(self._request["setup"], names)
        tests: list[str] = self._request["tests"]
        entry: str = self._request["entry_point"]
        for name in {entry, *_undefined(tests, names)} - {""}:
            names[name] = self._function(name)
        for test in tests:
            exec(compile(test, "<tests>", "exec"), names)  # noqa: S102 - the suite's own, in the sandbox
        if entry and "check" in names:
            names["check"](names[entry])

    def _function(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._tell({"call": name, "args": as_json(args), "kwargs": as_json(kwargs)})

        call.__name__ = name
        return call

    def _tell(self, message: dict[str, Any]) -> Any:
        """Send the program something and return what it makes of it, or raise what it raised."""
        line = json.dumps(message)
        if _OPAQUE in line and "call" in message:
            self._breaks("error", "the tests pass a value that is not plain")
        try:
            self._near.sendall(line.encode() + b"\n")
            said: Any = json.loads(self._line())
            if "raised" not in said:
                return from_json(said["value"])
            kind, text = str(said["raised"][0]), str(said["raised"][1])[:300]
        except (OSError, NotPlain, ValueError, TypeError, LookupError, RecursionError) as error:
            self._breaks("crash", shown(error))
        known = getattr(builtins, kind, None)
        is_exception = isinstance(known, type) and issubclass(known, Exception)
        try:
            error = known(text) if is_exception and known is not None else Raised(f"{kind[:80]}: {text}")
        except TypeError:
            error = Raised(f"{kind[:80]}: {text}")
        self._passed_on = error
        raise error

    def _line(self) -> bytes:
        limit = self._request["timeout_s"]
        until = self._started + BUSY_MACHINE * limit
        while b"\n" not in self._unread:
            readable, _, _ = select.select([self._near], [], [], max(0.0, until - time.monotonic()))
            if not readable:
                self._breaks("timeout", f"it took more than {limit:g} s")
            piece = self._near.recv(1 << 20)
            if not piece:
                self._ended(limit)
            self._unread += piece
            if len(self._unread) > _LONGEST:
                self._breaks("memory", "a result of more than 16 MB")
        line, _, rest = self._unread.partition(b"\n")
        if rest:
            self._breaks("crash", "it said what it was not asked")
        self._unread = b""
        return line

    def _ended(self, limit: float) -> NoReturn:
        for _ in range(100):
            found, status, used = os.wait4(self._pid, os.WNOHANG)
            if found:
                break
            time.sleep(0.01)
        else:
            self._breaks("crash", "it talks no more")
        if os.WIFEXITED(status):
            self._breaks("crash", f"the program ended its process with status {os.WEXITSTATUS(status)}")
        killed = os.WTERMSIG(status)
        if lock.ran_out_of_time(killed, used.ru_utime + used.ru_stime, limit):
            self._breaks("timeout", f"it took more than {limit:g} s")
        self._breaks("crash", f"the program ended by signal {killed}")

    def _breaks(self, reason: str, detail: str) -> NoReturn:
        self._broken = self._broken or (reason, detail)
        raise Broken(detail)


def _run_head(text: str, names: dict[str, Any]) -> None:
    """Define what the task gives, such as a helper beside the function that is asked for, which has no body yet."""
    for source in (text, f"{text.rstrip()}\n    pass\n"):
        with contextlib.suppress(SyntaxError):
            exec(compile(source, "<task>", "exec"), names)  # noqa: S102 - the suite's own, in the sandbox
            return


def _undefined(tests: Iterable[str], names: dict[str, Any]) -> set[str]:
    """Names that the tests use and nobody defines: the program's."""
    used: set[str] = set()
    defined = {*names, *dir(builtins)}
    for test in tests:
        for node in ast.walk(ast.parse(test)):
            if isinstance(node, ast.Name):
                (used if isinstance(node.ctx, ast.Load) else defined).add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.arg):
                defined.add(node.arg)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                defined |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ExceptHandler) and node.name:
                defined.add(node.name)
    return used - defined


def _run(far: socket.socket, channel: Channel, setting: Setting, parent: int) -> None:
    """The side of the program: a process with nothing in it but this."""
    os.close(channel.input)
    os.close(channel.output)
    os.dup2(0, 2)
    lock.tied_to_parent(parent)
    lines = far.makefile("rb")
    first = json.loads(lines.readline())
    lock.limited(setting.address_space, math.ceil(first["timeout_s"]), setting.file_bytes)
    lock.locked_down()
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    names = vars(module)
    _answer(far, lambda: exec(compile(first["source"], "<solution>", "exec"), names))  # noqa: S102 - what this is for
    for line in lines:
        message = json.loads(line)
        args, kwargs = from_json(message["args"]), from_json(message["kwargs"])
        _answer(far, lambda name=message["call"], args=args, kwargs=kwargs: _called(names, name)(*args, **kwargs))


def _called(names: dict[str, Any], name: str) -> Callable[..., Any]:
    if name not in names:
        raise NameError(f"the program does not define {name!r}")
    return names[name]


def _answer(far: socket.socket, action: Callable[[], Any]) -> None:
    try:
        reply = {"value": as_json(action())}
    except BaseException as error:
        reply = {"raised": [type(error).__name__, str(error)[:1000]]}
    far.sendall(json.dumps(reply).encode() + b"\n")
