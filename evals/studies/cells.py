"""One run of a study, through the command line like any other, and what is kept of it: every item's answer as one bit.

A run that was stopped is gone on with; one that ended leaves its record alone, and its folder is removed.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from grid import Cell
from pydantic import BaseModel, ConfigDict, Field

from speciate.evals.figures import scored
from speciate.evals.rows import read_rows, read_texts
from speciate.models.population import BASE
from speciate.recipe import load_recipe
from speciate.storage import digest_json, write_json

ROOT = Path(__file__).parents[2]
ENDED = (0, 3, 4)
"""Exit statuses of a run that came to its verdict."""
DIVERGED = "training_diverged"

Bits = Annotated[str, Field(pattern=r"^[01]*$")]


class Items(BaseModel):
    """The items of one role, the same for all cells."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: str
    families: list[str]


class CellRecord(BaseModel):
    """What one run gave."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    learning_rate: float
    seed: int
    asked: str
    """Digest of the recipe and of what the cell changes."""
    ended: Literal["trained", "diverged"]
    niche: Bits = ""
    """Right or wrong, in the order of the items."""
    general: Bits = ""
    nats: float | None = None
    """Mean rise of the loss on general texts, in nats per token."""
    drift: dict[str, float] = Field(default_factory=dict[str, float])
    """KL(base || adapter) in nats per token, on prompts of the niche and of general skills."""
    dev_niche: float | None = None
    """Share of the development items of the niche."""
    steps: int = 0
    trained_tokens_per_second: float = 0.0
    threads: int = 0
    seconds: dict[str, float] = Field(default_factory=dict[str, float])
    versions: dict[str, str] = Field(default_factory=dict[str, str])


class Bench(BaseModel):
    """What all cells share: items, and what the base answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    niche: Items
    general: Items
    base_niche: Bits
    base_general: Bits
    base_digest: str


def key_of(recipe: Path, cell: Cell) -> str:
    """Digest of what the cell asks for, as it is written: a new key of the schema makes no other cell of it.

    Raises RecipeError where it is no recipe.
    """
    return digest_json([load_recipe(recipe).source.values, list(cell.overrides)])


def run(recipe: Path, cell: Cell, work: Path, threads: int) -> tuple[CellRecord, Bench | None]:
    """Run a cell to its end, in `work`. Raises RuntimeError with the message of a run that failed."""
    folder = work / "runs" / cell.name
    environment = os.environ | {
        "SPECIATE_HOME": str(work / "home"),
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(threads),
    }
    command = [sys.executable, "-c", "from speciate.cli import main; main()", "train", str(recipe), "--json"]
    command += ["--out", str(folder), *(part for change in cell.overrides for part in ("--set", change))]
    resumed = ["--resume"] if (folder / "start.json").exists() else []
    done = subprocess.run([*command, *resumed], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    key = key_of(recipe, cell)
    common: dict[str, Any] = {
        "method": cell.method,
        "learning_rate": cell.rate,
        "seed": cell.seed,
        "asked": key,
        "threads": threads,
    }
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"{cell.name}: {done.stderr[-2000:]}") from None
    if done.returncode not in ENDED:
        if answer.get("error", {}).get("code") != DIVERGED:
            raise RuntimeError(f"{cell.name}: {answer}")
        shutil.rmtree(folder)
        return CellRecord(**common, ended="diverged"), None
    record, bench = read(folder, answer, common)
    shutil.rmtree(folder)
    return record, bench


def read(folder: Path, answer: dict[str, Any], common: dict[str, Any]) -> tuple[CellRecord, Bench]:
    """The record of a run in its folder, and what it shares with the others."""
    base, adapter = (scored(read_rows(folder / "evals", name)) for name in (BASE, "adapter"))
    before, after = (read_texts(folder / "evals", name) for name in (BASE, "adapter"))
    trial = answer["chosen"]["checkpoint"]["taken"]
    record = CellRecord(
        **common,
        ended="trained",
        niche=bits(list(adapter["niche"].scores.values())),
        general=bits(list(adapter["general"].scores.values())),
        nats=sum(one.nats for one in after) / sum(one.tokens for one in after)
        - sum(one.nats for one in before) / sum(one.tokens for one in before),
        drift={one["role"]: one["forward"] for one in answer["drift"]},
        dev_niche=trial["niche"],
        steps=trial["step"],
        trained_tokens_per_second=round(answer["tokens_per_second"], 1),
        seconds={name: round(value, 1) for name, value in answer["seconds"].items()},
        versions=answer["versions"],
    )
    shared = {
        role: Items(digest=digest_json(its.items), families=list(its.families.values())) for role, its in base.items()
    }
    bench = Bench(
        niche=shared["niche"],
        general=shared["general"],
        base_niche=bits(list(base["niche"].scores.values())),
        base_general=bits(list(base["general"].scores.values())),
        base_digest=json.loads((folder / "start.json").read_text())["base"]["digest"],
    )
    return record, bench


def bits(scores: list[float]) -> str:
    """One digit for each item. Raises ValueError for a score that is neither right nor wrong."""
    if any(score not in (0.0, 1.0) for score in scores):
        raise ValueError("an item has a score between 0 and 1")
    return "".join("1" if score else "0" for score in scores)


def keep(path: Path, record: BaseModel) -> None:
    """Write it whole."""
    write_json(path, record.model_dump(mode="json"))
