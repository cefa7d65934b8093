"""The words that a report explains at its end."""

from collections.abc import Sequence

from speciate.records import Arm
from speciate.reports.words import all_alone

TERMS = {
    "gain": "points that the adapter answers better than its base, on the same items of the niche",
    "forgetting": "points that it answers worse than its base, on general items; the gate looks at the upper bound",
    "held out": "families of the niche that training never showed (◇)",
    "95% interval": "where the true figure lies, were many such sets of items drawn; without one, a figure says little",
    "McNemar": "exact test that right→wrong and wrong→right are equally likely; Holm: corrected for many tests",
    "nats/token": "how surprising a fixed text is; a positive change means more surprising than to the base",
    "bits/byte": "the same by length of the text, which can be compared between tokenizers",
    "drift": "KL divergence on the base's answers, in nats/token; forward KL(base‖adapter), reverse KL(adapter‖base)",
    "front": "the arms than which no other both gains more and forgets less (Pareto)",
    "intact": "the base is bit for bit what it was before",
    "hammer": "what Lean's own automation proves without any model",
}


_OF_A_BASE = {
    "score": "mean over the items; a right answer scores 1, a wrong one 0",
    "95% interval": TERMS["95% interval"],
}


def terms(arms: Sequence[Arm]) -> dict[str, str]:
    """The words that a report of these arms needs."""
    return _OF_A_BASE if all_alone(arms) else TERMS
