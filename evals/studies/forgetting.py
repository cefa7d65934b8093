"""Run the study of forgetting: each method of a grid at each learning rate with each seed, and what they forget where
they gain the same.

    uv run python evals/studies/forgetting.py
    uv run python evals/studies/forgetting.py --methods full lora kl-self --seeds 0
    uv run python evals/studies/forgetting.py --jobs 2
    uv run python evals/studies/forgetting.py --only-show

Runs what is missing: after a kill it goes on in the midst of the runs that were stopped. A cell whose recipe
has changed is run again. Figure, table and `summary.json` are made anew after every cell from all cells that are there.
"""

import argparse
import os
import sys
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Lock

from cells import Bench, CellRecord, keep, key_of, run
from filelock import FileLock, Timeout
from grid import Cell, Grid, cells, read_grid
from shown import show

ROOT = Path(__file__).parents[2]


def records(out: Path, recipe: Path, wanted: list[Cell]) -> dict[str, CellRecord]:
    """The cells that are there and whose recipe is what it was, by name."""
    found: dict[str, CellRecord] = {}
    for cell in wanted:
        path = out / "cells" / f"{cell.name}.json"
        if path.exists():
            record = CellRecord.model_validate_json(path.read_text())
            if record.asked == key_of(recipe, cell):
                found[cell.name] = record
    return found


def run_missing(grid: Grid, wanted: list[Cell], out: Path, work: Path, jobs: int) -> None:
    """Run each cell that is not there, so many at a time. What one that failed raises is raised at the end."""
    recipe = ROOT / grid.recipe
    there = records(out, recipe, wanted)
    missing = [cell for cell in wanted if cell.name not in there]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    keeping = Lock()

    def one(number: int, cell: Cell) -> None:
        started = time.monotonic()
        record, bench = run(recipe, cell, work, threads)
        took = time.monotonic() - started
        with keeping:
            if bench:
                hold(out / "items.json", bench)
            keep(out / "cells" / f"{cell.name}.json", record)
            print(f"{number} of {len(missing)}: {cell.name}, {record.ended} in {took:.0f} s", flush=True)
            show(grid, out, records(out, recipe, list(cells(grid))))

    with ThreadPoolExecutor(jobs) as at_work:
        doing = [at_work.submit(one, number, cell) for number, cell in enumerate(missing, 1)]
        done, _ = wait(doing, return_when=FIRST_EXCEPTION)
        at_work.shutdown(cancel_futures=True)
    for each in done:
        each.result()


def hold(path: Path, bench: Bench) -> None:
    """All cells share their items and what the base answers; else they are no study. Raises RuntimeError."""
    if not path.exists():
        keep(path, bench)
    elif Bench.model_validate_json(path.read_text()) != bench:
        raise RuntimeError(
            f"items or base differ from those of {path}: remove it with the cells beside it, and begin anew"
        )


def main() -> None:
    """Run and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", type=Path, default=Path(__file__).with_suffix(".yaml"))
    parser.add_argument("--out", type=Path, default=ROOT / "evals/results/forgetting")
    parser.add_argument("--work", type=Path, default=ROOT / ".cache/study", help="runs that have not ended; a home")
    parser.add_argument("--methods", nargs="*", help="only these of the grid")
    parser.add_argument("--seeds", nargs="*", type=int, help="only these of the grid")
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time, which share the cores")
    parser.add_argument("--only-show", action="store_true", help="make figure and table anew")
    given = parser.parse_args()
    grid = read_grid(given.grid)
    if unknown := set(given.methods or ()) - set(grid.methods):
        sys.exit(f"the grid has no method {', '.join(sorted(unknown))}; it has {', '.join(grid.methods)}")
    wanted = [
        cell
        for cell in cells(grid)
        if cell.method in (given.methods or grid.methods) and cell.seed in (given.seeds or grid.seeds)
    ]
    given.work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(given.work / ".lock", timeout=0):
            if not given.only_show:
                run_missing(grid, wanted, given.out, given.work, given.jobs)
            show(grid, given.out, records(given.out, ROOT / grid.recipe, list(cells(grid))))
    except Timeout:
        sys.exit(f"another process runs the study in {given.work}")


if __name__ == "__main__":
    main()
