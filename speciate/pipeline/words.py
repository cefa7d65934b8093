"""A comparison in words: what each arm gained and lost, how arms differ, and what casts doubt on it."""

from collections.abc import Sequence

from speciate.evals.power import items_for, minimum_detectable
from speciate.records import Arm, Contrast, GateResult, Role

SIGNIFICANT = 0.05
FEWEST_ITEMS = 10
"""With fewer items there is no saying what they would show."""
WHERE: dict[Role, str] = {
    "niche": "on the niche",
    "transfer": "on families never trained on",
    "general": "in general",
}


def words(arms: Sequence[Arm], contrasts: Sequence[Contrast], doubts: Sequence[str]) -> list[str]:
    """Sentences, the most important first."""
    said = [of_arm(arm) for arm in arms]
    said += [of_contrast(one) for one in contrasts]
    if len({arm.base.get("digest") for arm in arms if not arm.alone}) > 1:
        said.append("The arms stand on different bases: their gains are over bases that differ.")
    return [*said, *doubts]


def of_arm(arm: Arm) -> str:
    """What one arm gained and lost; of a base by itself, how well it does."""
    if arm.alone:
        return _of_base(arm)
    gates = {gate.gate: gate for gate in arm.gates}
    over = f", mean of {len(arm.seeds)} seeds" if len(arm.seeds) > 1 else ""
    parts: list[str] = []
    if arm.gain:
        low, high = (100 * end for end in arm.gain.ci95)
        parts.append(
            f"{_gained(100 * arm.gain.delta, low, high)} on its niche (95% interval {low:+.1f} to "
            f"{high:+.1f}; {arm.gain.base:.1%} to {arm.gain.adapter:.1%} of {arm.gain.n:,} items{over})"
        )
    if arm.forgetting:
        low, high = (100 * end for end in arm.forgetting.ci95)
        most = 100 * arm.forgetting.ci95_upper
        parts.append(
            f"{_lost(100 * arm.forgetting.delta, low, high)} in general (95% interval of the loss "
            f"{low:.1f} to {high:.1f}; with 95% confidence it is below {most:.1f}, on {arm.forgetting.n:,} items{over})"
        )
    if not parts:
        return f"{arm.label} was measured on no items of its niche, and on none in general."
    verdict = f"Verdict: {arm.verdict}{_why(gates)}." if arm.verdict else "No bound was asked for: there is no verdict."
    return f"{arm.label} {' and '.join(parts)}. {verdict}"


def _of_base(arm: Arm) -> str:
    scores = [
        f"{score.value:.1%} {WHERE[score.role]} (95% interval {score.ci95[0]:.1%} to {score.ci95[1]:.1%}, "
        f"{score.n:,} items{f' answered {score.samples} times' if score.samples > 1 else ''})"
        for score in arm.scores
    ]
    return f"{arm.label} by itself scores {' and '.join(scores) or 'nothing: it was asked nothing'}."


def _gained(points: float, low: float, high: float) -> str:
    """What became of the niche; an interval on both sides of 0 shows no gain, and is not the proof of none."""
    if low <= 0 <= high:
        return f"shows no clear gain ({points:+.1f} points)"
    return f"{'gained' if points > 0 else 'lost'} {abs(points):.1f} points"


def _lost(points: float, low: float, high: float) -> str:
    """What became of the general items."""
    moved = f"{'lost' if points >= 0 else 'won'} {abs(points):.1f} points"
    return f"shows no clear loss ({moved})" if low <= 0 <= high else moved


def _why(gates: dict[str, GateResult]) -> str:
    names = {"min_gain": "gain", "max_forgetting": "forgetting"}
    said = [
        f"{names.get(gate.gate, gate.gate)} {gate.outcome}, asked {'at least' if gate.gate == 'min_gain' else 'below'} "
        f"{100 * gate.bound:.4g}" + (f", about {gate.n_to_decide:,} items would decide" if gate.n_to_decide else "")
        for gate in gates.values()
    ]
    return f" ({'; '.join(said)})" if said else ""


def of_contrast(one: Contrast) -> str:
    """How two arms differ."""
    low, high = (100 * end for end in one.estimate.ci95)
    where = WHERE[one.role]
    interval = f"95% interval {low:+.1f} to {high:+.1f}, {one.estimate.n:,} items"
    p = f", McNemar p {one.p_holm:.2g} adjusted by Holm" if one.p_holm is not None else ""
    if low <= 0 <= high:
        return f"No difference between {one.second} and {one.first} is shown {where} ({interval}{p}).{_seen(one)}"
    better = "better" if one.estimate.delta > 0 else "worse"
    points = abs(100 * one.estimate.delta)
    unsure = one.p_holm is not None and one.p_holm >= SIGNIFICANT
    but = "; by the exact test, adjusted for all comparisons, it may be chance" if unsure else ""
    return f"{one.second} is {points:.1f} points {better} than {one.first} {where} ({interval}{p}){but}."


def _seen(one: Contrast) -> str:
    """How large a difference these items would have shown, and how many would show the one that was observed."""
    estimate = one.estimate
    changed = (estimate.right_to_wrong + estimate.wrong_to_right) / (estimate.n * estimate.seeds)
    if estimate.p_mcnemar is None or not changed or estimate.n < FEWEST_ITEMS:
        return ""
    least = minimum_detectable(estimate.n, changed)
    text = f" These items show a difference of {100 * least:.1f} points four times in five"
    if not estimate.delta:
        return f"{text}."
    return f"{text}; one of {100 * abs(estimate.delta):.1f} takes about {items_for(abs(estimate.delta), changed):,}."
