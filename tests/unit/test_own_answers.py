"""Rows in the base's own words: what it says, what is left out, what the verifier lets in, and what is told of it."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from populations import FLOAT32, TINY
from speaking import answer

from speciate.data.build import Rows
from speciate.evals.runner import Settings
from speciate.models import decoding
from speciate.models.base import load_model, load_tokenizer, locate
from speciate.models.population import Population
from speciate.niches import skills
from speciate.niches.base import Item, Verdict
from speciate.niches.skills import ExactMatch
from speciate.pipeline.own_answers import Own, notes_on
from speciate.pipeline.own_texts import around_question, beginning, texts_of_base
from speciate.progress import Lines
from speciate.recipe import load_recipe
from speciate.records import DataManifest
from speciate.storage import digest_json

RECIPE = Path(__file__).parents[2] / "recipes" / "lean.yaml"
REPLAY = [item for name in ("parity", "extremes") for item in skills.sample(name, 6, "own/replay")]
TRAIN = [item for name in ("sums", "sorting") for item in skills.sample(name, 6, "own/train")]


class Refusing(ExactMatch):
    """Accepts nothing, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterator[Verdict]:
        self.asked += [(item.digest, text) for item, text in zip(items, answers, strict=True)]
        yield from (Verdict(0.0, "wrong") for _ in items)


@pytest.fixture(scope="module")
def population() -> Population:
    source = locate("a-base", TINY)
    return Population(load_model(source, FLOAT32), load_tokenizer(source))


def made() -> Rows:
    rows = [*TRAIN, *REPLAY]
    manifest = DataManifest(
        rows=len(rows), replay_rows=len(REPLAY), families=dict(Counter(item.family for item in rows)), digest="before",
        eval_digest="", rejected_references=0, duplicates_removed=0, overlap_with_eval=0,
    )  # fmt: skip
    return Rows(TRAIN, REPLAY, [], [], [], manifest)


def own(population: Population, *changes: str, verifier: Any = None) -> Own:
    recipe = load_recipe(RECIPE, ["evals.max_new_tokens=24", *changes]).recipe
    return Own(recipe, population, "a-base", Settings(8, 512), verifier or ExactMatch(), Lines(io.StringIO()))


def digest(rows: Rows) -> str:
    return digest_json([[item.prompt, item.reference] for item in (*rows.train, *rows.replay)])


def test_a_recipe_that_gives_answers_wants_none_of_the_base(population: Population) -> None:
    assert not own(population).wanted
    assert own(population, "guard.replay_from=self").wanted
    assert own(population, "guard.on_policy={}").wanted


@pytest.mark.usefixtures("home")
def test_replay_rows_carry_what_the_base_says_right_or_wrong(population: Population) -> None:
    wrong = [replace(item, reference="no such answer") for item in REPLAY]
    greedy = own(population, "guard.replay_from=self", "guard.replay_temperature=0")
    found = greedy.rows(replace(made(), replay=wrong), [])
    said = answer(
        population.model, population.tokenizer, [item.prompt for item in REPLAY], max_new_tokens=24, batch_size=4
    )
    assert [item.reference for item in found.replay] == [one.text for one in said]
    assert [item.digest for item in found.replay] == [item.digest for item in REPLAY]
    assert found.train == TRAIN
    assert found.manifest.digest == digest(found) != "before"
    assert found.manifest.own_answers
    assert found.manifest.own_answers.replay == len(REPLAY)
    assert notes_on(found.manifest) == []


@pytest.mark.usefixtures("home")
def test_answers_without_an_end_are_left_out_and_counted(population: Population) -> None:
    short = own(population, "guard.replay_from=self", "evals.max_new_tokens=1").rows(made(), [])
    assert short.replay == []
    assert (short.manifest.rows, short.manifest.replay_rows) == (len(TRAIN), 0)
    assert short.manifest.families == {"sums": 6, "sorting": 6}
    assert short.manifest.own_answers
    assert short.manifest.own_answers.replay_left_out == len(REPLAY)
    [note] = notes_on(short.manifest)
    assert note.startswith("guard.replay_from: 12 of 12 answers of the base were empty or did not end")


@pytest.mark.usefixtures("home")
def test_the_first_right_answer_takes_the_place_of_the_given_one(population: Population) -> None:
    found = own(population, "guard.on_policy={samples: 2}", verifier=Spelt()).rows(made(), [])
    assert found.replay == REPLAY
    told = found.manifest.own_answers
    assert told is not None
    changed = [new for new, old in zip(found.train, TRAIN, strict=True) if new is not old]
    assert 0 < len(changed) == told.replaced <= told.asked == len(TRAIN)
    assert all(item.reference.strip() == old.reference for item, old in zip(found.train, TRAIN, strict=True))
    assert found.manifest.digest == digest(found)
    assert notes_on(found.manifest) == [
        f"guard.on_policy: {told.replaced} of 12 rows have a right answer of the base's own"
    ]


class Spelt(ExactMatch):
    """Right is what the skills call right; the same answer is asked for once."""

    def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterator[Verdict]:
        asked = [(item.digest, text) for item, text in zip(items, answers, strict=True)]
        assert len(set(asked)) == len(asked)
        return super().verify(items, answers)


