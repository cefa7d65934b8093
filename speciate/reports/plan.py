"""What `speciate train --dry-run` shows a person: what would run, for how long, and one row as the loss sees it."""

from speciate.pipeline import Plan
from speciate.progress import duration
from speciate.recipe import as_yaml


def render_plan(plan: Plan) -> str:
    """The plan as text; the resolved recipe comes last, for it is the longest."""
    phases = {name: duration(taken) for name, taken in plan.estimated_seconds.items()}
    total = phases.pop("total", "unknown")
    trainable = f"{plan.trainable_parameters:,}" if plan.trainable_parameters else "unknown until the base is loaded"
    facts = [
        ("Species", plan.species),
        ("Base", f"{plan.base['name']} ({plan.parameters:,} parameters)"),
        ("Adapter", f"{trainable} trainable parameters"),
        ("Device", f"{plan.device}, {plan.precision}"),
        ("Rows", f"{plan.rows:,}, of which {plan.replay_rows:,} replay general skills"),
        ("Length", f"{plan.row_tokens['mean']:,.0f} tokens on average, {plan.row_tokens['longest']:,.0f} at most"),
        ("Training", f"{plan.steps:,} steps, {plan.training_tokens:,} tokens"),
        ("Evaluation", f"{plan.evaluation_items:,} items, by base and by adapter"),
        ("Time", f"about {total} ({', '.join(f'{name} {taken}' for name, taken in phases.items())})"),
        ("Memory", f"about {plan.estimated_memory_bytes / 2**30:.1f} GiB"),
    ]
    return "\n".join(
        [
            *(f"{name:<12}{fact}" for name, fact in facts),
            "",
            "One row; the loss counts what stands between ⟦ and ⟧:",
            *(f"  {line}" for line in plan.sample.splitlines()),
            "",
            f"The whole recipe ({plan.recipe_digest}):",
            *(f"  {line}" for line in as_yaml(plan.recipe).splitlines()),
            "",
            "Nothing was started.",
        ]
    )
