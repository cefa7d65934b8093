"""What a person sees: the figures that matter, at any width, and nothing that a record's author smuggled in."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from example_comparisons import comparison
from example_records import DIGEST, card, chosen, families, forgetting, gain, gates, intact, run_record
from pydantic import BaseModel
from rich.cells import cell_len
from rich.console import Console, RenderableType

from speciate.recipe import Recipe
from speciate.records import Listed, Outcome
from speciate.registry.index import summary_of
from speciate.reports import terminal
from speciate.reports.registry import render_entry, render_list

HOSTILE = "[bold red]x[/] [link=file:///etc]y[/link] \x1b[31m\x1b]0;title\x07 \u202egnp.exe \n second line"
VERDICTS: list[Outcome] = ["passed", "failed", "undecided"]


def shown(renderable: RenderableType, width: int = 80, **console: Any) -> str:
    """What `terminal.text` gives, at a width of the test's choosing."""
    made = Console(width=width, **console)
    with made.capture() as captured:
        made.print(renderable)
    return captured.get()


def everything(hostile: str = "") -> list[RenderableType]:
    marked = [score.model_copy(update={"family": score.family + hostile}) for score in families()]
    made = card(
        niche=f"lean{hostile}",
        description=hostile,
        base={"name": f"data/base{hostile}", "digest": f"{DIGEST}{hostile}"},
        parents=[{"kind": "continued", "digest": f"sha256:{hostile}"}],
        families=marked,
        licence=f"mit{hostile}",
        created=f"2026-11-23{hostile}",
        cost={f"seconds{hostile}": 3.0},
        transfer=gain().model_copy(update={"metric": f"pass@1{hostile}"}),
        gates=[
            *gates(),
            gates()[0].model_copy(update={"gate": f"other{hostile}", "explanation": hostile, "outcome": "undecided"}),
        ],
    )
    record = run_record(
        species=f"lean-prover{hostile}",
        run=f"run{hostile}",
        run_dir=f"/home/{'a-long-folder-name/' * 8}{hostile}",
        device=f"cpu{hostile}",
        notes=[f"a note {hostile}"],
        families=marked,
        chosen={"strength": chosen(hostile or "it was best"), "checkpoint": chosen(hostile or "it was best")},
    )
    short = Listed.model_validate(summary_of(made) | {"aliases": [f"best{hostile}"]})
    listed = render_list([short], 1, [f"a damaged card {hostile}"])
    return [terminal.render_run(record), listed, render_entry(made, Path(f"/home/{hostile}/entry"))]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("hostile", ["", HOSTILE, "x" * 200, "漢字" * 40])
def test_no_line_is_wider_than_the_terminal(width: int, hostile: str) -> None:
    for renderable in everything(hostile):
        assert max(cell_len(line) for line in shown(renderable, width).splitlines()) <= width


@pytest.mark.parametrize("width", [80, 120])
def test_markup_and_control_characters_of_a_record_are_only_text(width: int) -> None:
    for renderable in everything(HOSTILE):
        text = shown(renderable, width, force_terminal=True, color_system="truecolor")
        assert "\x1b[31mx" not in text
        assert "\x1b]" not in text
        assert not {"\x07", "\u202e"} & set(text)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
        assert "\x1b" not in plain
        assert "[bold red]x[/]" in re.sub(r"[\s│]", "", plain).replace("[boldred]", "[bold red]")


@pytest.mark.parametrize("width", [80, 120])
def test_a_long_value_is_folded_and_never_cut(width: int) -> None:
    path = "/home/" + "/".join(f"folder-{number}" for number in range(30))
    text = shown(terminal.render_run(run_record(run_dir=path)), width)
    assert path in re.sub(r"\s", "", text)
    assert "…" not in text


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_verdict_is_a_word_and_not_only_a_colour(verdict: Outcome) -> None:
    text = shown(terminal.render_run(run_record(verdict)))
    assert verdict.upper() in text.splitlines()[1]
    assert "\x1b" not in text


def test_a_run_shows_what_it_gained_and_what_it_cost() -> None:
    text = " ".join(shown(terminal.render_run(run_record()), 120).split())
    for figure in (
        "+63.4 points (95% interval 58.1 to 68.4)",
        "passed: 95% sure of at least +59.0; asked +45.0",
        "pass@1 9.7% → 73.1%, 320 items; wrong→right 206, right→wrong 3",
        "lost 0.4 points (95% interval of the loss -0.2 to 1.1)",
        "passed: 95% sure to lose less than 0.9; allowed 1.0",
        "accuracy 81.2% → 80.8%, 1,200 items; wrong→right 4, right→wrong 9",
        "+0.0055 nats/token (95% interval +0.0021 to +0.0092), 64 documents",
        "intact: unchanged on disk and in memory",
        "3,481 tokens/s on cpu fp32",
        "2.7 GiB",
        "6m52s = data 21s · preflight 1.2s · train 5m05s · intact 6.1s · evals 1m19s Speed",
        "/home/ada/.speciate/registry/entries/ab12ab12ab12ab12",
        "Next speciate registry show ab12ab12",
    ):
        assert figure in text


