"""What a study runs: methods, each at several learning rates and with several seeds, on what is common to all.

Knows nothing of what the keys mean; the recipe's own check does.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from ruamel.yaml import YAML

Rate = Annotated[float, Field(gt=0, le=1)]
Keys = dict[Annotated[str, Field(min_length=1)], Any]


class Part(BaseModel):
    """A section of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Method(Part):
    """One way to train."""

    says: Annotated[str, Field(min_length=1)]
    """In the table."""
    set: Keys = Field(default_factory=dict[str, Any])
    """Keys of the recipe."""
    learning_rates: Annotated[list[Rate], Field(min_length=1)]


class Grid(Part):
    """The whole study."""

    title: Annotated[str, Field(min_length=1)]
    recipe: Annotated[str, Field(min_length=1)]
    """What is varied, from the repository's root."""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    common: Keys = Field(default_factory=dict[str, Any])
    """Keys that all methods set, before their own."""
    reference: str
    """The method against which the others are compared."""
    methods: Annotated[dict[Annotated[str, Field(pattern=r"^[a-z0-9-]+$")], Method], Field(min_length=2)]

    @model_validator(mode="after")
    def _has_its_reference(self) -> "Grid":
        if self.reference not in self.methods:
            raise ValueError(f"the reference {self.reference!r} is no method: {', '.join(self.methods)}")
        return self


@dataclass(frozen=True, slots=True)
class Cell:
    """One run."""

    method: str
    rate: float
    seed: int
    overrides: tuple[str, ...]
    """As `--set` takes them."""

    @property
    def name(self) -> str:
        """Of its files."""
        return named(self.method, self.rate, self.seed)


def named(method: str, rate: float, seed: int) -> str:
    """How the files of a run are called."""
    return f"{method}-lr{rate:g}-seed{seed}"


def read_grid(path: Path) -> Grid:
    """The grid of a YAML file. Raises pydantic's ValidationError."""
    # PyYAML's rules would read 1e-3 as a string.
    return TypeAdapter(Grid).validate_python(YAML(typ="safe", pure=True).load(path.read_text()))


def cells(grid: Grid) -> Iterator[Cell]:
    """All runs, one seed after the other, so that a study that was stopped has whole fronts."""
    for seed in grid.seeds:
        for name, method in grid.methods.items():
            for rate in method.learning_rates:
                keys = grid.common | method.set | {"train.learning_rate": rate, "seed": seed}
                yield Cell(name, rate, seed, tuple(f"{key}={json.dumps(value)}" for key, value in keys.items()))
