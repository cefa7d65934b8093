"""The configuration file of `accelerate launch`, made from a recipe's `hardware`; all of it is on one machine."""

from collections.abc import Sequence
from typing import Any

from speciate.models.base import Compute
from speciate.recipe.hardware import Hardware
from speciate.train.sft import Sft

PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


def configuration(hardware: Hardware, compute: Compute, settings: Sft, blocks: Sequence[str]) -> dict[str, Any]:
    """The file's content; `blocks` are the classes of the base's layers, which are divided one by one."""
    # Several processes on a CPU are started by the launcher for GPUs too, since the one for CPUs needs MPI; the
    # trainer's own setting says which device it is.
    kinds = {"none": "MULTI_GPU", "fsdp": "FSDP", "deepspeed": "DEEPSPEED"}
    common: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "debug": False,
        "distributed_type": kinds[hardware.sharding],
        "enable_cpu_affinity": False,
        "gpu_ids": "all",
        "machine_rank": 0,
        "main_process_port": 0,
        "main_training_function": "main",
        "mixed_precision": PRECISIONS[compute.training],
        "num_machines": 1,
        "num_processes": hardware.processes,
        "rdzv_backend": "static",
        "same_network": True,
        "use_cpu": False,
    }
    if hardware.sharding == "fsdp":
        return common | {"fsdp_config": _fsdp(hardware, blocks)}
    if hardware.sharding == "deepspeed":
        return common | {"deepspeed_config": _deepspeed(hardware, settings)}
    return common


def _fsdp(hardware: Hardware, blocks: Sequence[str]) -> dict[str, Any]:
    """FSDP2; a checkpoint holds the whole adapter, as that of one process does."""
    return {
        # The trainer does it, and refuses to where this does too.
        "fsdp_activation_checkpointing": False,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        # With it, only the first process would read the weights, and no other could attach the same adapter to them.
        "fsdp_cpu_ram_efficient_loading": False,
        "fsdp_offload_params": hardware.cpu_offload,
        "fsdp_reshard_after_forward": True,
        "fsdp_state_dict_type": "FULL_STATE_DICT",
        "fsdp_transformer_layer_cls_to_wrap": ",".join(blocks),
        "fsdp_version": 2,
    }


def _deepspeed(hardware: Hardware, settings: Sft) -> dict[str, Any]:
    """ZeRO-3."""
    place = "cpu" if hardware.cpu_offload else "none"
    return {
        "deepspeed_multinode_launcher": "standard",
        "gradient_accumulation_steps": settings.gradient_accumulation,
        "gradient_clipping": settings.max_grad_norm,
        "offload_optimizer_device": place,
        "offload_param_device": place,
        "zero3_init_flag": False,
        "zero3_save_16bit_model": True,
        "zero_stage": 3,
    }
