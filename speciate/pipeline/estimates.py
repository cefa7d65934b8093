"""How long a run takes and how much memory, by arithmetic; the numbers of a run that was made are in its report.

Good to a factor of two on a CPU with a small base; the rates of other devices are assumed.
"""

from speciate import hardware
from speciate.models.skeleton import Sizes
from speciate.niches.lean.pool import processes
from speciate.pipeline.setting import Setting
from speciate.train.footprint import BYTES, NF4_BYTES, PROCESS
from speciate.train.memory import Room

FLOPS_PER_S = {"cuda": 150e12, "mps": 4e12}
CPU_CORE_FLOPS_PER_S = {"bfloat16": 120e9, "float16": 120e9, "float32": 40e9}
STEP_S_PER_MATRIX = {"cpu": 0.008, "mps": 0.001, "cuda": 0.0005}
"""What an adapted matrix costs a step however few the tokens: on small bases most of the time."""
VERIFIER_S_PER_ITEM, VERIFIER_START_S = 0.04, 20.0
EVAL_TOKENS_PER_S = {"cpu": 1500.0, "mps": 2000.0, "cuda": 4000.0}
CACHE_COPIES = 2
"""Copies of the keys and values while an answer grows: the old and the new."""


def seconds(setting: Setting, base: Sizes, tokens: int, steps: int, items: int) -> dict[str, float]:
    """Estimated time of each phase. A LoRA step takes about 4 operations for each parameter and token (forward 2,
    gradient of the activations 2), and the adapter half as much again on small models; activations that are computed
    again take a third more. Several GPUs share the rows, several processes on one CPU the cores.
    """
    wanted, compute, asked = setting.niche.wanted, setting.compute, setting.loaded.recipe.hardware
    gpus = asked.processes if compute.device == "cuda" else 1
    rate = FLOPS_PER_S.get(compute.device) or CPU_CORE_FLOPS_PER_S[compute.training] * hardware.cores()
    verified = wanted.train + wanted.dev + wanted.test + wanted.transfer
    verifying = VERIFIER_S_PER_ITEM / processes()
    slower = max(1.0, base.parameters / 5e6 if rate < 1e12 else 1.0)
    answers = 2 * items * 12 / EVAL_TOKENS_PER_S[compute.device] * slower
    again = 4 / 3 if asked.activation_checkpointing else 1.0
    arithmetic = again * 6.0 * base.parameters * tokens / (rate * gpus)
    found = {
        "data": VERIFIER_START_S + verified * verifying,
        "train": arithmetic + steps * base.adapted * STEP_S_PER_MATRIX[compute.device],
        "evaluate": answers + 2 * (wanted.test + wanted.transfer) * verifying,
    }
    return {name: round(value, 1) for name, value in (found | {"total": sum(found.values())}).items()}


def highest_memory(setting: Setting, room: Room) -> int | None:
    """Estimated peak of the whole run on one device, in bytes: what is larger of a training step, and of an evaluation
    batch with the base loaded a second time, which the proof that it is intact does.
    """
    if room.estimate is None:
        return None
    recipe, base, compute = setting.loaded.recipe, room.work.base, setting.compute
    wide = BYTES[compute.weights]
    narrow = NF4_BYTES if recipe.base.quantization == "nf4" else wide
    weights = base.in_blocks * narrow + (base.parameters - base.in_blocks) * wide
    answered = recipe.evals.batch_size * (room.work.longest + recipe.evals.max_new_tokens)
    cache = CACHE_COPIES * 2 * base.layers * base.kv_heads * base.head_width * answered * wide
    return max(room.estimate.total, round(PROCESS[compute.device] + 2 * weights + cache))
