"""How figures are put into words, the same in the terminal, on the page and in Markdown.

Text only: knows nothing of colours, markup or layout. Shares are shown in points (hundredths), never without their
interval. What comes out may hold text of a record; whoever shows it escapes it.
"""

import math
import re
from collections.abc import Sequence

from speciate.records import (
    Arm,
    Baseline,
    Contamination,
    Drift,
    Estimate,
    Forgetting,
    GateResult,
    Intact,
    Nats,
    Outcome,
    Spread,
    Trouble,
)

MEANINGS: dict[Outcome, str] = {
    "passed": "every gate of the recipe was passed",
    "failed": "a gate of the recipe failed; read why before using this adapter",
    "undecided": "too few items to say: neither proved nor refuted",
}
NOT_ASKED = "no gate"
"""Where the recipe asked for nothing there is no verdict, which is none of the three."""
ALONE = "base alone"
"""The same of a base by itself, of which nothing can be asked."""

_MINUS = re.compile(r"(?<![\w.])-(?=\d)")

HELD_OUT = "◇ "
ROLES = {"niche": "niche", "transfer": "held out of training", "general": "general"}

SPREAD = (
    "Spread is the standard deviation of accuracy between families, sampling noise taken out: "
    "0 is equally good everywhere, 0.5 is perfect in half of the families and useless in the others."
)


def all_alone(arms: Sequence[Arm]) -> bool:
    """Whether there is no adapter among the arms, so that nothing was gained or lost."""
    return bool(arms) and all(arm.alone for arm in arms)


def outcome(arm: Arm) -> str:
    """The verdict of an arm, or why there is none."""
    return arm.verdict or (ALONE if arm.alone else NOT_ASKED)


def scored(arm: Arm) -> str:
    """The scores of a base by itself, in points."""
    return "; ".join(
        f"{points(score.value, sign=False)} ({' to '.join(points(end, sign=False) for end in score.ci95)}) "
        f"{ROLES[score.role]}"
        for score in arm.scores
    )


def typeset(figure: str) -> str:
    """With a true minus before numbers, for where letters have widths."""
    return _MINUS.sub("−", figure)


def count(number: int, one: str, many: str) -> str:
    """`1 family`, `2 families`."""
    return f"{number:,} {one if number == 1 else many}"


def points(share: float, sign: bool = True) -> str:
    """A share or a difference of two, in points."""
    if not _known(share):
        return "unknown"
    # No sign before nothing.
    if abs(share) < 0.0005:
        return "0.0"
    return f"{100 * share:+.1f}" if sign else f"{100 * share:.1f}"


def whole_points(share: float, sign: bool = False) -> str:
    """The same where there is little room."""
    if not _known(share):
        return "unknown"
    whole = round(100 * share)
    return f"{whole:+d}" if sign and whole else f"{whole:d}"


def bounds(interval: tuple[float, float], sign: bool = False) -> str:
    """An interval in points."""
    return " to ".join(points(end, sign) for end in interval)


def percent(interval: tuple[float, float]) -> str:
    """The interval of a score."""
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


def nats_bounds(interval: tuple[float, float], digits: int = 4) -> str:
    """An interval of nats."""
    return f"{interval[0]:+.{digits}f} to {interval[1]:+.{digits}f}"


def p_value(p: float | None) -> str:
    """A p-value as one reads it: no more digits than are believed."""
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else ">0.99" if p > 0.99 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def moved(loss: float) -> str:
    """A change of general ability, of which a positive one is a loss."""
    return f"{'lost' if loss >= 0 else 'won'} {points(abs(loss), sign=False)} points"


def changed(of: Estimate | Forgetting) -> str:
    """Both means and how many answers changed."""
    seeds = f", mean of {of.seeds} seeds" if of.seeds > 1 else ""
    tested = f", McNemar p {p_value(of.p_mcnemar)}" if of.p_mcnemar is not None else ""
    return (
        f"{of.metric} {of.base:.1%} → {of.adapter:.1%}, {of.n:,} items{seeds}; "
        f"wrong→right {of.wrong_to_right:,}, right→wrong {of.right_to_wrong:,}{tested}"
    )


def decided(gate: GateResult) -> str:
    """What is known of a gate's figure, and what was asked of it."""
    ends = [points(end, sign=gate.gate == "min_gain") for end in gate.interval]
    bound = points(gate.bound, sign=gate.gate == "min_gain")
    if gate.gate == "min_gain":
        shown = {
            "passed": f"95% sure of at least {ends[0]}",
            "failed": f"95% sure of at most {ends[1]}",
            "undecided": f"anywhere from {ends[0]} to {ends[1]}",
        }
        return f"{shown[gate.outcome]}; asked {bound}"
    if gate.gate == "max_forgetting":
        shown = {
            "passed": f"95% sure to lose less than {ends[1]}",
            "failed": f"95% sure to lose more than {ends[0]}",
            "undecided": f"the loss is anywhere from {ends[0]} to {ends[1]}",
        }
        return f"{shown[gate.outcome]}; allowed {bound}"
    return gate.explanation


