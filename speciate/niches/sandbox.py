"""A Python process that is contained, asked in lines of JSON, and started again when it ends.

It sees the standard library, this package and, where asked for, the installed packages, read-only; an empty folder of
its own; no environment, network or other process where the machine can contain it so (`contain`). It is asked many
things at once and answers in order. A request that ends it, hangs it or makes it talk rubbish is put again to a new
process, by itself; where it does so again it gets a reply that says so. Nothing that a request does raises.

Not stopped: a program may use the processor and memory it is given until its time is over. By namespaces alone it can
read what its user can read; by limits alone it can also write and remove that, though no file can grow. In all of them
what a request runs in can open no socket, start no process and signal none, where Linux filters its calls (`lock`).
Not for several threads at once, and ends with the thread that started it. Knows nothing of what is asked.
"""

import atexit
import json
import secrets
import sys
import sysconfig
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import speciate
from speciate.errors import VerifierError
from speciate.hardware import cores
from speciate.niches import contain
from speciate.niches.inside.judge import BUSY_MACHINE
from speciate.niches.process import Ended, Failure, Process

ADDRESS_SPACE = 4_000_000_000
CHILD_ADDRESS_SPACE = 2_000_000_000
PACKAGE = Path(speciate.__file__).parent
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""The same hashes in every process; no threads, which a copy of a process would lose."""
_START = (
    "import json, sys; sys.path += json.loads(sys.argv[1]); from speciate.niches.inside import judge; "
    "judge.main(judge.Setting(**json.loads(sys.argv[2])))"
)
_START_ATTEMPTS = 3
_GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a request: a value, or why there is none."""

    value: Any = None
    failure: Failure = ""
    detail: str = ""
    ms: float = 0.0


class SandboxClosed(Exception):
    """The sandbox was closed by its owner while it was asked."""


class Sandbox:
    """A contained process that runs `serve` of a module of `speciate.niches.inside`, started when first asked.

    `packages` shows it the installed packages; `parallel` is how many requests it works on at once, by default one for
    each core; `address_space` bounds each of these, in bytes; `by` asks for another containment than the strongest.
    """

    def __init__(
        self,
        module: str,
        *,
        packages: bool = False,
        parallel: int | None = None,
        address_space: int = CHILD_ADDRESS_SPACE,
        by: contain.Containment | None = None,
    ) -> None:
        self.containment: contain.Containment = by or contain.containment()
        self.starts = 0
        """How many processes there have been."""
        self._module = module
        self._parallel = parallel or cores()
        self._packages = packages
        self._address_space = address_space
        self._is_closed = False
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process, which leads a session of its own; None where there is none."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, where there is none, and return at once. Raises SandboxClosed."""
        if self._is_closed:
            raise SandboxClosed
        if self._process is None:
            self._process = Process(self._command(), _ENVIRONMENT)
            self.starts += 1
            atexit.register(self.close)

    def close(self) -> None:
        """Kill the process and all that it started; a later request would start another."""
        # Read once, since another thread may close it too.
        process, self._process = self._process, None
        atexit.unregister(self.close)
        if process is not None:
            process.close()

    def close_for_good(self) -> None:
        """Kill the process, and start none for whoever is asking in another thread: that raises SandboxClosed there."""
        self._is_closed = True
        self.close()

    def ask(self, requests: Sequence[Mapping[str, Any]], timeout_s: float) -> Iterator[Reply]:
        """One reply for each request, in order, as they come; `timeout_s` of processor time for each.

        Raises MissingComponent where a package is not installed, VerifierError where no process comes up.
        """
        run = _Run(requests, timeout_s, self._parallel)
        try:
            for index in range(len(requests)):
                while index not in run.replies:
                    self._go_on(run)
                yield run.replies.pop(index)
        finally:
            if run.sent:
                self.close()

    def one(self, request: Mapping[str, Any], timeout_s: float) -> Reply:
        """The reply to one request."""
        return next(self.ask([request], timeout_s))

    def _go_on(self, run: "_Run") -> None:
        process = self._ready()
        try:
            for line in run.lines_to_send():
                process.send(line)
            run.take(process.exchange(run.silence_left()))
            if run.silence_left() <= 0:
                raise Ended("timeout", "the worker says no more")
        except Ended as ended:
            self.close()
            run.worker_ended(ended)

    def _ready(self) -> Process:
        detail = ""
        for _ in range(_START_ATTEMPTS):
            self.start()
            assert self._process is not None
            if self._process.is_ready:
                return self._process
            try:
                self._process.wait_ready()
            except Ended as ended:
                self.close()
                detail = ended.detail
            else:
                return self._process
        raise VerifierError(f"no sandbox came up, {_START_ATTEMPTS} times in a row: {detail}")

    def _command(self) -> list[str]:
        python = Path(sys.executable).resolve()
        packages = [
            Path(path) for path in dict.fromkeys(sysconfig.get_paths()[name] for name in ("purelib", "platlib"))
        ]
        seen = {Path(sys.base_prefix).resolve(), PACKAGE, *(packages if self._packages else [])}
        if not python.is_relative_to(sys.base_prefix):
            seen.add(python.parent)
        path = [str(PACKAGE.parent), *(str(each) for each in packages if self._packages)]
        setting = {
            "module": f"speciate.niches.inside.{self._module}",
            "parallel": self._parallel,
            "address_space": self._address_space,
            # Outside bubblewrap there is no folder whose size is bounded.
            "file_bytes": 1_000_000 if self.containment == "bubblewrap" else 0,
            "read_only": self.containment == "namespaces",
        }
        # As `-I`, which would also ignore the seed of the hashes; the environment is ours already.
        words = [str(python), "-s", "-P", "-S", "-B", "-c", _START, json.dumps(path), json.dumps(setting)]
        return contain.contained(
            words, sorted(seen), ADDRESS_SPACE, self.containment, environment=_ENVIRONMENT, sealed=True
        )


