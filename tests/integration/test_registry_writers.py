"""Many processes write to one registry at once, and are killed while they write: nothing is lost."""

import json
import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.records import Parent, UnmeasuredCard
from speciate.registry import index, query, store
from speciate.registry.verify import verify

ROOT = Path(__file__).parents[2]
PROCESSES, EACH, SPECIES = 8, 125, 5
BASE = "sha256:" + "ba5e" * 16


def write_many(folder: Path, writer: int, barrier: Any) -> None:
    """Register `EACH` adapters, and move an alias to some of them."""
    barrier.wait(120)
    for number in range(EACH):
        adapter = folder / f"{writer}-{number}"
        adapter.mkdir()
        save_file({"lora_A": np.full((2, 2), writer * EACH + number, dtype=np.float32)}, adapter / WEIGHTS)
        (adapter / CONFIG).write_text(json.dumps({"peft_type": "LORA", "r": 2}))
        species = f"species-{number % SPECIES}"

        def card(digest: str, version: int, species: str = species) -> UnmeasuredCard:
            return UnmeasuredCard(
                species=species, version=version, digest=digest, created="2026-11-25T00:00:00Z", origin="a test",
                base={"name": "tiny", "digest": BASE}, parents=[Parent(kind="trained-from", digest=BASE)],
            )  # fmt: skip

        _, made = store.register(adapter, card)
        if number % 25 < SPECIES:
            store.point(species, "newest", made.digest)


def test_eight_processes_register_a_thousand_adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECIATE_HOME", str(tmp_path / "home"))
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(PROCESSES)
    writers = [spawn.Process(target=write_many, args=(tmp_path, number, barrier)) for number in range(PROCESSES)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(300)
    assert [writer.exitcode for writer in writers] == [0] * PROCESSES
    with index.opened() as database:
        entries, total = query.listed(database, query.Wanted())
    assert total == PROCESSES * EACH
    each = PROCESSES * EACH // SPECIES
    expected = [(f"species-{species}", version) for species in range(SPECIES) for version in range(1, each + 1)]
    assert [(entry["species"], entry["version"]) for entry in entries] == expected
    assert [entry["species"] for entry in entries if entry["aliases"] == ["newest"]] == [
        f"species-{number}" for number in range(SPECIES)
    ]
    assert verify().faults == []
    index.rebuild()
    with index.opened() as database:
        assert query.listed(database, query.Wanted())[0] == entries


def test_faults_are_found_or_harmless() -> None:
    """A tenth of the study, kills at the system call included."""
    script = ROOT / "scripts" / "measure_registry_faults.py"
    done = subprocess.run(
        [sys.executable, str(script), "--faults", "100"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["faults"] == 100
    assert sum(found["outcomes"]["killed"].values()) == 25
    assert found["outcomes"]["flip"]["found"] > 20
