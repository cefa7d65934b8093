"""A very small base trained by the real pipeline: whole, loadable, and the same however often it was stopped."""

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from speaking import answer

from speciate.errors import InputError, RecipeError, ResumeMismatch, TrainingDiverged
from speciate.models.base import Compute, digest_folder, load_model, load_tokenizer, locate
from speciate.niches import skills
from speciate.pipeline import base
from speciate.progress import Phase, Quiet
from speciate.recipe import load_base_recipe
from speciate.storage import read_json
from speciate.train.pretrain import IGNORED, Schedule, packed_row, pretrain

ROOT = Path(__file__).parents[2]
RECIPE = """
base: smallest
architecture: {hidden: 32, layers: 1, heads: 2, kv_heads: 1, intermediate: 64, vocabulary: 400, context: 64}
train: {steps: 6, batch_tokens: 256, checkpoint_every: 2}
output: nowhere
"""
FLOAT32 = Compute("cpu", "float32", "float32")


class StopsIn:
    """Presses Ctrl-C in a phase, after so many units."""

    def __init__(self, phase: str, units: int) -> None:
        self.name, self.units = phase, units

    @contextlib.contextmanager
    def phase(self, name: str, total: float | None = None) -> Generator[Phase]:
        with Quiet().phase(name, total) as phase:
            yield _Stops(self.units) if name == self.name else phase

    def say(self, line: str) -> None:
        Quiet().say(line)


class _Stops:
    def __init__(self, units: int) -> None:
        self.left = float(units)

    def advance(self, n: float = 1) -> None:
        self.left -= n
        if self.left <= 0:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        assert text.startswith("loss ")


@pytest.fixture(autouse=True)
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same work on fewer texts, from a folder in which the primer is found."""
    monkeypatch.chdir(ROOT)
    for name, count in (("TEXTS_PER_SKILL", 20), ("STORIES", 50), ("LENGTH_SAMPLE", 5), ("CARD_ITEMS", 4)):
        monkeypatch.setattr(base, name, count)


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Path]:
    """`train_base` on the small recipe with some keys set."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)

    def run(name: str, *changes: str, resume: bool = False, stop: StopsIn | None = None) -> Path:
        return base.train_base(load_base_recipe(recipe, changes), tmp_path / name, resume, stop or Quiet())

    return run


def test_it_is_a_base_with_a_true_card(train: Callable[..., Path], tmp_path: Path) -> None:
    folder = train("base")
    assert folder == tmp_path / "base"
    card = read_json(folder / "card.json")
    assert card["schema"] == "base-card/1"
    assert card["digest"] == digest_folder(folder)
    assert card["tokens"] == 6 * 256
    assert card["skills"].keys() == skills.SKILLS.keys()
    assert {found["n"] for found in card["skills"].values()} == {4}
    assert card["digest"] in (folder / "README.md").read_text()
    assert "recipes/base-smallest.yaml" in (folder / "README.md").read_text()
    source = locate("smallest", folder)
    tokenizer, model = load_tokenizer(source), load_model(source, FLOAT32)
    assert sum(parameter.numel() for parameter in model.parameters()) == card["parameters"]
    assert model.config.vocab_size == len(tokenizer) <= 400
    assert len(answer(model, tokenizer, ["Sort: 3 1"], max_new_tokens=2, batch_size=1)) == 1
    assert tokenizer.decode(tokenizer("Sort: 31 ∧ ⟨h⟩")["input_ids"]) == "Sort: 31 ∧ ⟨h⟩"
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.yaml", "base"}, "no checkpoint stays"
    assert digest_folder(train("again")) == card["digest"]
    assert digest_folder(train("other", "seed=1")) != card["digest"]


def test_stopped_anywhere_it_ends_with_the_same_bytes(train: Callable[..., Path], tmp_path: Path) -> None:
    whole = digest_folder(train("whole"))
    for stop in (StopsIn("training the base", 3), StopsIn("training the base", 2), StopsIn("measuring its skills", 1)):
        with pytest.raises(KeyboardInterrupt):
            train("base", resume=True, stop=stop)
        assert not (tmp_path / "base").exists()
    assert [path.name for path in (tmp_path / ".base.training").glob("step-*")] == ["step-6"]
    assert digest_folder(train("base", resume=True)) == whole


def test_another_recipe_cannot_go_on(train: Callable[..., Path]) -> None:
    with pytest.raises(KeyboardInterrupt):
        train("base", stop=StopsIn("training the base", 3))
    with pytest.raises(ResumeMismatch, match=r"train\.learning_rate: 0\.002 -> 0\.01\n  train\.steps: 6 -> 8\nTake"):
        train("base", "train.steps=8", "train.learning_rate=0.01", resume=True)
    assert digest_folder(train("base", "seed=1")) == digest_folder(train("fresh", "seed=1")), "without --resume: anew"


def test_a_folder_with_files_is_never_written_to(train: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model.safetensors").write_text("precious")
    (tmp_path / "file").write_text("")
    for name in ("base", "file"):
        with pytest.raises(InputError, match=f"{name}' is there already and a base is never written to"):
            train(name)
    assert (tmp_path / "base" / "model.safetensors").read_text() == "precious"
    (tmp_path / "empty").mkdir()
    assert (train("empty") / "card.json").is_file()


def test_an_unknown_skill_is_named_with_its_line(train: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE + "corpus: {skills: {sums: 1, sortin: 1}}\n")
    with pytest.raises(RecipeError, match=r"recipe\.yaml:6: .*'sortin'; did you mean 'sorting'\?"):
        train("base")


def forget(step: int, loss: float) -> None:
    """Nobody is told of a step."""


def test_a_diverged_loss_is_named(random_llama: Path, tmp_path: Path) -> None:
    source = locate("a-base", random_llama)
    model = load_model(source, FLOAT32).requires_grad_(True)
    schedule = Schedule(4, 64, 64, 1e30, 0.1, 0.0, 2)
    with pytest.raises(TrainingDiverged, match=r"the loss is (nan|inf) at step \d; lower train\.learning_rate"):
        pretrain(model, load_tokenizer(source), lambda _: "a text", schedule, tmp_path, forget)


def test_a_row_is_full_and_counts_answers_and_texts(random_llama: Path) -> None:
    tokenizer = load_tokenizer(locate("a-base", random_llama))
    documents = ["Ada went home.", ("Sort: 3 1", "1 3")]
    ids, labels = packed_row(lambda index: documents[index % 2], tokenizer, 0, 64)
    assert len(ids) == len(labels) == 64
    assert all(label in (token, IGNORED) for token, label in zip(ids, labels, strict=True))
    counted = str(tokenizer.decode([label for label in labels if label != IGNORED]))
    assert counted.startswith("Ada went home.<|end|>1 3<|end|>Ada")
    told = str(tokenizer.decode(ids))
    assert told.startswith("Ada went home.<|end|><|user|>Sort: 3 1<|end|><|assistant|>1 3<|end|>Ada")
    assert packed_row(str, tokenizer, 0, 8)[0] != packed_row(str, tokenizer, 1, 8)[0]


def test_the_rate_rises_stays_and_falls_to_nothing() -> None:
    schedule = Schedule(100, 64, 64, 0.01, 0.1, 0.0, 10)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.001 * step for step in range(1, 11)])
    assert set(rates[9:41]) == {0.01}
    assert rates[41:] == sorted(rates[41:], reverse=True)
    assert rates[-1] == pytest.approx(0.01 / 60)
