"""Whether this machine has what a recipe's `hardware` asks for."""

import importlib.util

from speciate.errors import MissingComponent, RecipeError
from speciate.models.base import Compute
from speciate.models.device import count, has_flash_attention
from speciate.recipe import LoadedRecipe


def check_hardware(loaded: LoadedRecipe, compute: Compute) -> None:
    """Raises RecipeError, with what to write instead, and MissingComponent for a package that is not installed."""
    asked = loaded.recipe.hardware
    problems: list[str] = []
    there = count(compute.device)
    if there is not None and asked.processes > there:
        problems.append(
            loaded.problem(
                "hardware.processes",
                f"is {asked.processes}, one for each device, and there is {there} of {compute.device} here: set it to "
                f"{there}, and train.gradient_accumulation so much higher that a step has as many rows",
            )
        )
    if asked.sharding != "none" and compute.device != "cuda":
        problems.append(
            loaded.problem(
                "hardware.sharding",
                f"{asked.sharding} divides a base among GPUs, and the device here is {compute.device}: set it to none",
            )
        )
    if asked.attention == "flash_attention_2" and not has_flash_attention():
        problems.append(
            loaded.problem(
                "hardware.attention",
                "flash_attention_2 needs an NVIDIA GPU and the package flash-attn, which are not here: set it to sdpa, "
                "and hardware.packing to false",
            )
        )
    if problems:
        raise RecipeError(problems)
    if asked.sharding == "deepspeed" and importlib.util.find_spec("deepspeed") is None:
        raise MissingComponent(
            "hardware.sharding deepspeed needs the package deepspeed, which is not installed: install it, or set "
            "hardware.sharding=fsdp, which needs nothing more"
        )
