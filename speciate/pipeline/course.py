"""The course of a training that is looked at: every so many steps the adapter is tried on development items and kept,
the training ends where the recipe says so, and the best of what was kept is taken. Then its strength is chosen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speciate.models.adapter import trainable
from speciate.models.strength import put
from speciate.pipeline.trials import Bench, best
from speciate.recipe.guard import Stop
from speciate.records.trials import Chosen, Trial
from speciate.storage import read_json, write_bytes, write_json

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Course:
    """What was kept lies in a folder: `step-N.safetensors`, and `ended.json` once the training has ended."""

    folder: Path
    bench: Bench
    stop: Stop
    tokenizer: "PreTrainedTokenizerBase"

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to train."""
        return (self.folder / "ended.json").exists()

    def looking_after(self, steps: int) -> Callable[["PeftModel", int], bool]:
        """How a stage looks that begins after so many steps of others."""
        return lambda model, step: self.look(model, steps + step)

    def look(self, model: "PeftModel", step: int) -> bool:
        """Keep and try the adapter; whether the training ends here."""
        self._keep(model, step)
        trial = self.bench.trial(model, self.tokenizer, step)
        reached = self.stop.target is not None and trial.passed and (trial.gain or 0.0) >= self.stop.target
        lost = trial.forgetting is not None and trial.forgetting > self.bench.max_forgetting
        if reached or lost:
            self.end(step, "the target gain was reached" if reached else "the forgetting bound was passed")
        return reached or lost

    def end(self, step: int, why: str) -> None:
        """Remember that the training has ended."""
        write_json(self.folder / "ended.json", {"step": step, "why": why})

    def finish(self, model: "PeftModel", step: int) -> None:
        """The last look, where the training went through all of its steps."""
        if not self.ended:
            self._keep(model, step)
            self.bench.trial(model, self.tokenizer, step)
            self.end(step, "all steps were trained")

    def take_best(self, model: "PeftModel", without: list[str]) -> Chosen:
        """Give the model the best adapter that was kept."""
        from safetensors.torch import load_file

        steps = sorted(int(path.stem.removeprefix("step-")) for path in self.folder.glob("step-*.safetensors"))
        trials = [self.bench.trial(model, self.tokenizer, step) for step in steps if self._tried(step)]
        chosen = best(trials, without)
        put(model, load_file(self.folder / f"step-{chosen.taken.step}.safetensors"))
        ended = read_json(self.folder / "ended.json")
        why = f"training ended at step {ended['step']}, since {ended['why']}; taken: {chosen.why}"
        return chosen.model_copy(update={"why": why})

    def _tried(self, step: int) -> bool:
        return (self.bench.folder / f"step-{step}-strength-1.json").exists()

    def _keep(self, model: "PeftModel", step: int) -> None:
        from safetensors.torch import save

        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in trainable(model).items()}
        write_bytes(self.folder / f"step-{step}.safetensors", save(tensors))


def dial(
    model: "PeftModel", tokenizer: "PreTrainedTokenizerBase", step: int, tried: tuple[float, ...], bench: Bench
) -> list[Trial]:
    """Trials of one adapter at several strengths, without changing it: equal to WiSE-FT (Wortsman et al. 2022)."""
    from peft.helpers import rescale_adapter_scale

    trials: list[Trial] = []
    for strength in sorted(tried, reverse=True):
        with rescale_adapter_scale(model, strength):
            trials.append(bench.trial(model, tokenizer, step, strength))
    return trials
