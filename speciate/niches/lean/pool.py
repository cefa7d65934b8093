"""Several Lean processes that share the work: verdicts in the order of the jobs, as if there were one.

Each process is an engine of its own, with its own failures; nothing here knows what a proof or a verdict is.
"""

import queue
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from speciate import hardware
from speciate.niches.lean.engine import Lean, LeanJob, LeanVerdict
from speciate.niches.lean.package import Progress

MOST_PROCESSES = 4
ENOUGH_JOBS = 50
"""Jobs that are worth the start of one more process."""
MEMORY_OF_ONE = 2_000_000_000
"""Bytes that one process may be expected to hold: 1.5 GB after 900 proofs, and some room."""
_AHEAD = 4
_LOOK_AGAIN_S = 0.1


def processes() -> int:
    """Processes that this machine has cores for, and memory in half of it, at least one."""
    memory = hardware.memory()
    fit = memory // 2 // MEMORY_OF_ONE if memory else MOST_PROCESSES
    return max(1, min(hardware.cores(), MOST_PROCESSES, fit))


class LeanPool:
    """Engines that check proofs side by side, used as a context manager; not for several threads at once."""

    def __init__(self, size: int | None = None, progress: Progress | None = None) -> None:
        self.engines = [Lean(progress=progress) for _ in range(size or processes())]
        self._threads: ThreadPoolExecutor | None = None
        self._pending: deque[Future[LeanVerdict]] = deque()

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

    def check(self, jobs: Sequence[LeanJob]) -> Generator[LeanVerdict]:
        """One verdict for each job, in order, as they come; whoever stops early closes it."""
        count = min(len(self.engines), 1 + len(jobs) // ENOUGH_JOBS)
        if count == 1:
            yield from self.engines[0].check(jobs)
            return
        free: queue.SimpleQueue[Lean] = queue.SimpleQueue()
        for engine in self.engines[:count]:
            free.put(engine)

        def judged(job: LeanJob) -> LeanVerdict:
            engine = free.get()
            try:
                return next(engine.check([job]))
            finally:
                free.put(engine)

        self._threads = ThreadPoolExecutor(count, thread_name_prefix="lean")
        try:
            for job in jobs:
                self._pending.append(self._threads.submit(judged, job))
                if len(self._pending) >= _AHEAD * count:
                    yield self._pending[0].result()
                    self._pending.popleft()
            while self._pending:
                yield self._pending[0].result()
                self._pending.popleft()
        finally:
            self._stop()

    def close(self) -> None:
        """Kill all processes; a later check would start others."""
        self._stop()
        for engine in self.engines:
            engine.close()

    def _stop(self) -> None:
        """End the threads. Where work is left, their processes are killed: a proof may be an endless one."""
        if self._threads is None:
            return
        self._threads.shutdown(wait=False, cancel_futures=True)
        # `concurrent.futures.wait` does not count what shutdown has cancelled as done.
        while not all(future.done() for future in self._pending):
            for engine in self.engines:
                engine.close()
            time.sleep(_LOOK_AGAIN_S)
        self._threads.shutdown()
        self._threads = None
        self._pending.clear()