class _Run:
    """Requests on their way: which wait, which are with the process, which must go by themselves."""

    def __init__(self, requests: Sequence[Mapping[str, Any]], timeout_s: float, parallel: int) -> None:
        self.requests = requests
        self.timeout_s = timeout_s
        self.replies: dict[int, Reply] = {}
        self.sent: dict[str, int] = {}
        self._room = 8 * parallel
        self._waiting = deque(range(len(requests)))
        self._suspects: deque[int] = deque()
        self._is_alone = False
        self._heard = time.monotonic()

    def lines_to_send(self) -> Iterator[bytes]:
        """Requests that may go to the process now."""
        while not (self._is_alone and self.sent) and len(self.sent) < self._room:
            self._is_alone = bool(self._suspects)
            if self._is_alone and self.sent:
                return
            queue = self._suspects or self._waiting
            if not queue:
                return
            if not self.sent:
                self._heard = time.monotonic()
            index, name = queue.popleft(), secrets.token_hex(8)
            self.sent[name] = index
            request = {**self.requests[index], "id": name, "timeout_s": self.timeout_s}
            yield json.dumps(request).encode() + b"\n"

    def silence_left(self) -> float:
        """Seconds until a process that says nothing is given up."""
        limit = BUSY_MACHINE * self.timeout_s + 1 + _GRACE_S
        return self._heard + limit - time.monotonic()

    def take(self, replies: Sequence[Any]) -> None:
        """Note what the process replied. Raises Ended where that is no reply."""
        for found in replies:
            if not isinstance(found, dict) or (name := str(found.get("id"))) not in self.sent:
                raise Ended("crash", f"the worker said {str(found)[:80]!r}")
            index = self.sent.pop(name)
            self._heard = time.monotonic()
            failure = found.get("failed", "")
            if failure not in ("", "error", "timeout", "memory", "crash"):
                failure = "crash"
            self.replies[index] = Reply(
                found.get("value"), failure, str(found.get("detail", ""))[:300], float(found.get("ms", 0))
            )

    def worker_ended(self, ended: Ended) -> None:
        """A process ended: a request that was by itself with it gets its reply, the others go by themselves next."""
        lost = sorted(self.sent.values())
        self.sent.clear()
        if self._is_alone and lost:
            self.replies[lost[0]] = Reply(None, ended.failure, ended.detail)
            return
        self._suspects.extend(lost)
