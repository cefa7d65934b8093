"""How far the work is, told on stderr: bars on a terminal, a line every few seconds elsewhere, or nothing.

Safe to call from several threads. Knows nothing of what is being done; stdout is never touched.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Phase(Protocol):
    """One part of the work, while it runs."""

    def advance(self, n: float = 1) -> None:
        """`n` more units are done."""
        ...

    def note(self, text: str) -> None:
        """Replace the few words shown beside the count, such as the loss."""
        ...


class Progress(Protocol):
    """Where phases are shown."""

    def phase(self, name: str, total: float | None = None) -> AbstractContextManager[Phase]:
        """Show a phase of `total` units (None: nobody knows) for as long as the block runs."""
        ...

    def say(self, line: str) -> None:
        """Show one whole line."""
        ...


def progress_on(stream: TextIO) -> Progress:
    """Bars where `stream` is a terminal that can redraw, else lines."""
    redraws = stream.isatty() and os.environ.get("TERM") != "dumb"
    return Bars(stream) if redraws else Lines(stream)


@contextlib.contextmanager
def counted_bytes(progress: Progress, name: str) -> Generator[Callable[[int, int], None]]:
    """A callback that takes the bytes done and the bytes expected, and shows them as a phase of megabytes.

    The phase opens with the first bytes and closes with the last, so nothing is shown where nothing is fetched.
    """
    with contextlib.ExitStack() as opened:
        phase: Phase | None = None
        told = 0

        def count(done: int, expected: int) -> None:
            nonlocal phase, told
            if phase is None:
                phase = opened.enter_context(progress.phase(f"{name} (MB)", round(expected / 1e6, 1)))
            phase.advance((done - told) / 1e6)
            told = done
            if done >= expected:
                opened.close()

        yield count


class Quiet:
    """Shows nothing."""

    @contextlib.contextmanager
    def phase(self, name: str, total: float | None = None) -> Generator[Phase]:  # noqa: ARG002
        yield _Silence()

    def say(self, line: str) -> None:
        pass


class _Silence:
    def advance(self, n: float = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Lines:
    """A line at the start and the end of a phase, and one every `every_s` seconds between them."""

    def __init__(
        self, stream: TextIO | None = None, every_s: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stream = stream or sys.stderr
        self.every_s = every_s
        self.clock = clock
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def phase(self, name: str, total: float | None = None) -> Generator[Phase]:
        phase = _LinePhase(self, name, total)
        self.say(f"{name} ...")
        yield phase
        self.say(f"{name}: done in {duration(self.clock() - phase.started)}{phase.remark}")

    def say(self, line: str) -> None:
        """Write one whole line; a reader that went away does not stop the work."""
        with self.lock, contextlib.suppress(BrokenPipeError):
            self.stream.write(f"{line}\n")
            self.stream.flush()


class _LinePhase:
    def __init__(self, lines: Lines, name: str, total: float | None) -> None:
        self.lines, self.name, self.total = lines, name, total
        self.lock = threading.Lock()
        self.done = 0.0
        self.remark = ""
        self.started = self.told = lines.clock()
        self.first: tuple[float, float] | None = None

    def advance(self, n: float = 1) -> None:
        with self.lock:
            now = self.lines.clock()
            self.done += n
            # What a resumed phase jumps over first took no time, so it does not count in the rate.
            self.first = self.first or (now, self.done)
            if now - self.told < self.lines.every_s:
                return
            self.told = now
            line = f"{self.name}: {self._count()}{self._time_left(now)}{self.remark}"
        self.lines.say(line)

    def note(self, text: str) -> None:
        with self.lock:
            self.remark = f", {text}" if text else ""

    def _count(self) -> str:
        if not self.total:
            return f"{self.done:,.0f}"
        return f"{self.done:,.0f} of {self.total:,.0f} ({self.done / self.total:.0%})"

    def _time_left(self, now: float) -> str:
        if not self.total or not self.first or self.done <= self.first[1] or now <= self.first[0]:
            return ""
        rate = (self.done - self.first[1]) / (now - self.first[0])
        return f", {duration(max(0.0, self.total - self.done) / rate)} left"


class Bars:
    """One bar for each phase, redrawn in place; a phase inside another has its bar below."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.lock = threading.Lock()
        self.open = 0
        self.shown: RichProgress | None = None

    @contextlib.contextmanager
    def phase(self, name: str, total: float | None = None) -> Generator[Phase]:
        with self.lock:
            self.shown = shown = self.shown or self._started()
            self.open += 1
        task = shown.add_task(name, total=total, note="")
        try:
            yield _BarPhase(shown, task)
            if total is None:
                shown.update(task, total=1, completed=1)
        finally:
            with self.lock:
                self.open -= 1
                if not self.open:
                    shown.stop()
                    self.shown = None

    def say(self, line: str) -> None:
        """Write one whole line, above the bars that are shown."""
        with self.lock:
            if self.shown:
                self.shown.console.print(line, markup=False, highlight=False)
            else:
                self.stream.write(f"{line}\n")

    def _started(self) -> "RichProgress":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as TimeLeft

        bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeLeft(),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(file=self.stream),
            redirect_stdout=False,
        )
        bars.start()
        return bars


class _BarPhase:
    def __init__(self, shown: "RichProgress", task: "TaskID") -> None:
        self.shown, self.task = shown, task

    def advance(self, n: float = 1) -> None:
        self.shown.advance(self.task, n)

    def note(self, text: str) -> None:
        self.shown.update(self.task, note=text)


def duration(seconds: float) -> str:
    """`4 s`, `3 min 20 s` or `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
