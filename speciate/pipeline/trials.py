"""Measuring an adapter on development items while it is made, and choosing among such measurements.

What is reported comes from other items. A trial that was made is kept in the run's folder and not made again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from speciate.evals import stats
from speciate.evals.figures import Paired, paired, scored
from speciate.evals.rows import read_rows
from speciate.evals.runner import Settings
from speciate.evals.sources import Part, Questions
from speciate.models.adapter import weights_digest
from speciate.models.population import BASE, Population
from speciate.pipeline.measuring import measure, memory_of
from speciate.progress import Progress
from speciate.records import Role
from speciate.records.trials import Chosen, Trial
from speciate.storage import digest_json, read_json, write_json

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Bench:
    """Where trials are made: what is asked, and how."""

    folder: Path
    asked: Questions
    """The suite, of which only `parts` are asked."""
    parts: Sequence[Part]
    """Development items of the niche and of the suite's general families."""
    settings: Settings
    base_identity: str
    max_forgetting: float
    progress: Progress

    def trial(
        self, model: "PeftModel", tokenizer: "PreTrainedTokenizerBase", step: int, strength: float = 1.0
    ) -> Trial:
        """The adapter as it is in memory, against its base."""
        path = self.folder / f"step-{step}-strength-{strength:g}.json"
        if path.exists():
            return Trial.model_validate(read_json(path))
        identity = digest_json([self.base_identity, weights_digest(model), strength])
        population = Population(model, tokenizer, {"adapter": "default"})
        asked = replace(self.asked, parts=list(self.parts), harness=(), texts=())
        place = self.folder / path.stem
        doing = f"trying the adapter at step {step}" + (f", strength {strength:g}" if strength != 1 else "")
        with memory_of({BASE: self.base_identity, "adapter": identity}) as memory:
            measure(
                population, [BASE, "adapter"], asked, memory, self.settings, place, self.progress, doing, drift=False
            )
        found = self._read(place, step, strength)
        write_json(path, found.model_dump(mode="json"))
        return found

    def _read(self, place: Path, step: int, strength: float) -> Trial:
        base, adapter = (scored(read_rows(place, name)) for name in (BASE, "adapter"))

        def pairs(role: Role) -> Paired:
            return paired(base[role], [adapter[role]])

        niche, general = pairs("niche"), pairs("general")
        gain = stats.paired_estimate(niche.base, niche.adapters, niche.families, "") if niche else None
        lost = stats.forgetting(general.base, general.adapters, general.families, "") if general else None
        return Trial(
            step=step,
            strength=strength,
            niche=gain.adapter if gain else None,
            gain=gain.delta if gain else None,
            gain_ci95=gain.ci95 if gain else None,
            forgetting=lost.delta if lost else None,
            forgetting_upper=lost.ci95_upper if lost else None,
            niche_items=len(niche.items),
            general_items=len(general.items),
            passed=lost is None or lost.ci95_upper < self.max_forgetting,
        )


def strongest(trials: Sequence[Trial], without: Sequence[str] = ()) -> Chosen:
    """The strongest adapter that passes the forgetting bound; where none does, the one that forgets least."""
    passing = [trial for trial in trials if trial.passed]
    if passing:
        taken = max(passing, key=lambda trial: trial.strength)
        why = "the strongest whose forgetting on development items is below the bound"
    else:
        taken = min(trials, key=lambda trial: (trial.forgetting_upper or 0.0, -trial.strength))
        why = "none kept its forgetting on development items below the bound; this one forgets least"
    return Chosen(taken=taken, why=why, trials=list(trials), without=list(without))


def best(trials: Sequence[Trial], without: Sequence[str] = ()) -> Chosen:
    """The checkpoint that gains most among those that pass the forgetting bound; where none does, the one that forgets
    least. Of equal ones the earlier, which has moved less.
    """
    passing = [trial for trial in trials if trial.passed]
    if passing:
        taken = max(passing, key=lambda trial: (trial.gain or 0.0, -trial.step))
        why = "the largest gain on development items among checkpoints whose forgetting is below the bound"
    else:
        taken = min(trials, key=lambda trial: (trial.forgetting_upper or 0.0, trial.step))
        why = "no checkpoint kept its forgetting on development items below the bound; this one forgets least"
    return Chosen(taken=taken, why=why, trials=list(trials), without=list(without))
