"""What an adapter is to be like, and PEFT's configuration of it. Looks at no model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from peft import PeftConfig

OF_PEFT = ("gaussian", "orthogonal", "mica")
"""Beginnings that PEFT makes itself, and that leave the base's weights alone."""
BLOCK = {"oft": 32, "boft": 4}
"""Width of the blocks where none is named."""


@dataclass(frozen=True, slots=True)
class LoraShape:
    """Kind, size, place and beginning of an adapter; the recipe's section says what each word means."""

    r: int
    alpha: float
    dropout: float
    targets: str | Sequence[str]
    """`all-linear`, `mlp-only`, `attention-only`, `kappa`, or names of modules."""
    rslora: bool
    kind: str = "lora"
    init: str = "default"
    init_rows: int = 128
    init_texts: int = 0
    freeze_a: bool = False
    block_size: int | None = None
    frequencies: int = 1000
    preserved: int | None = None


def configuration(shape: LoraShape, targets: str | list[str], revision: str | None, seed: int) -> "PeftConfig":
    """PEFT's configuration of an adapter on modules; what the kind itself draws at random follows from the seed."""
    import peft

    place: dict[str, Any] = {"target_modules": targets, "task_type": "CAUSAL_LM", "revision": revision}
    match shape.kind:
        case "oft":
            return peft.OFTConfig(r=0, oft_block_size=shape.block_size or BLOCK["oft"], **place)
        case "boft":
            return peft.BOFTConfig(boft_block_size=shape.block_size or BLOCK["boft"], **place)
        case "hra":
            return peft.HRAConfig(r=shape.r, **place)
        case "vera":
            return peft.VeraConfig(r=shape.r, vera_dropout=shape.dropout, projection_prng_key=seed, **place)
        case "loha":
            return peft.LoHaConfig(r=shape.r, alpha=cast(int, shape.alpha), **place)
        case "lokr":
            return peft.LoKrConfig(r=shape.r, alpha=cast(int, shape.alpha), **place)
        case "shira":
            return peft.ShiraConfig(r=shape.r, random_seed=seed, **place)
        case "osf":
            return peft.OSFConfig(effective_rank=shape.preserved, **place)
        case "full":
            # Its layers are copies of whatever modules are named, not of normalisations alone.
            return peft.LNTuningConfig(**place)
        case "fourierft":
            # PEFT's own beginning is random, and an adapter that was not trained yet would not say what its base says.
            return peft.FourierFTConfig(n_frequency=shape.frequencies, random_loc_seed=seed, init_weights=True, **place)
        case _:
            return peft.LoraConfig(
                r=shape.r,
                lora_alpha=cast(int, shape.alpha),
                lora_dropout=shape.dropout,
                use_rslora=shape.rslora,
                use_dora=shape.kind == "dora",
                init_lora_weights=cast(Any, shape.init if shape.init in OF_PEFT else True),
                **place,
            )
