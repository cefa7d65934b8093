"""A comparison in a terminal: its figures at any width, and nothing that a record's author smuggled in."""

import re
from typing import Any

import pytest
from example_comparisons import HOSTILE, comparison, hostile
from example_records import intact
from rich.cells import cell_len
from rich.console import Console

from speciate.records import Comparison
from speciate.reports import terminal
from speciate.reports.comparison import MOST_FAMILIES, render_comparison


def shown(of: Comparison, width: int = 80, **console: Any) -> str:
    made = Console(width=width, **console)
    with made.capture() as captured:
        made.print(render_comparison(of))
    return captured.get()


def sentence(of: Comparison, width: int = 120) -> str:
    return " ".join(shown(of, width).split())


def test_it_says_what_matters() -> None:
    text = sentence(comparison())
    for figure in (
        "PASSED lora r=32",
        "lora r=32: passed. It gains 63.4 points on the niche (95% interval 58.3 to 68.5)",
        "lora r=32 +63.4 +5.0 +1.2 +0.0120 on it",
        "58.3 to 68.5 -1.0 to 11.0 0.4 to 2.0 +0.0090 to +0.0150",
        "wrong→right 255, right→wrong 1, McNemar p <0.001",
        "min_gain passed: 95% sure of at least +59.1; asked +45.0",
        "forward 1.83 (1.65 to 2.02), reverse 2.93 (2.57 to 3.3) nats/token",
        "0.36 (0.33–0.39) → 0.22 (0.19–0.25) between 23 families",
        "lora r=8 - lora r=32 niche -8.4 (-12.4 to -4.4) <0.001",
        "180 answers changed; 3 of them:",
        "train.lora.r 1 lora r=32",
        "212 of 1,700 rows of base without a proper answer: unfinished",
    ):
        assert figure in text


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("of", [comparison(), comparison(6, 80, 10, 30, 500), hostile(), hostile("漢字" * 40)])
def test_it_fits_the_width(of: Comparison, width: int) -> None:
    wide = [line for line in shown(of, width).splitlines() if cell_len(line) > width]
    assert wide == [] or width == 60


def test_markup_and_control_characters_of_a_record_are_only_text() -> None:
    text = shown(
        hostile(HOSTILE + "[bold red]x[/] \x1b]0;title\x07"), 120, force_terminal=True, color_system="truecolor"
    )
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", plain)
    assert "␛[31m" in plain
    terminal.text(render_comparison(hostile()))


def test_verdicts_are_words_and_colour_only_repeats_them(monkeypatch: pytest.MonkeyPatch) -> None:
    of = comparison(6)
    assert {arm.verdict for arm in of.arms} == {"passed", "undecided", "failed"}
    text = shown(of)
    for arm in of.arms:
        assert re.search(rf"{str(arm.verdict).upper()} +{re.escape(arm.label)}", text)
    assert "\x1b" not in text
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", terminal.text(render_comparison(of)))


def test_few_families_are_all_shown_and_of_many_the_ends() -> None:
    text = shown(comparison(1, 12, 2, 9))
    assert "…" not in text
    assert len(re.findall(r"%  ", text)) >= 23
    text = shown(comparison(1, 80, 10, 30))
    assert len(re.findall(r"^… \d+ \w+", text, re.MULTILINE)) == 3
    assert len(re.findall(r"%\s+[█▏▎▍▌▋▊▉·]", text)) == MOST_FAMILIES
    assert text.count("%") < 200


def test_families_are_drawn_to_scale_most_improved_first() -> None:
    of = comparison(1, 6, 0, 0)
    names = [score.family for score in sorted(of.arms[0].families, key=lambda score: -score.delta)]
    lines = shown(of, 100).splitlines()
    places = [next(at for at, line in enumerate(lines) if line.startswith(name)) for name in names]
    assert places == sorted(places)


def test_lines_of_answers_are_kept() -> None:
    lines = [line.rstrip() for line in shown(comparison()).splitlines()]
    at = next(at for at, line in enumerate(lines) if line.startswith(" adapter     cases h1 with"))
    assert lines[at + 1 : at + 3] == [" " * 13 + "| intro a' h =>", " " * 13 + "  exact ⟨h.1, h2 h⟩"]


def test_one_run_one_of_little_and_none() -> None:
    text = sentence(comparison(1, 3, 1, 3, 5))
    assert "front" not in text
    assert "Recipes differ" not in text
    whole = comparison(1, 0, 0, 0, 0)
    nothing = dict.fromkeys(("gain", "transfer", "forgetting", "verdict", "spread", "intact", "contamination"))
    bare = whole.arms[0].model_copy(update=nothing | {"troubles": [], "gates": [], "drift": []})
    assert "NO GATE lora r=32" in sentence(whole.model_copy(update={"arms": [bare]}))
    assert "answers changed" not in sentence(whole.model_copy(update={"arms": [bare]}))
    shown(whole.model_copy(update={"arms": []}))


def test_what_casts_doubt_is_told() -> None:
    whole = comparison(left_out={"niche": 12})
    arms = [whole.arms[0].model_copy(update={"intact": intact(holds=False)}), whole.arms[1]]
    text = sentence(whole.model_copy(update={"arms": arms}))
    assert "ALTERED: the files on disk" in text
    assert "12 niche items, which not all arms answered" in text


def test_thousands_of_flips_and_long_names_stay_short() -> None:
    assert len(shown(comparison(2, flips=20_000))) < 20_000
    assert len(shown(hostile(HOSTILE * 1000))) < 100_000
