"""What a training runs on: processes, memory saved, how rows are packed."""

from typing import Annotated, Literal

from pydantic import Field

from speciate.recipe.fields import Section


class Hardware(Section):
    """What the training runs on; where it is more than one process, `accelerate launch` starts them."""

    processes: Annotated[int, Field(ge=1, le=4096)] = 1
    """Processes that train together, one for each GPU; a step's batch is train.batch_size rows for each of them."""
    sharding: Literal["none", "fsdp", "deepspeed"] = "none"
    """none: each process holds the whole base. fsdp (FSDP2) and deepspeed (ZeRO-3) divide it."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, about a third more time."""
    packing: bool = False
    """Lay rows end to end instead of padding them; needs attention that keeps them apart (FlashAttention)."""