def text_loss(nats: Nats) -> str:
    """The change of the loss on a fixed text."""
    line = f"{nats.delta:+.4f} nats/token (95% interval {nats_bounds(nats.ci95)}), {nats.documents:,} documents"
    if nats.bits_per_byte:
        before, after = nats.bits_per_byte
        # Both are sums over the same bytes, so the interval is that of the nats in other units.
        scale = before / nats.base if nats.base else 0.0
        low, high = (scale * end for end in nats.ci95)
        line += f"; {before:.3f} → {after:.3f} bits/byte ({low:+.4f} to {high:+.4f})"
    return line


def hammered(hammer: Baseline) -> str:
    """What needs no model, and what the adapter adds to it."""
    return (
        f"there base {hammer.base_solved:,}, hammer {hammer.solved:,}, adapter {hammer.adapter_solved:,}; "
        f"adapter alone {hammer.adapter_only:,}"
    )


def alterations(intact: Intact) -> list[str]:
    """What of the base is not what it was."""
    return [
        *(["the files on disk"] if intact.base_digest_before != intact.base_digest_after else []),
        *(["the weights in memory"] if intact.memory_digest_before != intact.memory_digest_after else []),
        *([] if intact.logits_identical else ["its logits without the adapter"]),
    ]


def intactness(intact: Intact) -> tuple[str, str]:
    """One word, and what was found."""
    if intact.holds:
        found = f"unchanged on disk and in memory, logits bit-identical without the adapter ({intact.prompts} prompts)"
        return "intact", found
    return "ALTERED", f"{', '.join(alterations(intact))} changed; trust none of these figures"


def spread(of: Spread) -> str:
    """How uneven a model is."""
    return f"{of.value:.2f} ({of.ci95[0]:.2f}–{of.ci95[1]:.2f})"


def spreads(arm: Arm) -> str:
    """How uneven base and adapter are, and the paired change; empty where there are too few families."""
    if arm.spread is None:
        return ""
    base, adapter = arm.spread
    line = f"{spread(base)} → {spread(adapter)} between {adapter.families:,} families"
    if arm.spread_change:
        delta, (low, high) = arm.spread_change
        line += f", change {delta:+.2f} (95% interval {low:+.2f} to {high:+.2f})"
    return line


def place(arm: Arm) -> str:
    """Where an arm is by the front; a dash where its gain or its forgetting is not known."""
    return "–" if arm.on_front is None else "on it" if arm.on_front else "behind"


def contaminated(found: Contamination) -> str:
    """Evaluation items that training rows give away."""
    return (
        f"{found.exact:,} items word for word and {found.ngram:,} by a run of 13 words, of {found.items:,} items "
        f"({found.share:.1%}; above {found.limit:.1%} is an error), in {found.rows:,} training rows"
    )


def quantity(name: str, value: float) -> str:
    """A cost with its name and its unit."""
    return amount(name, value) if name == "seconds" else f"{cost(name)} {amount(name, value)}"


def cost(name: str) -> str:
    """The name of a cost, from the key that it is recorded under."""
    return name.removesuffix("_bytes").replace("_", " ")


def amount(name: str, value: float) -> str:
    """A cost with its unit, which its key tells."""
    if name == "seconds":
        return duration(value)
    if name.endswith("_bytes"):
        return size(value)
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:,.4g}"


def duration(seconds: float) -> str:
    """Short enough for many of them in one line."""
    if not 0 <= seconds < 1e9:
        return "unknown"
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def size(size_bytes: float) -> str:
    """Memory."""
    return f"{size_bytes / 2**30:.1f} GiB"


def short(digest: object) -> str:
    """The beginning of a digest, which is enough to tell it from others."""
    return str(digest).removeprefix("sha256:")[:8]


def seeds(of: Sequence[int | None]) -> str:
    """Seeds of an arm."""
    if all(seed is None for seed in of):
        return "seed unknown"
    known = ", ".join("?" if seed is None else str(seed) for seed in of)
    return f"seed {known}" if len(of) == 1 else f"seeds {known}"


def drifted(of: Drift) -> str:
    """How far an adapter's words are from its base's, both ways."""
    ways = (("forward", of.forward, of.forward_ci95), ("reverse", of.reverse, of.reverse_ci95))
    told = ", ".join(f"{way} {nats:.3g} ({low:.3g} to {high:.3g})" for way, nats, (low, high) in ways)
    return f"{told} nats/token, {of.items:,} items"


def improper(of: Trouble) -> str:
    """Rows without a proper answer."""
    return f"{of.rows:,} of {of.n:,} rows of {of.model} without a proper answer: {of.reason}"


def _known(figure: float) -> bool:
    """Whether a figure is one, and can be written in a few digits."""
    return math.isfinite(figure) and abs(figure) < 1e6
