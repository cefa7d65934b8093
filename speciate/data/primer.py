"""The Lean that a small base has seen: a fixed file of theorems, each accepted by Lean when the file was made.

`python -m speciate.data.primer data/samples/lean-primer.jsonl` makes it again. The base recipe reads the file and not
the generator, so that the families may change without changing the base, and every theorem in it is kept out of the
training and evaluation items of a niche.
"""

import sys
from pathlib import Path
from random import Random
from typing import Any

from speciate.niches.lean.engine import Lean
from speciate.niches.lean.families import FAMILIES
from speciate.niches.lean.theorems import Theorem
from speciate.niches.lean.verdict import LeanJob, by
from speciate.storage import read_jsonl, write_jsonl

PER_FAMILY = 60
HELD_OUT = ("implications", "equivalences")


def make(path: Path, seed: str = "primer") -> None:
    """Write `PER_FAMILY` theorems of each family that is not held out, all accepted by Lean. Needs Lean."""
    theorems: dict[str, Theorem] = {}
    for name in (name for name in FAMILIES if name not in HELD_OUT):
        rng, wanted = Random(f"{seed}/{name}"), len(theorems) + PER_FAMILY
        while len(theorems) < wanted:
            found = FAMILIES[name](rng)
            theorems.setdefault(found.digest, found)
    rows: list[dict[str, Any]] = []
    with Lean() as lean:
        jobs = [LeanJob(found.preamble, found.statement, by(found.proof)) for found in theorems.values()]
        for (name, found), verdict in zip(theorems.items(), lean.check(jobs), strict=True):
            if not verdict.proved:
                raise SystemExit(f"Lean refuses a reference proof ({verdict.message}):\n{found.prompt}\n{found.proof}")
            rows.append(
                {"family": found.family, "digest": name, "prompt": found.prompt, "proof": found.proof}
                | {"lean": verdict.lean}
            )
    write_jsonl(path, rows)


def digests(path: Path) -> set[str]:
    """Digests of the theorems in a primer."""
    return {row["digest"] for row in read_jsonl(path)}


if __name__ == "__main__":
    make(Path(sys.argv[1]))
