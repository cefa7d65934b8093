"""The worker of a sandbox: reads requests line by line and answers each in a child of its own.

A child is a copy of the worker with its libraries loaded, so it costs a millisecond; it is bounded and locked down, and
whatever its request does to it ends with it. A reply names the request that it answers: `value`, or `failed` (`error`,
`timeout`, `memory`, `crash`) with `detail`. Runs inside the sandbox, on the standard library alone. Knows nothing of
what is judged.
"""

import gc
import importlib
import json
import math
import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from speciate.niches.inside import lock

Handler = Callable[[dict[str, Any]], Any]
BUSY_MACHINE = 3
"""On the clock a request may take this many times the processor time that it is given, since a machine may be busy."""
_LONGEST_REPLY = 1 << 26


@dataclass(frozen=True, slots=True)
class Setting:
    """What the sandbox outside decides. `module` has a function `serve` that takes a channel and this."""

    module: str
    parallel: int
    address_space: int
    file_bytes: int
    read_only: bool


class Channel:
    """Lines of JSON from outside and back, on descriptors that no child keeps."""

    def __init__(self) -> None:
        self.input, self.output = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1):
            os.dup2(nothing, stream)
        os.close(nothing)
        self._unread = b""

    def say(self, reply: Mapping[str, Any]) -> None:
        """Send one line."""
        line = json.dumps(reply).encode() + b"\n"
        while line:
            line = line[os.write(self.output, line) :]

    def take(self) -> list[dict[str, Any]]:
        """Requests that have come; waits for a piece of one. Raises EOFError where the sender is gone."""
        piece = os.read(self.input, 1 << 20)
        if not piece:
            raise EOFError
        *lines, self._unread = (self._unread + piece).split(b"\n")
        return [json.loads(line) for line in lines]


@dataclass(slots=True)
class Child:
    """A request that is being answered."""

    request: dict[str, Any]
    pid: int
    pipe: int
    started: float
    found: bytearray = field(default_factory=bytearray)

    @property
    def late(self) -> float:
        """When it has been too long, on the clock."""
        return self.started + BUSY_MACHINE * self.request["timeout_s"] + 1


def main(setting: Setting) -> None:
    """What the process does from its start to its end."""
    channel = Channel()
    if setting.read_only:
        lock.disk_made_read_only()
    lock.hidden()
    try:
        importlib.import_module(setting.module).serve(channel, setting)
    except ModuleNotFoundError as error:
        channel.say({"missing": error.name or str(error)})
    except EOFError:
        return


def serve(
    channel: Channel, setting: Setting, handlers: Mapping[str, Handler], prepare: Handler | None = None
) -> NoReturn:
    """Answer until the sender is gone. `prepare` is called in the worker itself, and what it makes every child sees."""
    gc.collect()
    gc.freeze()
    channel.say({"ready": True})
    waiting: deque[dict[str, Any]] = deque()
    running: dict[int, Child] = {}
    dying: list[int] = []
    with selectors.DefaultSelector() as selector:
        selector.register(channel.input, selectors.EVENT_READ)
        while True:
            while waiting and len(running) < setting.parallel:
                request = waiting.popleft()
                if prepare is not None:
                    prepare(request)
                child = _started(request, setting, handlers)
                running[child.pipe] = child
                selector.register(child.pipe, selectors.EVENT_READ)
            pause = min((child.late for child in running.values()), default=math.inf) - time.monotonic()
            ready = {key.fd for key, _ in selector.select(None if math.isinf(pause) else max(0.0, pause))}
            if channel.input in ready:
                waiting.extend(channel.take())
            # To take down a copy costs as much as to make it, so that is not waited for.
            dying = [pid for pid in dying if not os.waitpid(pid, os.WNOHANG)[0]]
            now = time.monotonic()
            for child in list(running.values()):
                is_late = now > child.late
                if is_late or (child.pipe in ready and _has_ended(child)):
                    selector.unregister(child.pipe)
                    del running[child.pipe]
                    channel.say(_reply(child, is_late, dying))


def _started(request: dict[str, Any], setting: Setting, handlers: Mapping[str, Handler]) -> Child:
    here = os.getpid()
    pipe, end = os.pipe()
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            _answer(request, setting, handlers, end, here)
        finally:
            os._exit(1)
    os.close(end)
    return Child(request, pid, pipe, started)


def _answer(
    request: dict[str, Any], setting: Setting, handlers: Mapping[str, Handler], end: int, parent: int
) -> NoReturn:
    """What a child does: gives up its rights, answers, ends."""
    gc.disable()
    os.dup2(end, 3)
    os.closerange(4, 1024)
    lock.tied_to_parent(parent)
    lock.limited(setting.address_space, math.ceil(request["timeout_s"]), setting.file_bytes)
    lock.locked_down()
    try:
        reply = {"value": handlers[request["do"]](request)}
    except MemoryError:
        reply = {"failed": "memory"}
    except BaseException as error:
        reply = {"failed": "error", "detail": shown(error)}
    line = json.dumps(reply).encode() + b"\n"
    while line:
        line = line[os.write(3, line) :]
    os._exit(0)


def shown(error: BaseException) -> str:
    """An exception in one short line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def _has_ended(child: Child) -> bool:
    """Read what a child says; whether that was all."""
    piece = os.read(child.pipe, 1 << 16)
    child.found += piece
    return not piece or piece.endswith(b"\n") or len(child.found) > _LONGEST_REPLY


def _reply(child: Child, is_late: bool, dying: list[int]) -> dict[str, Any]:
    """Say what came of a request; its child ends, at once or as one of the dying."""
    line, end, _ = bytes(child.found).partition(b"\n")
    os.close(child.pipe)
    reply = {"id": child.request["id"], "ms": round((time.monotonic() - child.started) * 1000, 1)}
    limit = child.request["timeout_s"]
    status, worked = 0, 0.0
    if end or is_late:
        os.kill(child.pid, signal.SIGKILL)
        dying.append(child.pid)
    else:
        status, worked = _ended(child.pid)
    if is_late or lock.ran_out_of_time(status, worked, limit):
        return {**reply, "failed": "timeout", "detail": f"no answer in {limit:g} s"}
    try:
        said: Any = json.loads(line)
        return {**reply, **{name: said[name] for name in ("value", "failed", "detail") if name in said}}
    except (ValueError, TypeError, RecursionError):
        return {**reply, "failed": "crash", "detail": f"ended by signal {status}" if status else "said nothing"}


def _ended(pid: int) -> tuple[int, float]:
    """End a child that says no more; the signal that it ended by, and the processor time that it took."""
    for _ in range(20):
        found, status, used = os.wait4(pid, os.WNOHANG)
        if found:
            break
        time.sleep(0.01)
    else:
        os.kill(pid, signal.SIGKILL)
        _, status, used = os.wait4(pid, 0)
    return (os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0), used.ru_utime + used.ru_stime
