"""The model card that lies in every entry: `card.json` in words, under the metadata that the Hugging Face Hub reads.

Written for people, and for the Hub; `card_digest` says of which card it speaks.
"""

import io
import json
from typing import Any

from speciate.records import AdapterCard, Baseline, Card, Estimate, Forgetting, UnmeasuredCard
from speciate.storage import digest_json

VERDICTS = {
    "passed": "every gate was passed",
    "failed": "a gate failed; do not rely on this adapter",
    "undecided": "the items were too few to decide every gate",
}


def readme(card: Card) -> str:
    """README.md of an entry: YAML metadata between `---` lines, then Markdown."""
    lines = _measured(card) if isinstance(card, AdapterCard) else _unmeasured(card)
    return f"---\n{_metadata(card)}---\n\n" + "\n".join(lines) + "\n"


def _unmeasured(card: UnmeasuredCard) -> list[str]:
    """In words what is known of an adapter that no recipe of ours grew."""
    shape = ", ".join(f"{name} {json.dumps(value)}" for name, value in card.shape.items())
    return [
        f"# {card.species} {card.version}",
        "",
        card.description or f"An adapter for `{card.base.get('name', '')}`.",
        "",
        f"{card.origin}. **What it gained and what it cost has not been measured**: `speciate eval` does.",
        "",
        f"Configuration: {shape or 'unknown'}.",
        "",
        "## How to use it",
        "",
        *_use(card),
        "",
        "`card.json` holds what is known of it, and `unknown` where nothing is.",
    ]


def _measured(card: AdapterCard) -> list[str]:
    """In words what an adapter gained and lost."""
    base = card.base.get("name", "")
    held_out = card.transfer
    return [
        f"# {card.species} {card.version}",
        "",
        card.description,
        "",
        f"A LoRA adapter for the niche `{card.niche}`, grown on `{base}` with speciate {card.speciate}.",
        f"Verdict: **{card.verdict}** ({VERDICTS[card.verdict]}).",
        "",
        "## What it gained",
        "",
        _gain(card.gain),
        *(["", "On families that were held out of training: " + _gain(held_out)] if held_out else []),
        *(["", _hammer(card.hammer)] if card.hammer else []),
        "",
        *_families(card),
        "",
        "## What it lost",
        "",
        _loss(card.forgetting),
        *(["", *_drift(card)] if card.drift else []),
        "",
        "## Gates",
        "",
        *(f"* {gate.outcome}: {gate.explanation}" for gate in card.gates),
        "",
        "## The base",
        "",
        f"Digest `{card.base.get('digest', '')}`. "
        + ("It was unchanged by the training." if card.intact.holds else "**It was altered by the training.**"),
        "",
        "## How to use it",
        "",
        *_use(card),
        "",
        "`card.json` holds every figure, the recipe, the seed and the ancestry. The figures are those of one seed.",
    ]


def metadata(text: str) -> dict[str, Any]:
    """The YAML metadata of a README.md; empty where there is none that can be read."""
    from ruamel.yaml import YAML, YAMLError

    head, _, _ = text.removeprefix("---\n").partition("\n---\n")
    try:
        found: object = YAML(typ="safe", pure=True).load(head) if text.startswith("---\n") else None
    except YAMLError:
        return {}
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


def _metadata(card: Card) -> str:
    from ruamel.yaml import YAML

    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.width = 1000
    yaml.dump(
        {
            "base_model": card.base.get("name", ""),
            "base_model_relation": "adapter",
            "library_name": "peft",
            "license": card.licence,
            "pipeline_tag": "text-generation",
            "tags": ["lora", "speciate", card.niche],
            **(
                {"model-index": [{"name": f"{card.species} {card.version}", "results": _results(card)}]}
                if isinstance(card, AdapterCard)
                else {}
            ),
            "adapter_digest": card.digest,
            "card_digest": digest_json(card.document()),
        },
        text,
    )
    return text.getvalue()


