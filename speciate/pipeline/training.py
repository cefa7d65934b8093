"""The training of a run: the guard's rows, the stage itself, looks on the way, and how much of the adapter is kept."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from speciate.models.folding import settle
from speciate.models.strength import scale
from speciate.pipeline.course import Course, dial
from speciate.pipeline.folder import RunFolder
from speciate.pipeline.setting import Setting
from speciate.pipeline.stage import Material, Stage
from speciate.pipeline.trials import Bench, strongest
from speciate.progress import Progress
from speciate.records.trials import Choice, Chosen
from speciate.storage import read_json, write_json
from speciate.train.divergence import KlGuard
from speciate.train.encoding import whole
from speciate.train.sft import Measured
from speciate.train.stability import learned_nothing

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase


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

    def guard(self, material: Material) -> KlGuard | None:
        """The rows on which the adapter is held to its base."""
        kl = self.setting.loaded.recipe.guard.kl
        if kl is None:
            return None
        if kl.on == "self":
            rows = list(material.texts)
        else:
            rows = list({"general": material.general, "replay": material.replay}.get(kl.on, material.niche))
            if kl.on != "niche" and kl.tokens == "all":
                rows = [whole(row.input_ids) for row in rows]
        return KlGuard(rows[: kl.texts], kl.rows, kl.coefficient, kl.direction, self.setting.loaded.recipe.seed)

    def notes(self) -> list[str]:
        """What a person should know of how it went."""
        logs = sorted(self.folder.path.glob("checkpoints*/log.json"))
        return [said for path in logs if (said := learned_nothing(read_json(path)))]

    def run(
        self,
        model: "PeftModel",
        tokenizer: "PreTrainedTokenizerBase",
        material: Material,
        guard: KlGuard | None,
    ) -> dict[Choice, Chosen]:
        """Train the adapter in place, take its best checkpoint and its strength as the recipe asks; what was chosen."""
        recipe = self.setting.loaded.recipe
        course = Course(self.folder.path / "kept", self.bench, recipe.stop, tokenizer) if recipe.stop else None
        chosen: dict[Choice, Chosen] = {}
        steps = 0
        for number in range(len(recipe.train)):
            if course and course.ended:
                break
            stage = Stage(self.setting, self.folder, self.progress, number)
            look = Measured(course.stop.every, course.looking_after(steps)) if course else None
            steps += stage.run(model, tokenizer, material, guard, look)
        if course:
            course.finish(model, steps)
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


def chosen_in(folder: RunFolder) -> dict[Choice, Chosen]:
    """What was chosen in a run."""
    path = folder.path / "chosen.json"
    return {name: Chosen.model_validate(one) for name, one in read_json(path).items()} if path.exists() else {}
