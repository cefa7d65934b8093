"""What a training runs on: processes, how the base is divided among them, and what memory is saved by which means."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from speciate.recipe.fields import Section

Attention = Literal["auto", "eager", "sdpa", "flash_attention_2"]
Sharding = Literal["none", "fsdp", "deepspeed"]


class Hardware(Section):
    """What the training runs on; where it is more than one process, `accelerate launch` starts them on this machine.

    Evaluation is in one process and on one device, whatever stands here.
    """

    processes: Annotated[int, Field(ge=1, le=4096)] = 1
    """Processes that train together, one for each GPU; a step's batch is train.batch_size rows for each of them."""
    sharding: Sharding = "none"
    """none: each process holds the whole base. fsdp (FSDP2) and deepspeed (ZeRO-3) divide it."""
    cpu_offload: bool = False
    """Keep the divided base in the machine's memory, and on the GPU only the block at work: slow, for bases that are
    too large otherwise.
    """
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, about a third more time."""
    attention: Attention = "auto"
    """How attention is computed; auto takes eager on a CPU, where rows are short, and sdpa elsewhere."""
    packing: bool = False
    """Lay the rows of a batch end to end instead of padding them; needs attention that keeps them apart by itself."""

    @field_validator("sharding")
    @classmethod
    def _divides_among_several(cls, sharding: Sharding, info: ValidationInfo) -> Sharding:
        if sharding != "none" and info.data.get("processes") == 1:
            raise ValueError(f"{sharding} divides the base among processes, and there is one: raise hardware.processes")
        return sharding

    @field_validator("cpu_offload")
    @classmethod
    def _offloads_what_is_divided(cls, offload: bool, info: ValidationInfo) -> bool:
        if offload and info.data.get("sharding") == "none":
            raise ValueError("moves parts of a divided base: set hardware.sharding=fsdp, or base.quantization=nf4")
        return offload

    @field_validator("packing")
    @classmethod
    def _keeps_rows_apart(cls, packing: bool, info: ValidationInfo) -> bool:
        if packing and info.data.get("attention") != "flash_attention_2":
            raise ValueError(
                "needs hardware.attention=flash_attention_2: other attention would hold one mask as wide and as high "
                "as all rows of the batch together. Without packing little is lost: rows of a batch are of like length"
            )
        return packing
