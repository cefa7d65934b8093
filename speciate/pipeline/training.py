"""The training of a run: the guard's rows, the stage itself, looks on the way, and how much of the adapter is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from speciate.models.folding import settle
from speciate.models.strength import scale
from speciate.pipeline.course import Course, dial
from speciate.pipeline.folder import RunFolder
from speciate.pipeline.own_texts import texts_of_base
from speciate.pipeline.setting import Setting, sft_of, token_loss_of
from speciate.pipeline.trials import Bench, strongest
from speciate.progress import Progress
from speciate.records.trials import Chosen
from speciate.storage import read_json, read_jsonl, write_json, write_jsonl
from speciate.train.divergence import KlGuard
from speciate.train.encoding import Encoded
from speciate.train.sft import Measured, Step, preflight
from speciate.train.sft import train as train_sft

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

    from speciate.models.population import Population


@dataclass(frozen=True)
class Material:
    """What a training reads, as tokens."""

    rows: Sequence[Encoded]
    """All that are trained on."""
    niche: Sequence[Encoded]
    replay: Sequence[Encoded]
    dev: Sequence[Encoded]
    names: Sequence[str]
    """Of `rows`, for messages."""


@dataclass(frozen=True)
class Training:
    """The training phase of one run."""

    setting: Setting
    folder: RunFolder
    progress: Progress
    bench: Bench
    """Where the adapter is tried on development items, if the recipe asks for it."""
    without: list[str]
    """Families that have no development items."""

    def guard(self, material: Material, population: "Population") -> KlGuard | None:
        """The rows on which the adapter is held to its base; what the base says by itself is kept on disk."""
        kl = self.setting.loaded.recipe.guard.kl
        if kl is None:
            return None
        seed = self.setting.loaded.recipe.seed
        if kl.on == "self":
            path = self.folder.path / "data" / "own-texts.jsonl"
            if not path.exists():
                length = min(self.setting.loaded.recipe.train.max_length, self.setting.context or 10**9)
                with self.folder.timed("own texts"), self.progress.phase("hearing what the base says by itself"):
                    texts = texts_of_base(population, kl.texts, seed, length)
                write_jsonl(path, [{"tokens": ids} for ids in texts])
            rows = [_whole(row["tokens"]) for row in read_jsonl(path)]
        else:
            # Of general rows the questions count too: they are text like any other.
            rows = [_whole(row.input_ids) for row in material.replay] if kl.on == "replay" else list(material.niche)
        return KlGuard(rows[: kl.texts], kl.rows, kl.coefficient, kl.direction, seed)

    def run(
        self,
        model: "PeftModel",
        tokenizer: "PreTrainedTokenizerBase",
        material: Material,
        guard: KlGuard | None,
    ) -> dict[str, Chosen]:
        """Train the adapter in place, take its best checkpoint and its strength as the recipe asks; what was chosen."""
        recipe = self.setting.loaded.recipe
        chosen: dict[str, Chosen] = {}
        steps = sft_of(recipe).steps(len(material.rows))
        if recipe.stop is None:
            self._stage(model, tokenizer, material, guard, None)
        else:
            course = Course(self.folder.path / "kept", self.bench, recipe.stop, tokenizer)
            if not course.ended:
                look = Measured(recipe.stop.every, course.look)
                course.finish(model, self._stage(model, tokenizer, material, guard, look))
            with self.folder.timed("choosing"):
                chosen["checkpoint"] = course.take_best(model, self.without)
            steps = chosen["checkpoint"].taken.step
        # An adapter that was held against its beginning becomes a plain one before its strength is chosen.
        settle(model)
        model.eval()
        if recipe.strength.tried:
            with self.folder.timed("choosing"):
                trials = dial(model, tokenizer, steps, recipe.strength.tried, self.bench)
            chosen["strength"] = strongest(trials, self.without)
            scale(model, chosen["strength"].taken.strength)
        path = self.folder.path / "chosen.json"
        write_json(path, {name: one.model_dump(mode="json") for name, one in chosen.items()})
        return chosen

    def _stage(
        self,
        model: "PeftModel",
        tokenizer: "PreTrainedTokenizerBase",
        material: Material,
        guard: KlGuard | None,
        look: Measured | None,
    ) -> int:
        """Supervised training, the longest batch first tried; the steps that were done in all."""
        settings = sft_of(self.setting.loaded.recipe)
        compute = self.setting.compute
        total = settings.steps(len(material.rows))
        with self.folder.timed("train"), self.progress.phase("training", total) as phase:
            preflight(model, material.rows, settings, cast(int, tokenizer.pad_token_id), compute)
            reached = 0

            def told(step: Step) -> None:
                nonlocal reached
                phase.advance(step.step - reached)
                phase.note(f"loss {step.loss:.3f}")
                reached = step.step

            checkpoints = self.folder.path / "checkpoints"
            loss = token_loss_of(self.setting.loaded.recipe)
            given = (material.rows, material.dev, settings, compute, checkpoints, told, guard, look, loss)
            trained = train_sft(model, tokenizer, *given, material.names)
        if trained.steps > trained.resumed_from:
            write_json(self.folder.path / "speed.json", {"tokens_per_second": trained.tokens / trained.seconds})
        return trained.steps


def chosen_in(folder: RunFolder) -> dict[str, Chosen]:
    """What was chosen in a run."""
    path = folder.path / "chosen.json"
    return {name: Chosen.model_validate(one) for name, one in read_json(path).items()} if path.exists() else {}


def _whole(ids: list[int]) -> Encoded:
    """Tokens that all count but the first, which nothing precedes."""
    return Encoded(list(ids), list(ids))
