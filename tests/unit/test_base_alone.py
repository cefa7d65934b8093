"""A base by itself is shown with its score and nothing that only an adapter has: no gain, no change, no empty plot."""

import re
from typing import Any

import pytest
from example_bases import base_alone, beside_an_adapter, evaluation, of_a_base
from example_comparisons import comparison
from rich.console import Console, RenderableType

from speciate.pipeline.words import words
from speciate.reports.comparison import render_comparison
from speciate.reports.evaluation import render_evaluation
from speciate.reports.families import by_role
from speciate.reports.markdown import render_markdown
from speciate.reports.page import render_page

OF_ADAPTERS = re.compile(
    r"adapter, %|\bgain(s|ed)?\b|forgetting|\blost\b|McNemar|no gate|Verdict|flipped|changed|Spread|→|seed",
    re.IGNORECASE,
)


def shown(of: RenderableType, width: int = 80) -> str:
    made = Console(width=width)
    with made.capture() as captured:
        made.print(of)
    return captured.get()


def read(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.S)).split())


@pytest.mark.parametrize("families", [3, 12, 60])
def test_a_page_has_one_headline_and_one_score_for_each_family(families: int) -> None:
    page = render_page(of_a_base(base_alone(families)))
    text = read(page)
    assert not OF_ADAPTERS.search(text), OF_ADAPTERS.search(text)
    assert f"Mean score, general 97.1% 95% interval 95.7% to 98.1% 760 items in {families} families" in text
    assert "base alone" in text
    assert "family role items score, %" in text
    assert not re.search(r'<div class="plots">\s*</div>', page)
    assert ("Jaggedness: families from best to worst" in text) == (families >= 8)
    assert "changes-0-title" not in page
    assert set(re.findall(r'href="#(\w+)"', page)) == {"figures", "families", "provenance", "doubts", "words"}


def test_a_family_is_one_mark_with_its_interval() -> None:
    page = render_page(of_a_base(base_alone(3)))
    [drawing] = re.findall(r'<svg class="chart".*?</svg>', page, re.S)
    assert len(re.findall("<use ", drawing)) == 3
    assert "75% (" in drawing
    assert "of base and of adapter" not in drawing


def test_the_best_family_comes_first() -> None:
    scores = [score.base for score in by_role(base_alone())["general"]]
    assert scores == sorted(scores, reverse=True)


def test_markdown_has_the_score_and_one_column() -> None:
    made = render_markdown(of_a_base())
    assert not OF_ADAPTERS.search(made)
    assert "| **data/base/tiny** | general | 97.1% | 95.7% to 98.1% | 760 |" in made
    assert "| family | role | items | score, % |" in made


def test_a_terminal_has_the_score_and_one_bar_for_each_family() -> None:
    text = shown(render_evaluation(evaluation(), render_comparison(of_a_base())))
    assert not OF_ADAPTERS.search(text)
    assert "BASE ALONE" in text
    assert " ".join(text.split()).count("97.1%") == 1
    lines = [line for line in text.splitlines() if line.startswith("general/")]
    assert len(lines) == 12
    assert {line.count("█") > 0 and len(re.findall(r"\d+%", line)) for line in lines} == {1}
    assert re.search(r"family +score +interval +items", text)


def test_beside_an_adapter_it_has_a_score_and_no_changes() -> None:
    of = beside_an_adapter()
    text = read(render_page(of))
    assert "97.1 (95.7 to 98.1) general" in text
    assert "family role items score, %" in text
    assert "family role items base, % adapter, % change, points Holm p" in text
    assert "| data/base/tiny | general/quantifiers-6 | general | 40 | 85 (71 to 93) | – | – |" in render_markdown(of)
    told = shown(render_comparison(of), 120)
    assert "97.1 (95.7 to 98.1) general" in told
    assert "PASSED" in told
    assert "BASE ALONE" in told
    assert "score, %" not in read(render_page(comparison()))


def test_words_of_a_base_alone_give_each_role_its_interval() -> None:
    first = base_alone().scores[0]
    niche = first.model_copy(update={"role": "niche", "value": 0.25, "ci95": (0.2, 0.3), "samples": 4, "n": 9})
    other: dict[str, Any] = {"label": "other", "base": {"name": "other", "digest": "sha256:2"}}
    said = words([base_alone(scores=[niche, first]), base_alone(**other)], [], [])
    assert said[0] == (
        "data/base/tiny by itself scores 25.0% on the niche (95% interval 20.0% to 30.0%, 9 items answered 4 times) "
        "and 97.1% in general (95% interval 95.7% to 98.1%, 760 items)."
    )
    assert len(said) == 2, "bases that differ have no gains to be doubted"


@pytest.mark.parametrize(
    ("recalled", "rate", "said"),
    [
        (0, 3903.0, "760 answers in 7 s, 3,903 tokens/s on cpu float32"),
        (700, 51.0, "760 answers in 7 s: 700 recalled, 60 generated at 51 tokens/s on cpu float32"),
        (760, 0.0, "760 answers, all of them recalled, none generated; 7 s on cpu float32"),
    ],
)
def test_a_rate_is_of_what_was_generated(recalled: int, rate: float, said: str) -> None:
    record = evaluation(recalled=recalled, tokens_per_second=rate)
    text = shown(render_evaluation(record, render_comparison(of_a_base())), 120)
    assert said in " ".join(text.split())
    assert ("tokens/s" in text) == (recalled < 760)
