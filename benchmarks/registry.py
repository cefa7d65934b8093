"""How long a registry of many entries takes to answer: list, filter, search, tree, and to be made anew.

    uv run python benchmarks/registry.py --entries 100000 --out evals/results/registry

Makes a registry of that many entries in a temporary home (small adapters, whole cards, every file as `register` writes
it, but not flushed one by one), of which 1,000 descend from one. Each command is run as a process of its own, and its
work inside one is timed apart, with the index on a warm disk. Seconds: median and range of several runs.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from speciate import __version__
from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.records import AdapterCard, Estimate, Forgetting, Intact, Outcome, Parent
from speciate.registry import index, lineage, places, query
from speciate.registry.entry import CARD, CONTENT, MANIFEST, README, adapter_digest, entry_name, manifest_of
from speciate.registry.readme import readme
from speciate.storage import digest_file, indented_json

NICHES = ("lean", "code", "regex", "sql", "arithmetic")
FAMILY = 1000
"""Entries that descend from one."""
RUNS = 7
BASE = "sha256:" + "ba5e" * 16


def main() -> None:
    """Make, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=Path("evals/results/registry"))
    parser.add_argument("--keep", type=Path, help="Make the registry in this folder, or use the one that is there.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        home = options.keep or Path(aside)
        os.environ["SPECIATE_HOME"] = str(home)
        if not places.index_file().exists():
            fill(options.entries)
        started = time.perf_counter()
        count = index.rebuild()
        rebuilt = time.perf_counter() - started
        record = {
            "entries": count,
            "rebuild_s": round(rebuilt, 1),
            "commands": {name: command(arguments) for name, arguments in COMMANDS.items()},
            "inside": inside(),
            "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
            "versions": {"speciate": __version__, "python": platform.python_version()},
        }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "speed.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))


COMMANDS = {
    "list, filtered": ["registry", "list", "--niche", "lean", "--verdict", "passed", "--min-gain", "50"],
    "list, sorted": ["registry", "list", "--base", "base-1", "--sort", "gain"],
    "list, filtered, as JSON": ["registry", "list", "--niche", "lean", "--max-forgetting", "1", "--json"],
    "search": ["registry", "search", "prover", "seed7"],
    "tree of 1,000": ["registry", "tree", "species-0@1"],
    "show": ["registry", "show", "species-7"],
    "help": ["--help"],
}


def command(arguments: list[str]) -> dict[str, float]:
    """Seconds of a whole command, start of Python included."""

    def once() -> None:
        asked = [str(Path(sys.executable).with_name("speciate")), *arguments]
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        subprocess.run(asked, check=True, stdout=subprocess.DEVNULL, timeout=60, env=kept)

    return timed(once)


def inside() -> dict[str, dict[str, float]]:
    """Seconds of the work alone."""
    with index.opened() as database:
        wanted = query.Wanted(niche="lean", verdict="passed", min_gain=0.5)
        root = query.digest_of(database, "species-0@1")
        return {
            "list, filtered": timed(lambda: query.listed(database, wanted, "gain", limit=100)),
            "search": timed(lambda: query.found_words(database, "prover seed7", 100)),
            "tree of 1,000": timed(lambda: lineage.phylogeny(database, root)),
            "find": timed(lambda: query.digest_of(database, "species-7@2")),
            "open": timed(_open),
        }


def _open() -> None:
    with index.opened():
        pass


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Median and range of seconds, after one run that warms up."""
    work()
    taken: list[float] = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return {"median": round(statistics.median(taken), 4), "min": round(min(taken), 4), "max": round(max(taken), 4)}


def fill(count: int) -> None:
    """Write the entries of a registry, and the aliases of their versions."""
    draw = random.Random(0)
    versions: dict[str, int] = {}
    related_ones: list[str] = []
    for number in range(count):
        related = number < FAMILY
        species = f"species-{0 if related else number % (count // 10)}"
        versions[species] = versions.get(species, 0) + 1
        # Mostly of the last few hundred, so it is neither a bush nor a rope.
        parent = draw.choice(related_ones[-200:]) if related and number else BASE
        digest = entry(draw, species, versions[species], parent, number)
        related_ones += [digest] if related else []
        alias = places.aliases_folder() / species / str(versions[species])
        alias.parent.mkdir(parents=True, exist_ok=True)
        alias.write_text(f"{digest}\n")


def entry(draw: random.Random, species: str, version: int, parent: str, number: int) -> str:
    """One entry, written straight into its place; its digest."""
    folder = places.entries_folder() / f".{number}"
    folder.mkdir(parents=True)
    save_file({"layer.lora_A.weight": np.full((2, 4), number, dtype=np.float32)}, folder / WEIGHTS)
    config: dict[str, Any] = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}
    (folder / CONFIG).write_text(indented_json(config))
    digest = adapter_digest(digest_file(folder / WEIGHTS), config)
    card = card_of(draw, species, version, digest, parent, number)
    (folder / CARD).write_text(indented_json(card.document()))
    (folder / README).write_text(readme(card))
    (folder / MANIFEST).write_text(indented_json(manifest_of(folder, digest)))
    assert {path.name for path in folder.iterdir()} == {*CONTENT, MANIFEST}
    folder.rename(folder.parent / entry_name(digest))
    return digest


def card_of(draw: random.Random, species: str, version: int, digest: str, parent: str, number: int) -> AdapterCard:
    """A card with figures drawn at random."""
    gain, lost = draw.uniform(-0.05, 0.9), draw.uniform(-0.01, 0.1)
    verdict: Outcome = "passed" if gain > 0.45 and lost < 0.05 else "failed" if gain < 0.4 else "undecided"
    niche = NICHES[number % len(NICHES)]
    seed = number % 1000
    return AdapterCard(
        species=species, version=version, digest=digest, verdict=verdict, niche=niche, seed=seed,
        created=f"20{20 + number % 7}-{1 + number % 12:02}-{1 + number % 28:02}T12:00:00+00:00",
        description=f"A {niche} prover of its own kind, seed{seed}, grown in a benchmark.",
        base={"name": f"org/base-{number % 3}", "revision": "", "digest": BASE},
        parents=[Parent(kind="trained-from" if parent == BASE else "continued", digest=parent)],
        gates=[],
        gain=Estimate(
            metric="pass@1", base=0.05, adapter=0.05 + gain, delta=gain, ci95=(gain - 0.04, gain + 0.04), n=400,
            right_to_wrong=3, wrong_to_right=300, p_mcnemar=1e-9, seeds=1,
        ),
        forgetting=Forgetting(
            metric="accuracy", base=0.97, adapter=0.97 - lost, delta=lost, ci95=(lost - 0.01, lost + 0.01),
            ci95_upper=lost + 0.008, n=1900, right_to_wrong=30, wrong_to_right=10, p_mcnemar=0.01, nats=None, seeds=1,
        ),
        families=[],
        intact=Intact(
            base_digest_before=BASE, base_digest_after=BASE, memory_digest_before=BASE, memory_digest_after=BASE,
            logits_identical=True, prompts=16,
        ),
        recipe={
            "species": species, "seed": seed, "niche": {"name": niche},
            "train": {"learning_rate": 0.002, "epochs": 3.5, "lora": {"r": 8 << number % 3, "alpha": 32}},
        },
        recipe_digest=BASE, data_digest=BASE, run=f"{species}-{number}", cost={"seconds": 300.0},
        versions={"torch": "2.13.0"},
    )  # fmt: skip


if __name__ == "__main__":
    main()
