"""What a recipe would do: steps, tokens, time and memory, and one row as the loss sees it. Loads no weights.

Where the base is a model of a hub that cannot be reached, what follows from the recipe alone is said, and the rest
named.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field

from speciate.data.build import Wanted, replay_rows, shares
from speciate.errors import HubUnreachable
from speciate.evals.sources import questions
from speciate.models.base import load_tokenizer
from speciate.models.sampler import stop_tokens
from speciate.models.skeleton import sizes
from speciate.niches.splits import draw
from speciate.pipeline.estimates import highest_memory, seconds
from speciate.pipeline.machine import quiet_libraries
from speciate.pipeline.setting import Setting, named, prepare, sft_of
from speciate.pipeline.stage import room_of, shape_of
from speciate.recipe import LoadedRecipe, Recipe, recipe_digest, resolve
from speciate.records import Document
from speciate.train.encoding import IGNORED, Encoded, check_rows, encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROWS_LOOKED_AT = 200
OF_THE_BASE = [
    "parameters and trainable parameters",
    "length of the rows, and whether all fit into train.max_length",
    "time and memory",
    "whether the base has the modules of train.lora.targets, and a chat template",
]
"""What is not known without the base's files."""


class Plan(Document):
    """The answer of `speciate train --dry-run`. What needs the base's files is null where they are not here."""

    schema_: Annotated[Literal["plan/1"], Field(alias="schema")] = "plan/1"
    species: str
    recipe: dict[str, Any]
    recipe_digest: str
    base: dict[str, Any]
    device: str
    precision: str
    parameters: int | None = None
    trainable_parameters: int | None = None
    """Null too where the adapter's size follows from the base's weights."""
    rows: int
    replay_rows: int
    rows_in_a_step: int
    """Of all processes and batches together."""
    steps: int
    row_tokens: dict[str, float] | None = None
    """Mean and longest, over a sample of rows."""
    training_tokens: int | None = None
    evaluation_items: int
    """At most, where it is not known which of them fit into the base's context."""
    estimated_seconds: dict[str, float] = Field(default_factory=dict)
    estimated_memory_bytes: int | None = None
    """Peak of the run on one device."""
    training_memory_bytes: dict[str, int] | None = None
    """Parts of what training takes on each device."""
    warnings: list[str] = Field(default_factory=list)
    unknown: list[str] = Field(default_factory=list)
    """What could not be said, and why."""
    sample: str | None = None
    """One row by the base's chat template; what stands between ⟦ and ⟧ counts in the loss."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def plan(loaded: LoadedRecipe) -> Plan:
    """What `train` would do with this recipe here. Raises what `train` raises before its first step, but where a hub
    cannot be reached.
    """
    quiet_libraries()
    try:
        setting = prepare(loaded)
    except HubUnreachable as error:
        return _without_base(loaded, str(error))
    return _with_base(setting)


def _without_base(loaded: LoadedRecipe, why: str) -> Plan:
    niche, suite, compute = named(loaded)
    items = questions(suite, per_family=loaded.recipe.evals.general_items).items
    base = {"name": loaded.recipe.base.model, "revision": loaded.recipe.base.revision, "digest": None}
    facts = _of_recipe(loaded, niche.wanted, items)
    return Plan(**facts, base=base, device=compute.device, precision=compute.training, unknown=[*OF_THE_BASE, why])


def _with_base(setting: Setting) -> Plan:
    loaded, compute, source = setting.loaded, setting.compute, setting.source
    recipe, wanted = loaded.recipe, setting.niche.wanted
    tokenizer = load_tokenizer(source)
    encoded = sample_of(setting, tokenizer)
    lengths = [len(row.input_ids) for row in encoded]
    facts = _of_recipe(loaded, wanted, setting.questions.items)
    base = sizes(source, shape_of(recipe))
    room = room_of(setting, base, max(lengths))
    read = sum(stage.epochs * rows for stage, rows in zip(recipe.train, rows_of(recipe, wanted), strict=True))
    tokens = round(sum(lengths) / len(lengths) * read)
    return Plan(
        **facts,
        base={"name": source.name, "revision": source.revision, "digest": source.digest},
        device=compute.device,
        precision=compute.training,
        parameters=base.parameters,
        trainable_parameters=base.trainable,
        row_tokens={"mean": round(sum(lengths) / len(lengths), 1), "longest": max(lengths)},
        training_tokens=tokens,
        estimated_seconds=seconds(setting, base, tokens, facts["steps"], facts["evaluation_items"]),
        estimated_memory_bytes=highest_memory(setting, room),
        training_memory_bytes=asdict(room.estimate) if room.estimate else None,
        warnings=[room.warning] if room.warning else [],
        sample=marked(tokenizer, encoded[0]),
    )


def _of_recipe(loaded: LoadedRecipe, wanted: Wanted, general: int) -> dict[str, Any]:
    """What follows from the recipe alone."""
    recipe, settings = loaded.recipe, sft_of(loaded.recipe)
    replayed = replayed_of(wanted)
    stages = enumerate(rows_of(recipe, wanted))
    return {
        "species": recipe.species,
        "recipe": resolve(recipe),
        "recipe_digest": recipe_digest(recipe),
        "rows": wanted.train + replayed,
        "replay_rows": replayed,
        "rows_in_a_step": settings.batch_size * settings.batches_in_a_step,
        "steps": sum(sft_of(recipe, number).steps(rows) for number, rows in stages),
        "evaluation_items": wanted.test + wanted.transfer + general,
    }


def replayed_of(wanted: Wanted) -> int:
    """Rows of general skills among those that are trained on."""
    return round(wanted.train * wanted.replay / (1 - wanted.replay))


def rows_of(recipe: Recipe, wanted: Wanted) -> list[int]:
    """The rows that each stage reads."""
    general = replayed_of(wanted)
    rows = {"all": wanted.train + general, "niche": wanted.train, "general": general}
    return [rows[stage.rows] for stage in recipe.train]


def sample_of(setting: Setting, tokenizer: "PreTrainedTokenizerBase") -> list[Encoded]:
    """Some of the rows that would be trained on, as tokens, checked."""
    recipe, wanted = setting.loaded.recipe, setting.niche.wanted
    looked = min(ROWS_LOOKED_AT, wanted.train)
    counts = shares(max(looked, len(wanted.families)), wanted.families, wanted.weights)
    drawn, _ = draw(setting.niche.stream, f"{recipe.seed}/train", counts, "train", setting.niche.seen)
    sample = [*drawn, *replay_rows(round(len(drawn) * wanted.replay / (1 - wanted.replay)), recipe.seed)]
    encoded = [encode(tokenizer, item.prompt, item.reference) for item in sample]
    check_rows(encoded, stop_tokens(None, tokenizer), recipe.train[0].max_length)
    return encoded


def marked(tokenizer: "PreTrainedTokenizerBase", row: Encoded) -> str:
    """A row as text, with the part that counts in the loss between ⟦ and ⟧."""
    pieces: list[str] = []
    inside = False
    start = 0
    for end in range(len(row.labels) + 1):
        counts = end < len(row.labels) and row.labels[end] != IGNORED
        if end == len(row.labels) or counts != inside:
            text = str(tokenizer.decode(row.input_ids[start:end]))
            pieces.append(f"⟦{text}⟧" if inside else text)
            start, inside = end, counts
    return "".join(pieces)