def _results(card: AdapterCard) -> list[dict[str, Any]]:
    """The figures as the Hub shows them beside a model; it has no place for an interval, so the name has it."""

    def result(dataset: str, name: str, metric: str, value: float, interval: tuple[float, float]) -> dict[str, Any]:
        low, high = (round(100 * end, 2) for end in interval)
        shown = {"type": metric, "name": f"{name} (95% interval {low} to {high})", "value": round(100 * value, 2)}
        return {
            "task": {"type": "text-generation"},
            "dataset": {"type": "speciate", "name": dataset},
            "metrics": [shown],
        }

    gain, lost = card.gain, card.forgetting
    of_niche = f"{card.niche}, {gain.n} held-out items"
    of_general = f"general suite, {lost.n} items"
    return [
        result(of_niche, "gain over the base in points of pass@1", "gain", gain.delta, gain.ci95),
        result(of_general, "forgetting against the base in points", "forgetting", lost.delta, lost.ci95),
    ]


def _families(card: AdapterCard) -> list[str]:
    """A table of the families of the niche."""
    rows: list[str] = []
    for score in card.families:
        name = score.family.replace("|", "/") + (" (held out)" if score.held_out else "")
        low, high = (f"{100 * end:+.0f}" for end in score.delta_ci95)
        change = f"{100 * score.delta:+.0f} ({low} to {high})"
        rows.append(f"| {name} | {score.n} | {score.base:.0%} | {score.adapter:.0%} | {change} |")
    head = ["| family | items | base | adapter | change in points (95% interval) |", "|---|---|---|---|---|"]
    return [*head, *rows] if rows else []


def _drift(card: AdapterCard) -> list[str]:
    """How far its words are from the base's."""
    return [
        f"KL(base || adapter) on {drift.role} prompts: {drift.forward:.4f} nats per token (95% interval "
        f"{drift.forward_ci95[0]:.4f} to {drift.forward_ci95[1]:.4f}, {drift.items} items)."
        for drift in card.drift
    ]


def _use(card: Card) -> list[str]:
    """How to load it."""
    return [
        "```python",
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM",
        "",
        f"base = AutoModelForCausalLM.from_pretrained({json.dumps(card.base.get('name', ''))})",
        'model = PeftModel.from_pretrained(base, "this folder")',
        "```",
    ]


def _gain(gain: Estimate) -> str:
    low, high = gain.ci95
    return (
        f"{gain.metric} went from {gain.base:.1%} to {gain.adapter:.1%} on the same {gain.n:,} items: "
        f"{100 * gain.delta:+.1f} points (95% interval {100 * low:+.1f} to {100 * high:+.1f}). "
        f"{gain.wrong_to_right:,} answers became right and {gain.right_to_wrong:,} became wrong."
    )


def _hammer(hammer: Baseline) -> str:
    low, high = hammer.ci95
    return (
        f"Proofs that need no model (one-line calls of Lean's automation) solve {hammer.solved:,} of {hammer.n:,} of "
        f"these items ({hammer.solved / hammer.n:.1%}, 95% interval {low:.1%} to {high:.1%}), the base "
        f"{hammer.base_solved:,}, the adapter {hammer.adapter_solved:,}, of which {hammer.adapter_only:,} are beyond "
        "that automation."
    )


def _loss(loss: Forgetting) -> str:
    low, high = loss.ci95
    text = (
        f"On the general suite {loss.metric} went from {loss.base:.1%} to {loss.adapter:.1%} on the same {loss.n:,} "
        f"items: a loss of {100 * loss.delta:.1f} points (95% interval {100 * low:.1f} to {100 * high:.1f}); with 95% "
        f"confidence it is below {100 * loss.ci95_upper:.1f} points. "
        f"{loss.right_to_wrong:,} answers became wrong and {loss.wrong_to_right:,} became right."
    )
    if loss.nats is not None:
        low, high = loss.nats.ci95
        text += (
            f" The loss on general text changed by {loss.nats.delta:+.4f} nats per token "
            f"(95% interval {low:+.4f} to {high:+.4f}, {loss.nats.documents:,} documents)."
        )
    return text
