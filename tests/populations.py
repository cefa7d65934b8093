"""A base with three adapters of random weights, and what each of them says by itself, computed the plain way."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speciate.models.base import Compute, load_model, load_tokenizer, locate
from speciate.models.population import BASE, Population

FLOAT32 = Compute("cpu", "float32", "float32")
TINY = Path(__file__).parents[1] / "data" / "base" / "tiny"
ADAPTERS = {"ants": 4, "bees": 8, "cats": 2}
"""Rank of each adapter."""


def population_of(folder: Path, *, loud: bool, **settings: Any) -> Population:
    """The base in a folder with the adapters on it. `loud` makes the layers of a random model heard, which as it comes
    only repeats the last token; `settings` are of PEFT's LoRA.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    source = locate("a-base", folder)
    model: Any = load_model(source, FLOAT32)
    if loud:
        with torch.no_grad():
            for parameter in model.get_submodule("model.layers").parameters():
                if parameter.ndim == 2:
                    parameter.mul_(10)
    torch.manual_seed(3)
    for name, rank in ADAPTERS.items():
        config = LoraConfig(r=rank, target_modules="all-linear", init_lora_weights=False, **settings)
        if name == "ants":
            model = get_peft_model(model, config, adapter_name=name)
        else:
            model.add_adapter(name, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.mul_(0.3 if loud else 4)
    return Population(model.eval(), load_tokenizer(source), {name: name for name in ADAPTERS})


@contextmanager
def alone(population: Population, member: str) -> Generator[Any]:
    """The model as PEFT itself makes it speak for one member."""
    if member == BASE:
        with population.model.disable_adapter():
            yield population.model
    else:
        population.model.set_adapter(member)
        yield population.model


def logits_of(population: Population, member: str, ids: Sequence[int]) -> Any:
    """Logits after each of the tokens, without a batch, a cache or padding."""
    import torch

    with torch.inference_mode(), alone(population, member) as model:
        return model(input_ids=torch.tensor([list(ids)])).logits[0].double()


def greedy(population: Population, member: str, ids: Sequence[int], most: int, stops: Sequence[int]) -> list[int]:
    """The likeliest tokens, one at a time, each from the whole text before it."""
    made: list[int] = []
    while len(made) < most and not set(made) & set(stops):
        made.append(int(logits_of(population, member, [*ids, *made])[-1].argmax()))
    return made


@contextmanager
def broken(population: Population, member: str) -> Generator[None]:
    """For the block one weight of the member's adapter is no number."""
    import torch

    layer = population.layers[0].lora_B[member].weight
    kept = layer[0, 0].clone()
    try:
        with torch.no_grad():
            layer[0, 0] = float("nan")
        yield
    finally:
        with torch.no_grad():
            layer[0, 0] = kept


@contextmanager
def counted(population: Population) -> Generator[list[tuple[int, int]]]:
    """Rows and tokens of each pass over the base that the block makes."""
    passes: list[tuple[int, int]] = []

    def note(_: Any, inputs: tuple[Any, ...], given: dict[str, Any]) -> None:
        ids = given["input_ids"] if "input_ids" in given else inputs[0]
        passes.append((int(ids.shape[0]), int(ids.shape[1])))

    plain: Any = population.model.get_base_model() if population.adapters else population.model
    hook = plain.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield passes
    finally:
        hook.remove()
