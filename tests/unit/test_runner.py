"""A population answers items: every trouble is a row with a reason, and nothing is asked twice."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from speciate.errors import VerifierError
from speciate.evals.drift import item_drift, text_losses
from speciate.evals.memory import Memory
from speciate.evals.rows import table_of, write_rows
from speciate.evals.runner import Settings, evaluate
from speciate.evals.sources import Part
from speciate.models import decoding, scoring
from speciate.models.base import Compute, load_model, load_tokenizer, locate
from speciate.models.population import BASE, Population
from speciate.models.sampler import prompt_ids
from speciate.niches import skills
from speciate.niches.base import Item, Verdict
from speciate.niches.skills import ExactMatch
from speciate.recipe.suite import SamplingOf
from speciate.records import EvalRow
from speciate.remembered import Remembered

ROOT = Path(__file__).parents[2]
ITEMS = [item for name in ("sums", "sorting", "parity") for item in skills.sample(name, 4, "runner")]
SETTINGS = Settings(batch_size=7, context=512)


class Judge:
    """A verifier that does what its `reply` does."""

    def __init__(self, reply: Any) -> None:
        self.reply = reply

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterator[Verdict]:
        for item, answer in zip(items, answers, strict=True):
            yield self.reply(item, answer)


def saying(verdict: Verdict) -> Any:
    """A reply that is always the same."""

    def reply(*_: Any) -> Verdict:
        return verdict

    return reply


@pytest.fixture(scope="module")
def population() -> Population:
    """The shipped base with two adapters, of which the second has a weight that is no number."""
    import torch
    from peft import LoraConfig, get_peft_model

    folder = ROOT / "data" / "base" / "tiny"
    source = locate("tiny", folder)
    base = load_model(source, Compute("cpu", "float32", "float32"))
    torch.manual_seed(0)
    settings: dict[str, Any] = {"r": 4, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    model: Any = get_peft_model(base, LoraConfig(**settings, init_lora_weights=False), adapter_name="first")
    model.add_adapter("second", LoraConfig(**settings, init_lora_weights=False))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.02)
        next(parameter for name, parameter in model.named_parameters() if "lora_B.second" in name)[0, 0] = float("nan")
    return Population(model.eval(), load_tokenizer(source), {"sound": "first", "broken": "second"})


@pytest.fixture
def memory(tmp_path: Path, population: Population) -> Iterator[Memory]:
    kept = Remembered(tmp_path / "answers.sqlite")
    yield Memory({member: f"identity of {member}" for member in population.members}, kept)
    kept.close()


def part(judge: Any = ExactMatch, items: Sequence[Item] = ITEMS, **sampling: Any) -> Part:
    return Part("general", items, judge, SamplingOf.model_validate({"max_new_tokens": 24} | sampling))


def rows_of(population: Population, memory: Memory, asked: Part, member: str = BASE) -> list[EvalRow]:
    return evaluate(population, [member], asked, memory, SETTINGS)[member]


def test_every_member_answers_every_item_in_order(population: Population, memory: Memory) -> None:
    found = evaluate(population, population.members, part(), memory, SETTINGS)
    assert [[row.item for row in found[member]] for member in population.members] == [
        [item.digest for item in ITEMS]
    ] * 3
    base = found[BASE]
    assert sum(row.score for row in base) >= 10, "the shipped base can do these"
    assert {row.reason for row in base if row.score == 1} == {"ok"}
    assert all(row.prompt == item.prompt and row.role == "general" for row, item in zip(base, ITEMS, strict=True))
    assert len({row.prompt_digest for row in base}) == len(ITEMS)


def test_logits_that_are_no_numbers_are_rows_with_a_reason(population: Population, memory: Memory) -> None:
    found = evaluate(population, population.members, part(), memory, SETTINGS)
    assert {(row.reason, row.score) for row in found["broken"]} == {("nan", 0.0)}
    assert "nan" not in {row.reason for row in found[BASE] + found["sound"]}
    chosen = [Item("pick", "Sort: 2 1", "1 2", "d", {}, ("1 2", "2 1 1"))]
    picked = evaluate(population, population.members, Part("niche", chosen, None, SamplingOf()), memory, SETTINGS)
    assert [picked[member][0].reason for member in population.members] == ["ok", "ok", "nan"]


def test_an_answer_that_does_not_stop_or_is_empty_says_so(population: Population, memory: Memory) -> None:
    cut = rows_of(population, memory, part(max_new_tokens=1, items=skills.sample("copying", 4, "runner")))
    assert {row.reason for row in cut} == {"unfinished"}
    assert {row.tokens for row in cut} == {1}
    nothing = rows_of(
        population, memory, part(stop=["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"], items=ITEMS[:4])
    )
    assert {(row.reason, row.output) for row in nothing} == {("empty", "")}


def test_a_prompt_beyond_the_context_says_so(population: Population, memory: Memory) -> None:
    long = [Item("f", "Copy: " + "a " * 600, "a", "long"), ITEMS[0]]
    first, second = rows_of(population, memory, part(items=long))
    assert (first.reason, first.score, first.tokens) == ("too-long", 0.0, 0)
    assert second.reason == "ok"
    chosen = [Item("f", "Copy: " + "a " * 600, "a", "long", {}, ("a", "b"))]
    [row] = rows_of(population, memory, Part("general", chosen, None, SamplingOf()))
    assert row.reason == "too-long"


def test_half_a_character_in_a_verdict_is_a_row_that_can_be_written(
    population: Population, memory: Memory, tmp_path: Path
) -> None:
    found = rows_of(population, memory, part(lambda: Judge(saying(Verdict(0.0, "error", "it said '\ud800'")))))
    assert {row.detail for row in found} == {"it said '?'"}
    write_rows(tmp_path, BASE, table_of(found))


@pytest.mark.parametrize(
    ("given", "detail"),
    [(float("nan"), "nan"), (2.0, "2.0"), (-0.5, "-0.5"), ("1", "'1'"), (None, "None")],
)
def test_a_score_that_is_none_is_a_crash(population: Population, memory: Memory, given: Any, detail: str) -> None:
    found = rows_of(population, memory, part(lambda: Judge(saying(Verdict(given, "ok")))))
    assert {(row.score, row.reason) for row in found} == {(0.0, "crash")}
    assert detail in found[0].detail


def test_a_verifier_that_fails_fails_for_its_own_item_alone(population: Population, memory: Memory) -> None:
    def reply(item: Item, answer: str) -> Verdict:
        if item.family == "sorting":
            raise ZeroDivisionError("no luck")
        return Verdict(1.0, "ok", answer)

    found = rows_of(population, memory, part(lambda: Judge(reply)))
    assert [row.reason for row in found] == ["ok"] * 4 + ["crash"] * 4 + ["ok"] * 4
    assert found[4].detail == "ZeroDivisionError: no luck"


def test_a_verifier_that_says_too_little_is_asked_one_by_one(population: Population, memory: Memory) -> None:
    class Short(Judge):
        def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterator[Verdict]:
            yield from list(super().verify(items, answers))[:1]

    found = rows_of(population, memory, part(lambda: Short(saying(Verdict(1.0, "ok")))))
    assert {row.reason for row in found} == {"ok"}


def test_a_failure_that_speciate_tells_of_stops_the_evaluation(population: Population, memory: Memory) -> None:
    def reply(*_: Any) -> Verdict:
        raise VerifierError("Lean does not start")

    with pytest.raises(VerifierError, match="does not start"):
        rows_of(population, memory, part(lambda: Judge(reply)))


def test_nothing_is_asked_twice(population: Population, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Part("niche", [Item("p", "Sort: 2 1", "1 2", "d", {}, ("1 2", "2 1"))], None, SamplingOf())
    texts = ["Ada went to the barn.", "Ben."]
    members = [BASE, "sound"]

    def everything() -> Any:
        return (
            evaluate(population, members, part(), memory, SETTINGS),
            evaluate(population, members, part(temperature=1.0, samples=3), memory, SETTINGS),
            evaluate(population, members, chosen, memory, SETTINGS),
            text_losses(population, members, texts, memory, SETTINGS),
            item_drift(population, ["sound"], [part()], memory, SETTINGS),
        )

    first = everything()

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the model was asked again")

    monkeypatch.setattr(decoding, "last_logits", never)
    monkeypatch.setattr(scoring, "last_logits", never)
    again = everything()
    for before, after in zip(first, again, strict=True):
        for member in before:
            plain = [
                [row.model_copy(update={"ms": 0.0}) if hasattr(row, "ms") else row for row in its[member]]
                for its in (before, after)
            ]
            assert plain[0] == plain[1]
    with pytest.raises(AssertionError, match="asked again"):
        evaluate(population, members, part(max_new_tokens=25), memory, SETTINGS)


def test_a_killed_evaluation_keeps_the_answers_it_had(
    population: Population, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = 0
    real = decoding._batch  # pyright: ignore[reportPrivateUsage]

    def dies(*arguments: Any) -> None:
        nonlocal batches
        batches += 1
        if batches == 2:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(decoding, "_batch", dies)
    with pytest.raises(KeyboardInterrupt):
        rows_of(population, memory, part())
    assert memory.recalled == 0
    rows_of(population, memory, part())
    assert memory.recalled == SETTINGS.batch_size
    assert batches == 3


def test_only_tokens_that_were_computed_are_counted(population: Population, memory: Memory) -> None:
    prompts = [len(prompt_ids(population.tokenizer, item.prompt)) for item in ITEMS]
    first = rows_of(population, memory, part())
    assert memory.tokens == sum(prompts) + sum(row.tokens for row in first)
    rows_of(population, memory, part())
    assert memory.tokens == sum(prompts) + sum(row.tokens for row in first), "what was recalled was not computed"


def test_drift_and_losses_are_of_the_adapter(population: Population, memory: Memory) -> None:
    drift = item_drift(population, ["sound"], [part()], memory, SETTINGS)["sound"]
    assert len(drift) == len(ITEMS)
    assert all(one.forward >= 0 and one.reverse >= 0 and one.tokens > 0 for one in drift)
    assert sum(one.forward for one in drift) > 0 < sum(one.reverse for one in drift)
    losses = text_losses(population, [BASE, "sound"], ["Ada went to the barn.", "Ben."], memory, SETTINGS)
    assert [one.text for one in losses[BASE]] == [one.text for one in losses["sound"]]
    assert losses[BASE][0].bytes == len("Ada went to the barn.")
    assert losses[BASE][0].nats != losses["sound"][0].nats
