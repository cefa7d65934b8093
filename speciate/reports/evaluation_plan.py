"""What `speciate eval --dry-run` shows a person: which models would be asked what, and how much of it is known."""

from typing import TYPE_CHECKING

from speciate.records.outline import EvalPlan, PlannedModel
from speciate.reports import suites, terminal, words
from speciate.reports.plain import plain

if TYPE_CHECKING:
    from rich.console import RenderableType


def render_evaluation_plan(plan: EvalPlan) -> "RenderableType":
    """The plan: suite, base and adapters, items by role and family, answers."""
    base = plan.base
    revision = f" at {base['revision']}" if base.get("revision") else ""
    families = suites.in_lines((family.role, family.family, family.items) for family in plan.families)
    asked = ""
    if plan.remembered:
        asked = f", {plan.remembered:,} of them given before"
    rows: list[terminal.Row] = [
        ("Suite", terminal.said((plan.suite, "bold"), f" version {plan.suite_version}, {plain(plan.suite_path)}")),
        ("Base", terminal.said(plain(f"{base['name']}{revision} ({words.short(base['digest'])})"))),
        *(("Adapter", terminal.said(plain(adapter(model)))) for model in plan.models[1:]),
        *((role.capitalize(), terminal.said(plain(line))) for role, line in families),
        *([("Texts", terminal.said(f"{plan.texts:,}, for the loss in nats per token"))] if plan.texts else []),
        *([("Left out", terminal.said(plain(suites.left_out(plan.left_out))))] if plan.left_out else []),
        ("Answers", terminal.said(f"{plan.answers:,} of {words.count(len(plan.models), 'model', 'models')}{asked}")),
        ("Device", terminal.said(plain(f"{plan.device}, {plan.precision}"))),
        *(("Note", terminal.said(plain(note))) for note in plan.notes),
    ]
    return terminal.stack(terminal.facts(rows), terminal.said("Nothing was started."))


def adapter(model: PlannedModel) -> str:
    """An adapter: its name, its digest, and what its training rows give away."""
    said = f"{model.model} ({words.short(model.digest)})"
    said += f", {model.reference}" if model.reference != model.model else ""
    if model.contamination is None:
        return f"{said}; its training rows are not at hand (--train-rows)"
    return f"{said}; {words.contaminated(model.contamination)}"
