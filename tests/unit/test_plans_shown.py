"""What dry runs show a person: a base that is not here comes first, families that do not fit are counted."""

from pathlib import Path

import pytest
from example_bases import base_alone, evaluation, of_a_base
from rich.console import Console

from speciate.cli import run
from speciate.reports.comparison import render_comparison
from speciate.reports.evaluation import render_evaluation
from speciate.reports.suites import left_out

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("home")
def test_a_base_that_is_nowhere_is_told_at_the_top(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for base, first in (("nobody/nothing", "Warning"), ("data/base/tiny", "Species")):
        assert run(["train", "recipes/lean.yaml", "--set", f"base.model={base}", "--dry-run"]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith(first)
        assert shown.count("the model hub cannot be reached") == (first == "Warning")
        if first == "Warning":
            assert shown.splitlines()[0].startswith("Warning     training would not begin: base 'nobody/nothing'")


def test_families_that_do_not_fit_are_counted_with_examples() -> None:
    assert left_out(["b"]) == "1 family does not fit into the context: b"
    assert left_out(["d", "c", "b", "a", "e"]) == "5 families do not fit into the context: a, b, c and 2 more"
    console = Console(width=120)
    record = evaluation(left_out={f"family-{n}": "too long" for n in range(57)})
    with console.capture() as captured:
        console.print(render_evaluation(record, render_comparison(of_a_base(base_alone(3)))))
    shown = " ".join(captured.get().split())
    assert "57 families do not fit into the context: family-0, family-1, family-10 and 54 more" in shown
    assert "family-56" not in shown
