"""Several Lean engines that share the work: verdicts in the order of the jobs, as if there were one.

Each engine has its own process and its own failures; nothing here knows what a proof is.
"""

import queue
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import NamedTuple, Self

from speciate import hardware
from speciate.niches.lean.engine import Lean
from speciate.niches.lean.package import Progress
from speciate.niches.lean.verdict import LeanJob, LeanVerdict

MOST_PROCESSES = 4
ENOUGH_JOBS = 50
"""Jobs that are worth the start of one more process."""
MEMORY_OF_ONE = 1_300_000_000
"""Bytes that one process may be expected to hold: 0.9 GB after 1,300 proofs, and some room."""
_AHEAD = 16
_LOOK_AGAIN_S = 0.1


def processes() -> int:
    """Processes that this machine has cores for, and memory in half of it, at least one."""
    memory = hardware.memory()
    fit = memory // 2 // MEMORY_OF_ONE if memory else MOST_PROCESSES
    return max(1, min(hardware.cores(), MOST_PROCESSES, fit))


class LeanPool:
    """Engines that check proofs side by side, used as a context manager; not for several threads at once."""

    def __init__(
        self,
        size: int | None = None,
        progress: Progress | None = None,
        engine: Callable[[], Lean] | None = None,
    ) -> None:
        make = engine or (lambda: Lean(progress=progress))
        self.engines = [make() for _ in range(size or processes())]
        self._memory = Lean(judge=self.engines[0].judge, remembers=self.engines[0].remembers)
        self._threads: ThreadPoolExecutor | None = None
        self._pending: deque[_Asked | LeanVerdict] = deque()

    def __enter__(self) -> Self:
        """Start the first engine, which sets Lean up where there is none; the others start when there is work."""
        self.engines[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def notes(self) -> list[str]:
        """Why a native Lean was passed over, where it was."""
        return list(dict.fromkeys(note for engine in self.engines for note in engine.notes))

    def check(self, jobs: Iterable[LeanJob]) -> Generator[LeanVerdict]:
        """One verdict for each job, in order, as they come; whoever stops early closes it."""
        free: queue.SimpleQueue[Lean] = queue.SimpleQueue()
        asked = running = 0
        under_way: dict[LeanJob, _Asked] = {}
        together = self.engines[0].together

        def judged(group: list[LeanJob]) -> list[LeanVerdict]:
            engine = free.get()
            try:
                return engine.judged_all(group)
            finally:
                for job in group:
                    under_way.pop(job, None)
                free.put(engine)

        self._threads = ThreadPoolExecutor(len(self.engines), thread_name_prefix="lean")
        left = iter(jobs)
        try:
            while group := list(islice(left, together)):
                entries = [under_way.get(job) or self._memory.known(job) for job in group]
                fresh = list(dict.fromkeys(job for job, entry in zip(group, entries, strict=True) if entry is None))
                places: dict[LeanJob, _Asked] = {}
                if fresh:
                    if running < len(self.engines) and asked >= ENOUGH_JOBS * running:
                        free.put(self.engines[running])
                        running += 1
                    asked += len(fresh)
                    answers = self._threads.submit(judged, fresh)
                    places = {job: _Asked(answers, place) for place, job in enumerate(fresh)}
                    under_way.update(places)
                self._pending += (entry or places[job] for job, entry in zip(group, entries, strict=True))
                most = max(_AHEAD, 2 * together) * running
                while self._pending and (len(self._pending) >= most or _is_there(self._pending[0])):
                    yield _result(self._pending[0])
                    self._pending.popleft()
            while self._pending:
                yield _result(self._pending[0])
                self._pending.popleft()
        finally:
            self._stop()

    def close(self) -> None:
        """Kill all processes; a later check would start others."""
        self._stop()
        self._memory.close()
        for engine in self.engines:
            engine.close()

    def _stop(self) -> None:
        """End the threads. Where work is left, their processes are killed: a proof may be an endless one."""
        if self._threads is None:
            return
        self._threads.shutdown(wait=False, cancel_futures=True)
        # `concurrent.futures.wait` does not count what shutdown has cancelled as done.
        while not all(_is_there(entry) for entry in self._pending):
            for engine in self.engines:
                engine.close()
            time.sleep(_LOOK_AGAIN_S)
        self._threads.shutdown()
        self._threads = None
        self._pending.clear()


class _Asked(NamedTuple):
    """A verdict that is to come, one of several."""

    answers: Future[list[LeanVerdict]]
    place: int


def _is_there(entry: _Asked | LeanVerdict) -> bool:
    return entry.answers.done() if isinstance(entry, _Asked) else True


def _result(entry: _Asked | LeanVerdict) -> LeanVerdict:
    return entry.answers.result()[entry.place] if isinstance(entry, _Asked) else entry
