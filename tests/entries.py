"""Small entries, made and registered on the spot, sent to other places and fetched from them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from speciate.cli import run
from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.progress import Quiet
from speciate.records import Card, Parent, UnmeasuredCard
from speciate.records.exchange import Moved
from speciate.registry import places, store
from speciate.registry.entry import CARD, write_manifest
from speciate.registry.pull import pull
from speciate.registry.push import Sending, push
from speciate.registry.received import Policy
from speciate.registry.remotes import remote
from speciate.storage import read_json, write_json

BASE = "sha256:" + "ba5e" * 16


def registered(folder: Path, value: float = 1.0, species: str = "ant", numbers: int = 32) -> tuple[Path, Card]:
    """An entry whose weights are so many times the value."""
    adapter = folder / f"{species}-{value}-{numbers}"
    adapter.mkdir(parents=True)
    save_file({"lora_A": np.full((numbers,), value, dtype=np.float32)}, adapter / WEIGHTS)
    (adapter / CONFIG).write_text(json.dumps({"peft_type": "LORA", "r": 2}))

    def card(digest: str, version: int) -> UnmeasuredCard:
        return UnmeasuredCard(
            species=species, version=version, digest=digest, created="2026-11-25T00:00:00Z", origin="a test",
            base={"name": "tiny", "digest": BASE}, parents=[Parent(kind="trained-from", digest=BASE)],
        )  # fmt: skip

    return store.register(adapter, card)


def flipped(path: Path, bit: int) -> None:
    """Change one bit of a file; a bit beyond its end is counted from its beginning again."""
    content = bytearray(path.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    path.write_bytes(bytes(content))


def sent(to: str, *entries: tuple[Path, Card], **how: Any) -> list[Moved]:
    return push(entries, remote(to), Sending(**how), Quiet())


def fetched(place: str, *names: str, **policy: Any) -> list[Moved]:
    return pull(names, remote(place), Policy(**policy), Quiet())


def refusal(place: str, name: str = "ant", **policy: Any) -> str:
    """Why an entry is refused; nothing of it may be here afterwards."""
    (moved,) = fetched(place, name, **policy)
    assert moved.what == "refused"
    assert not list(places.entries_folder().glob("*"))
    return moved.problem


def said(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    assert run(["registry", *arguments]) == status
    told = capsys.readouterr()
    assert "defect" not in told.err
    return told.out + told.err


def rewritten(entry: Path, **changed: Any) -> None:
    """The card of an entry with other values, and a manifest that knows it."""
    found = read_json(entry / CARD) | changed
    write_json(entry / CARD, found)
    write_manifest(entry, found["digest"])
