"""What a recipe would do: steps, tokens, time and memory, and one row as the loss sees it. Loads no weights.

Time and memory are estimates by arithmetic, good to a factor of two on a CPU with a small base; the rates of other
devices are assumed. The numbers of a run that was made are in its report.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field

from speciate import hardware
from speciate.data.build import replay_rows, shares
from speciate.models.base import load_tokenizer
from speciate.models.sampler import stop_tokens
from speciate.niches.lean.pool import processes
from speciate.niches.splits import draw
from speciate.pipeline.machine import quiet_libraries
from speciate.pipeline.setting import Setting, prepare, sft_of
from speciate.recipe import LoadedRecipe, recipe_digest, resolve
from speciate.records import Document
from speciate.train.encoding import IGNORED, Encoded, check_rows, encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROWS_LOOKED_AT = 200
FLOPS_PER_S = {"cuda": 150e12, "mps": 4e12}
CPU_CORE_FLOPS_PER_S = {"bfloat16": 120e9, "float16": 120e9, "float32": 40e9}
STEP_S_PER_MATRIX = {"cpu": 0.008, "mps": 0.001, "cuda": 0.0005}
"""What an adapted matrix costs a step however few the tokens: on small bases most of the time."""
VERIFIER_S_PER_ITEM, VERIFIER_START_S = 0.04, 20.0
EVAL_TOKENS_PER_S = {"cpu": 1500.0, "mps": 2000.0, "cuda": 4000.0}
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
PROCESS_BYTES = 1.2e9
"""Python with torch and transformers loaded."""
CACHE_COPIES = 2
"""Copies of the keys and values while an answer grows: the old and the new."""


class Plan(Document):
    """The answer of `speciate train --dry-run`."""

    schema_: Annotated[Literal["plan/1"], Field(alias="schema")] = "plan/1"
    species: str
    recipe: dict[str, Any]
    recipe_digest: str
    base: dict[str, Any]
    device: str
    precision: str
    parameters: int
    trainable_parameters: int | None
    """Known where the targets are all-linear or names found in the weights."""
    rows: int
    replay_rows: int
    steps: int
    row_tokens: dict[str, float]
    """Mean and longest, over a sample of rows."""
    training_tokens: int
    evaluation_items: int
    estimated_seconds: dict[str, float]
    estimated_memory_bytes: int
    sample: str
    """One row by the base's chat template; what stands between ⟦ and ⟧ counts in the loss."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def plan(loaded: LoadedRecipe) -> Plan:
    """What `train` would do with this recipe here. Raises what `train` raises before its first step."""
    quiet_libraries()
    setting = prepare(loaded)
    tokenizer = load_tokenizer(setting.source)
    recipe, wanted = loaded.recipe, setting.niche.wanted
    looked = min(ROWS_LOOKED_AT, wanted.train)
    counts = shares(max(looked, len(wanted.families)), wanted.families, wanted.weights)
    drawn, _ = draw(setting.niche.stream, f"{recipe.seed}/train", counts, "train", setting.niche.seen)
    replayed = round(wanted.train * wanted.replay / (1 - wanted.replay))
    sample = [*drawn, *replay_rows(round(len(drawn) * wanted.replay / (1 - wanted.replay)), recipe.seed)]
    encoded = [encode(tokenizer, item.prompt, item.reference) for item in sample]
    check_rows(encoded, stop_tokens(None, tokenizer), recipe.train.max_length)
    lengths = [len(row.input_ids) for row in encoded]
    settings = sft_of(recipe)
    rows = wanted.train + replayed
    tokens = round(sum(lengths) / len(lengths) * rows * recipe.train.epochs)
    shapes = weight_shapes(setting.source.folder)
    parameters = sum(math.prod(shape) for shape in shapes.values())
    matrices = adapted(shapes, recipe.train.lora.targets)
    items = wanted.test + wanted.transfer + setting.questions.items
    return Plan(
        species=recipe.species,
        recipe=resolve(recipe),
        recipe_digest=recipe_digest(recipe),
        base={"name": setting.source.name, "revision": setting.source.revision, "digest": setting.source.digest},
        device=setting.compute.device,
        precision=setting.compute.training,
        parameters=parameters,
        trainable_parameters=sum(recipe.train.lora.r * sum(shape) for shape in matrices) or None,
        rows=rows,
        replay_rows=replayed,
        steps=settings.steps(rows),
        row_tokens={"mean": round(sum(lengths) / len(lengths), 1), "longest": max(lengths)},
        training_tokens=tokens,
        evaluation_items=items,
        estimated_seconds=seconds(setting, parameters, tokens, settings.steps(rows) * len(matrices), items),
        estimated_memory_bytes=memory(setting, parameters, max(lengths), len(tokenizer)),
        sample=marked(tokenizer, encoded[0]),
    )


