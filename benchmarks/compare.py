"""Seconds and bytes of `speciate compare A B --html` on two evaluations of 100,000 rows for each model.

    uv run python benchmarks/compare.py --out evals/results/compare/cpu-2-cores.json

The rows are drawn, not answered: only their number, their texts' length and how often they change matter here.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from speciate.evals.rows import table_of, write_rows
from speciate.records import EvalRecord, EvalRow, ModelScores
from speciate.storage import digest_json, write_json

PROMPT = "theorem t{n} (p q : Prop) (h : p ∧ q) (k : q → p) : q ∧ (p → q) := by -- item {n}, {filler}"
ANSWERS = ("exact ⟨h.2, fun _ => h.2⟩", "constructor\n· exact h.2\n· intro g\n  exact h.2", "simp [h]", "")


def rows(seed: int, count: int, families: int, right: float) -> list[EvalRow]:
    """Rows of which a share is right; the first 40% are of the niche."""
    random = np.random.default_rng(seed)
    scores = (random.random(count) < right).astype(float)
    answers = random.integers(len(ANSWERS), size=count)
    return [
        EvalRow(
            item=f"sha256:{number:064x}",
            family=f"family-{number % families}",
            role="niche" if number < 0.4 * count else "general",
            prompt_digest=f"sha256:{number:064x}",
            prompt=PROMPT.format(n=number, filler="and more words " * 12),
            output=ANSWERS[answers[number]],
            score=float(scores[number]),
            reason="ok" if scores[number] else "wrong",
            detail="" if scores[number] else "unsolved goals: p q : Prop, h : p ∧ q ⊢ q",
            tokens=12,
            ms=5.0,
        )
        for number in range(count)
    ]


def evaluation(folder: Path, name: str, seed: int, count: int, families: int) -> Path:
    """An evaluation of a base and one adapter, as `speciate eval` leaves it."""
    place = folder / name
    write_rows(place / "evals", "base", table_of(rows(0, count, families, 0.5)))
    write_rows(place / "evals", name, table_of(rows(seed, count, families, 0.6)))
    record = EvalRecord(
        eval=name,
        eval_dir=str(place),
        suite="drawn",
        suite_version=1,
        suite_digest=digest_json("drawn"),
        base={"name": "base", "revision": None, "digest": digest_json("base")},
        models=[
            ModelScores(model="base", reference="base", digest=digest_json("base"), scores=[]),
            ModelScores(model=name, reference=name, digest=digest_json(name), scores=[]),
        ],
        items={},
        answers=2 * count,
        recalled=0,
        seconds=1.0,
        tokens_per_second=1.0,
        device="cpu",
        precision="float32",
        versions={},
    )
    write_json(place / "eval.json", record.document())
    return place


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--families", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args()
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        places = [
            str(evaluation(home, name, seed, wanted.rows, wanted.families)) for seed, name in ((1, "a"), (2, "b"))
        ]
        page = home / "page.html"
        program = [
            sys.executable,
            "-c",
            "from speciate.cli import main; main()",
            "compare",
            *places,
            "--html",
            str(page),
        ]
        for _ in range(wanted.repeats):
            began = time.perf_counter()
            subprocess.run(program, check=True, capture_output=True, env=os.environ | {"SPECIATE_HOME": folder})
            seconds.append(time.perf_counter() - began)
        size = page.stat().st_size
    found = {
        "command": "uv run python benchmarks/compare.py",
        "rows": wanted.rows,
        "families": wanted.families,
        "seconds": [round(value, 2) for value in seconds],
        "median_seconds": round(statistics.median(seconds), 2),
        "page_bytes": size,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    print(json.dumps(found, indent=2))
    if wanted.out:
        write_json(wanted.out, found)


if __name__ == "__main__":
    main()
