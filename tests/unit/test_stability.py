"""Which steps of a training are left out, and that a log says it again."""

import math
from typing import Any

import pytest

from speciate.train.stability import BEGINNING, PATIENCE, Watch, learned_nothing


def log(*losses: float) -> list[dict[str, float]]:
    return [{"loss": loss} for loss in losses]


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_a_fault_from_the_first_step(loss: float):
    assert Watch().fault(loss, 1.0) == f"the loss is {loss}"
    assert Watch().fault(1.0, abs(loss)) == f"the gradient's length is {abs(loss)}"


def test_a_leap_is_measured_against_the_median_and_the_beginning():
    watch = Watch(log(*[4.0] * BEGINNING, *[0.2] * 60))
    assert watch.fault(1.9, 1.0) is None, "less than ten times"
    assert watch.fault(3.9, 1.0) is None, "a hard batch: a model that learnt nothing has 4.0"
    assert watch.fault(4.1, 1.0) == "the loss is 4.1, 20.5 times its median"
    assert watch.fault(0.2, 1e9) is None, "a long gradient is cut"


def test_the_first_steps_may_leap():
    assert Watch(log(*[0.1] * (BEGINNING - 1))).fault(99.0, 1.0) is None
    assert Watch(log(*[0.1] * BEGINNING)).fault(99.0, 1.0)


def test_steps_left_out_do_not_move_the_median_and_are_counted_in_a_row():
    watch = Watch()
    for entry in [*log(1.0), {"loss": math.nan, "skipped": 1}, {"loss": math.nan, "skipped": 2}, {"eval_loss": 3.0}]:
        watch.see(entry)
    assert (watch.losses, watch.skipped, watch.in_a_row) == ([1.0], 2, 2)
    watch.see({"loss": 1.1, "skipped": 2})
    assert (watch.losses, watch.skipped, watch.in_a_row) == ([1.0, 1.1], 2, 0)
    assert watch.in_a_row < PATIENCE


def logged(*losses: float | None) -> list[dict[str, Any]]:
    return [{"loss": loss, "step": step} for step, loss in enumerate(losses, 1)]


def test_a_loss_that_ends_higher_than_it_began_is_told() -> None:
    said = learned_nothing([*logged(2.0, 2.5, 2.25, 4.0, 5.0, *[6.93] * 20), {"eval_loss": 1.0}])
    assert said == "the training loss ended at 6.93, higher than the 5.04 that it began with: lower train.learning_rate"


def test_a_training_that_learned_or_was_short_is_not_told_of() -> None:
    assert learned_nothing(logged(*[2.0] * 10, *[0.5] * 20)) == ""
    assert learned_nothing(logged(1.0, 2.0, 3.0)) == ""
    assert learned_nothing(logged(*[2.0] * 10, None, *[0.5] * 20)) == ""


def test_batches_that_are_known_from_the_first_step_are_no_beginning() -> None:
    """Rows of like length stand together, so the first batches may be of general rows alone."""
    assert learned_nothing(logged(*[0.0007] * 6, *[2.3] * 10, *[0.02] * 20)) == ""