def weight_shapes(folder: Path) -> dict[str, list[int]]:
    """Shapes of the tensors of a model folder, from the headers of its safetensors files."""
    from safetensors import safe_open

    shapes: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a mapping
                shapes[name] = list(tensors.get_slice(name).get_shape())
    return shapes


def adapted(shapes: dict[str, list[int]], targets: str | tuple[str, ...]) -> list[list[int]]:
    """Shapes of the base's matrices that an adapter is put on."""
    return [
        shape
        for name, shape in shapes.items()
        if len(shape) == 2
        and (".layers." in name if targets == "all-linear" else name.removesuffix(".weight").split(".")[-1] in targets)
    ]


def seconds(setting: Setting, parameters: int, tokens: int, matrix_steps: int, items: int) -> dict[str, float]:
    """Estimated time of each phase. A LoRA step takes about 4 operations for each parameter and token (forward 2,
    gradient of the activations 2), and the adapter half as much again on small models."""
    wanted, compute = setting.niche.wanted, setting.compute
    rate = FLOPS_PER_S.get(compute.device) or CPU_CORE_FLOPS_PER_S[compute.training] * hardware.cores()
    verified = wanted.train + wanted.dev + wanted.test + wanted.transfer
    verifying = VERIFIER_S_PER_ITEM / processes()
    answers = 2 * items * 12 / EVAL_TOKENS_PER_S[compute.device] * max(1.0, parameters / 5e6 if rate < 1e12 else 1.0)
    found = {
        "data": VERIFIER_START_S + verified * verifying,
        "train": 6.0 * parameters * tokens / rate + matrix_steps * STEP_S_PER_MATRIX[compute.device],
        "evaluate": answers + 2 * (wanted.test + wanted.transfer) * verifying,
    }
    return {name: round(value, 1) for name, value in (found | {"total": sum(found.values())}).items()}


def memory(setting: Setting, parameters: int, longest: int, vocabulary: int) -> int:
    """Estimated peak in bytes: the process, the weights (twice for the final comparison), and what is larger of a
    training step's activations and logits and an evaluation batch's keys and values."""
    recipe = setting.loaded.recipe
    weight = 0.55 if recipe.base.quantization == "nf4" else BYTES[setting.compute.weights]
    tokens = recipe.train.batch_size * longest
    # Some 34 activations of the width for each layer (Korthikanti et al. 2022), the width from 12 * layers * width^2.
    layers = max(4.0, (parameters / 1.2e6) ** (1 / 3) * 3)
    width = math.sqrt(parameters / (12 * layers))
    step = 34 * layers * width * tokens * BYTES[setting.compute.training] + tokens * vocabulary * 4
    answered = recipe.evals.batch_size * (longest + recipe.evals.max_new_tokens)
    cache = CACHE_COPIES * 2 * layers * width * answered * BYTES[setting.compute.weights]
    return round(PROCESS_BYTES + 2 * parameters * weight + max(step, cache))


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
