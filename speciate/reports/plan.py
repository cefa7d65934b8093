"""What `speciate train --dry-run` shows a person: what would run, for how long, and one row as the loss sees it."""

from speciate.pipeline import Plan
from speciate.progress import duration
from speciate.recipe import as_yaml

UNKNOWN = "unknown without the base"


def render_plan(plan: Plan) -> str:
    """The plan as text; the resolved recipe comes last, for it is the longest."""
    facts = [
        ("Species", plan.species),
        ("Base", f"{plan.base['name']} ({_base(plan)})"),
        ("Adapter", _adapter(plan)),
        ("Device", f"{plan.device}, {plan.precision}"),
        ("Rows", f"{plan.rows:,}, of which {plan.replay_rows:,} replay general skills"),
        ("Length", _length(plan)),
        ("Training", _training(plan)),
        ("Evaluation", f"{plan.evaluation_items:,} items, by base and by adapter"),
        ("Time", _time(plan)),
        ("Memory", _memory(plan)),
    ]
    # Why the base is not here comes last among what is unknown, and is what a person has to see first.
    unknown, without_base = (plan.unknown, []) if plan.base["digest"] else (plan.unknown[:-1], plan.unknown[-1:])
    return "\n".join(
        [
            *(f"{'Warning':<12}training would not begin: {text}" for text in without_base),
            *(f"{name:<12}{fact}" for name, fact in facts),
            *(f"{'Warning':<12}{text}" for text in plan.warnings),
            *(f"{'Unknown' if not index else '':<12}{text}" for index, text in enumerate(unknown)),
            *_sample(plan),
            "",
            f"The whole recipe ({plan.recipe_digest}):",
            *(f"  {line}" for line in as_yaml(plan.recipe).splitlines()),
            "",
            "Nothing was started.",
        ]
    )


def _base(plan: Plan) -> str:
    return f"{plan.parameters:,} parameters" if plan.parameters else "not here"


def _adapter(plan: Plan) -> str:
    if plan.trainable_parameters:
        return f"{plan.trainable_parameters:,} trainable parameters"
    return "trainable parameters unknown until the base is loaded"


def _length(plan: Plan) -> str:
    if plan.row_tokens is None:
        return UNKNOWN
    return f"{plan.row_tokens['mean']:,.0f} tokens on average, {plan.row_tokens['longest']:,.0f} at most"


def _training(plan: Plan) -> str:
    tokens = f", {plan.training_tokens:,} tokens" if plan.training_tokens else ""
    return f"{plan.steps:,} steps of {plan.rows_in_a_step:,} rows{tokens}"


def _time(plan: Plan) -> str:
    phases = {name: duration(taken) for name, taken in plan.estimated_seconds.items()}
    if not phases:
        return UNKNOWN
    total = phases.pop("total", "unknown")
    return f"about {total} ({', '.join(f'{name} {taken}' for name, taken in phases.items())})"


def _memory(plan: Plan) -> str:
    if plan.estimated_memory_bytes is None:
        return "unknown until the base is loaded"
    parts = {name: size for name, size in (plan.training_memory_bytes or {}).items() if size >= 2**30 / 200}
    listed = ", ".join(f"{name} {_gib(size)}" for name, size in parts.items())
    return f"about {_gib(plan.estimated_memory_bytes)} GiB on one device at most (training: {listed or 'unknown'})"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}" if size >= 2**30 / 10 else f"{size / 2**30:.2f}"


def _sample(plan: Plan) -> list[str]:
    if plan.sample is None:
        return []
    return [
        "",
        "One row; the loss counts what stands between ⟦ and ⟧:",
        *(f"  {row}" for row in plan.sample.splitlines()),
    ]
