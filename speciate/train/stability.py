"""Which steps of a training are taken: one whose loss or gradient is no number, or whose loss leaps, is left out.

What was seen so far follows from the trainer's log, so a run that goes on after a stop judges as it would have.
"""

import math
from collections.abc import Iterable, Mapping
from statistics import fmean, median
from typing import Any

SEEN = 50
"""Steps whose losses are what a loss is compared with."""
BEGINNING = 10
"""Steps before a loss can be called a leap. The highest of their losses is what a model that learnt nothing has; a loss
that stays below it is a hard batch.
"""
LEAP = 10.0
"""Times the median of the losses seen."""
PATIENCE = 5
"""Steps left out in a row after which training ends."""


class Watch:
    """Judges each step by those before it."""

    def __init__(self, log: Iterable[Mapping[str, Any]] = ()) -> None:
        """`log` is that of the steps before."""
        self.losses: list[float] = []
        self.skipped = 0
        """Steps left out."""
        self.in_a_row = 0
        """Of these, the last ones between which none was taken."""
        for entry in log:
            self.see(entry)

    def see(self, entry: Mapping[str, Any]) -> None:
        """One entry of the log; those without a training loss tell nothing. `skipped` counts the steps left out."""
        if "loss" not in entry:
            return
        if int(entry.get("skipped", 0)) > self.skipped:
            self.skipped += 1
            self.in_a_row += 1
        else:
            self.in_a_row = 0
            self.losses.append(float(entry["loss"]))

    def fault(self, loss: float, gradient: float) -> str | None:
        """Why a step of this loss and length of the gradient cannot be taken; None where it can.

        A gradient that is long is no fault: it is cut to train.max_grad_norm.
        """
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(gradient):
            return f"the gradient's length is {gradient}"
        if len(self.losses) < BEGINNING:
            return None
        usual = median(self.losses[-SEEN:])
        if loss > LEAP * usual and loss > max(self.losses[:BEGINNING]):
            return f"the loss is {loss:.3g}, {loss / usual if usual else math.inf:.3g} times its median"
        return None


def learned_nothing(log: Iterable[Mapping[str, Any]]) -> str:
    """What to say of a training whose loss ended higher than it began; nothing of any other.

    Means, not medians: a batch of general rows has no loss from the first step on, and the first may be such.
    """
    losses = [float(entry["loss"]) for entry in log if entry.get("loss") is not None]
    if len(losses) < 2 * BEGINNING:
        return ""
    began, ended = fmean(losses[:BEGINNING]), fmean(losses[-BEGINNING:])
    if ended <= began:
        return ""
    return (
        f"the training loss ended at {ended:.3g}, higher than the {began:.3g} that it began with: lower "
        "train.learning_rate"
    )