def test_a_won_point_is_not_called_lost() -> None:
    won = forgetting().model_copy(update={"delta": -0.021, "ci95": (-0.04, -0.002), "ci95_upper": -0.005})
    assert "won 2.1 points" in shown(terminal.render_run(run_record(forgetting=won)))


def test_families_are_drawn_to_scale_and_held_out_ones_are_marked() -> None:
    lines = shown(terminal.render_run(run_record())).splitlines()
    rows = {name: next(line for line in lines if name in line) for name in ("list-induction", "equality", "quant")}
    assert rows["list-induction"].count("█") == 12
    assert rows["equality"].count("█") == 9
    assert terminal.HELD_OUT + "quantifiers" in rows["quant"]
    assert lines.index(rows["quant"]) > lines.index(rows["equality"])
    assert terminal.HELD_OUT not in rows["equality"]


def test_a_run_shows_its_general_families_its_drift_and_what_casts_doubt() -> None:
    arm = comparison().arms[0]
    several = gain().model_copy(update={"seeds": 3, "p_mcnemar": None})
    told = {"general": arm.general, "drift": arm.drift, "troubles": arm.troubles, "contamination": arm.contamination}
    text = " ".join(shown(terminal.render_run(run_record(gain=several).model_copy(update=told)), 120).split())
    for figure in (
        "pass@1 9.7% → 73.1%, 320 items, mean of 3 seeds; wrong→right 206, right→wrong 3 Hammer",
        "Drift general: forward 0.032 (0.0288 to 0.0352), reverse 0.0512 (0.0448 to 0.0576) nats/token, 200 items",
        "No answer 212 of 1,700 rows of base without a proper answer: unfinished",
        "Overlap 0 items word for word and 3 by a run of 13 words, of 1,700 items (0.2%; above 1.0% is an error)",
        "+68 (50 to 85) 40",
    ):
        assert figure in text
    assert text.index("quantifiers") < text.rindex("general: ") < text.index("general/equalities")


def test_an_altered_base_is_told_in_words() -> None:
    text = shown(terminal.render_run(run_record(intact=intact(holds=False))), 120)
    assert "ALTERED: the files on disk, its logits without the adapter changed" in text
    assert "intact:" not in text


def test_what_to_do_next_names_the_items_that_would_decide() -> None:
    text = " ".join(shown(terminal.render_run(run_record("undecided")), 120).split())
    assert "Next raise evals.general_items: about 2,480 items would decide it, there were 1,200" in text
    assert "undecided: the loss is anywhere from -0.1 to 1.3; allowed 1.0" in text
    hopeless = [gates()[0], gates("undecided")[1].model_copy(update={"n_to_decide": None})]
    text = shown(terminal.render_run(run_record("undecided", gates=hopeless)), 120)
    assert "move the bound" in text


def test_a_failed_gate_comes_with_advice() -> None:
    text = shown(terminal.render_run(run_record("failed")), 120)
    assert "failed: 95% sure to lose more than 1.1; allowed 1.0" in text
    assert "guard.replay" in text


@pytest.mark.parametrize("advice", terminal.ADVICE.values())
def test_advice_names_keys_that_a_recipe_has(advice: str) -> None:
    keys = re.findall(r"[a-z_]+\.[a-z_]+", advice)
    assert keys
    for key in keys:
        section, field = key.split(".")
        annotation: Any = Recipe.model_fields[section].annotation
        # `train` is a tuple of stages.
        schema = annotation if isinstance(annotation, type) else get_args(annotation)[0]
        assert issubclass(schema, BaseModel)
        assert field in schema.model_fields


def test_without_a_terminal_there_is_text_without_colour_or_trailing_blanks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    text = terminal.text(terminal.render_run(run_record()))
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert max(map(cell_len, text.splitlines())) <= 80
    assert capsys.readouterr().out == ""


def test_no_color_is_honoured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    renderable = terminal.render_run(run_record())
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m" in terminal.text(renderable)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", terminal.text(renderable))