@pytest.mark.usefixtures("home")
def test_a_base_that_gets_nothing_right_is_told_of(population: Population) -> None:
    verifier = Refusing()
    found = own(population, "guard.on_policy={samples: 2, fraction: 0.5}", verifier=verifier).rows(made(), [])
    assert found.train == TRAIN
    assert len({digest for digest, _ in verifier.asked}) <= 6
    [note] = notes_on(found.manifest)
    assert note.startswith("guard.on_policy: the base got none of 6 tasks right, so every row keeps its given answer")


@pytest.mark.usefixtures("home")
def test_a_second_run_recalls_what_the_base_said(population: Population, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ("guard.replay_from=self", "guard.on_policy={samples: 2}")
    first = own(population, *settings).rows(made(), [])
    asked: list[int] = []
    generate = decoding.generate

    def counted(population: Population, asks: Sequence[Any], *rest: Any, **given: Any) -> Any:
        asked.append(len(asks))
        return generate(population, asks, *rest, **given)

    monkeypatch.setattr("speciate.evals.runner.generate", counted)
    assert own(population, *settings).rows(made(), []) == first
    assert set(asked) == {0}
    other = own(population, *settings, "seed=4000000001").rows(made(), [])
    assert sum(asked) == len(REPLAY) + 2 * len(TRAIN)
    assert other.manifest.own_answers


@pytest.mark.usefixtures("home")
def test_own_words_that_give_an_item_away_are_left_out(population: Population) -> None:
    words = " ".join(f"word{number}" for number in range(14))
    leaking = replace(TRAIN[0], digest="leaking", prompt=words)
    rows = replace(made(), train=[*TRAIN, leaking])
    measured = [replace(TRAIN[1], digest="measured", prompt=f"Say {words}")]
    found = own(population, "guard.replay_from=self").rows(rows, measured)
    assert found.train == TRAIN
    assert found.manifest.given_away_removed == 1


def test_texts_of_the_base_follow_from_the_seed_and_end(population: Population) -> None:
    texts = texts_of_base(population, 12, 5, 200)
    assert texts == texts_of_base(population, 12, 5, 200)
    assert texts != texts_of_base(population, 12, 6, 200)
    assert texts[:3] == texts_of_base(population, 3, 5, 200), "a text does not depend on how many there are"
    end: Any = population.tokenizer.eos_token_id
    before, after = around_question(population.tokenizer)
    for number, text in enumerate(texts):
        assert len(text) <= 200
        assert tuple(text[: len(before)]) == before if number % 2 else text[0] == end
        assert len(text) == 200 or text[-1] == end or (number % 2 and len(text) == 100)
    assert len({tuple(text) for text in texts}) == 12
    answered = [text for text in texts[1::2] if after[-1] in text]
    assert answered, "of some question the base says its end, and then its answer"
    assert all(end not in text[len(before) : text.index(after[-1]) - len(after) + 1] for text in answered)


def test_a_base_without_a_chat_template_says_documents(random_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = locate("a-base", random_llama)
    tokenizer = load_tokenizer(source)
    monkeypatch.setattr(tokenizer, "chat_template", None)
    texts = texts_of_base(Population(load_model(source, FLOAT32), tokenizer), 4, 0, 12)
    assert [text[0] for text in texts] == [tokenizer.eos_token_id] * 4
    tokenizer.bos_token = "<|user|>"
    assert beginning(tokenizer) == (tokenizer.convert_tokens_to_ids("<|user|>"),)


class Agreeing(ExactMatch):
    """Accepts everything, and keeps the tasks that it was asked to judge."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterator[Verdict]:
        self.prompts += [item.prompt for item in items]
        yield from (Verdict(1.0, "ok") for _ in answers)


@pytest.mark.usefixtures("home")
def test_the_base_is_shown_an_answer_and_judged_on_the_task_itself(
    population: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[str] = []
    generate = decoding.generate

    def heard(population: Population, asks: Sequence[Any], *rest: Any, **given: Any) -> Any:
        put.extend(str(population.tokenizer.decode(list(ask.ids))) for ask in asks)
        return generate(population, asks, *rest, **given)

    monkeypatch.setattr("speciate.evals.runner.generate", heard)
    verifier = Agreeing()
    found = own(population, "guard.distill={temperature: 0}", verifier=verifier).rows(made(), [])
    assert put
    assert all("An answer that is right:" in text for text in put)
    assert set(verifier.prompts) <= {item.prompt for item in TRAIN}
    told = found.manifest.own_answers
    assert told
    assert told.shown == len(TRAIN)
    assert told.reworded == sum(new.reference != old.reference for new, old in zip(found.train, TRAIN, strict=True))
    assert [item.prompt for item in found.train] == [item.prompt for item in TRAIN]
    assert found.manifest.digest == digest(found)
    [note] = notes_on(found.manifest)
    assert note.startswith(f"guard.distill: {told.reworded} of 12 answers are said in the base's own words")


@pytest.mark.usefixtures("home")
def test_only_what_the_base_has_no_own_answer_to_is_shown(population: Population) -> None:
    both = own(population, "guard.on_policy={samples: 2}", "guard.distill={}", verifier=Spelt()).rows(made(), [])
    told = both.manifest.own_answers
    assert told
    assert told.shown == len(TRAIN) - told.replaced
