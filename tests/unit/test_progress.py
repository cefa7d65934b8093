"""Progress is told in whole lines off a terminal, in bars on one, and never twice for one thing."""

import io
from concurrent.futures import ThreadPoolExecutor

import pytest

from speciate.progress import Bars, Lines, Quiet, counted_bytes, duration, progress_on


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_lines_come_at_the_start_at_the_end_and_every_few_seconds():
    out, clock = io.StringIO(), Clock()
    with Lines(out, every_s=5, clock=clock).phase("train", 100) as phase:
        for _ in range(10):
            phase.note(f"loss {clock.now:.0f}")
            clock.now += 2
            phase.advance(10)
    assert out.getvalue().splitlines() == [
        "train ...",
        "train: 30 of 100 (30%), 14 s left, loss 104",
        "train: 60 of 100 (60%), 8 s left, loss 110",
        "train: 90 of 100 (90%), 2 s left, loss 116",
        "train: done in 20 s, loss 118",
    ]


def test_what_a_resumed_phase_jumps_over_does_not_count_in_the_rate():
    out, clock = io.StringIO(), Clock()
    with Lines(out, every_s=5, clock=clock).phase("train", 100) as phase:
        phase.advance(80)
        clock.now += 10
        phase.advance(5)
    assert "85 of 100 (85%), 30 s left" in out.getvalue()


def test_a_phase_without_a_total_counts():
    out, clock = io.StringIO(), Clock()
    with Lines(out, every_s=0, clock=clock).phase("check") as phase:
        phase.advance(1200)
    assert out.getvalue().splitlines() == ["check ...", "check: 1,200", "check: done in 0 s"]


def test_a_phase_that_fails_is_not_said_to_be_done():
    out = io.StringIO()
    with pytest.raises(ZeroDivisionError), Lines(out).phase("train", 1):
        _ = 1 / 0
    assert out.getvalue() == "train ...\n"


def test_lines_of_many_threads_are_whole_and_none_is_lost():
    out = io.StringIO()
    with Lines(out, every_s=0).phase("work", 4000) as phase, ThreadPoolExecutor(8) as pool:
        for _ in range(4000):
            pool.submit(phase.advance)
    lines = out.getvalue().splitlines()
    assert len(lines) == 4002
    assert any(line.startswith("work: 4,000 of 4,000 (100%)") for line in lines)
    assert all(line.startswith("work") and line.count("work") == 1 for line in lines)


def test_bars_show_names_as_they_are_and_stop_after_an_error():
    out = Terminal()
    bars = Bars(out)
    with bars.phase("[red]train", 4) as outer:
        outer.advance(3)
        outer.note("loss [0.5]")
        with bars.phase("inner"):
            pass
    with pytest.raises(ZeroDivisionError), bars.phase("second", 2):
        _ = 1 / 0
    shown = out.getvalue()
    assert "[red]train" in shown
    assert "3/4" in shown
    assert "loss [0.5]" in shown
    assert "inner" in shown
    assert shown.count("\x1b[?25h") == 2, "the cursor comes back after each"


def test_the_stream_decides_what_is_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(progress_on(io.StringIO()), Lines)
    assert isinstance(progress_on(Terminal()), Bars)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_on(Terminal()), Lines)
    with Quiet().phase("train", 3) as phase:
        phase.advance()
        phase.note("unseen")


def test_bytes_are_a_phase_only_where_some_come():
    out = io.StringIO()
    with counted_bytes(Lines(out, every_s=0), "Lean") as count:
        assert out.getvalue() == ""
        count(1_000_000, 3_000_000)
        count(3_000_000, 3_000_000)
        assert out.getvalue().splitlines()[-1] == "Lean (MB): done in 0 s"
    lines = out.getvalue().splitlines()
    assert lines[1] == "Lean (MB): 1 of 3 (33%)"
    assert lines[2].startswith("Lean (MB): 3 of 3 (100%)")
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float, said: str):
    assert duration(seconds) == said
