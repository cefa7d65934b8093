"""What becomes of a registry that is damaged: 1,000 faults, each either found or harmless, and no entry lost.

    uv run python scripts/measure_registry_faults.py --faults 1000 --out evals/results/registry

A small registry with signed names, versions and an index is damaged in one place at a time, then made whole again:

    flip       one bit of one file                      found by `verify`, or every answer is what it was
    cut        a file ends early                        the same
    missing    a file or an entry is gone               the same
    killed     SIGKILL at the n-th call that writes     every entry of before is whole, the interrupted one whole or
               (write, rename, fsync, mkdir, unlink..)  not there, the next writer succeeds, `verify` finds nothing

Killed are `register`, `alias`, `rm` and `rebuild`, by strace at the system call itself. What this cannot show: what a
disk does that loses what it was told to keep (fsync), and damage to several places at once.
"""

import argparse
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from speciate import __version__
from speciate.errors import SpeciateError
from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.records import Listed, Parent, UnmeasuredCard
from speciate.registry import index, places, query, store
from speciate.registry.entry import check, read_card
from speciate.registry.verify import verify

CALLS = "write,pwrite64,rename,renameat,renameat2,fsync,fdatasync,mkdir,mkdirat,unlink,unlinkat,rmdir,ftruncate,chmod"
ENTRIES = 6
BASE = "sha256:" + "ba5e" * 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one fault did."""

    kind: str
    where: str
    what: str
    """`found`, `harmless`, `missed` or `lost`."""


def main() -> None:
    """Damage, look, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="Folder for faults.json.")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "ADAPTER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        act(*options.child)
        return
    with tempfile.TemporaryDirectory() as aside:
        outcomes = study(Path(aside), options.faults, options.seed)
    counts = {
        kind: Counter(one.what for one in outcomes if one.kind == kind) for kind in sorted({o.kind for o in outcomes})
    }
    record = {
        "faults": len(outcomes),
        "outcomes": {kind: dict(sorted(found.items())) for kind, found in counts.items()},
        "missed": sorted({one.where for one in outcomes if one.what == "missed"}),
        "lost": sorted({one.where for one in outcomes if one.what == "lost"}),
        "seed": options.seed,
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {"speciate": __version__, "python": platform.python_version()},
    }
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "faults.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))
    sys.exit(1 if record["missed"] or record["lost"] else 0)


def study(aside: Path, count: int, seed: int) -> list[Outcome]:
    """A quarter of the faults are kills, as far as there are calls to be killed at; the others are damage."""
    os.environ["SPECIATE_HOME"] = str(aside / "home")
    for number in range(ENTRIES):
        store.register(adapter(aside / f"a{number}", number), card_of)
    store.point("prover", "best", store.find("prover@2")[1].digest)
    pristine = aside / "pristine"
    shutil.copytree(aside / "home", pristine)
    before = answers()
    if faults := verify().faults:
        raise RuntimeError(f"the registry was not whole to begin with: {faults}")
    outcomes = killed(aside, pristine, count // 4)
    draw = random.Random(seed)
    while len(outcomes) < count:
        outcomes.append(damaged(draw, before))
        restore(pristine)
    return outcomes


def adapter(folder: Path, number: int) -> Path:
    """A small adapter that no other is like."""
    folder.mkdir()
    save_file({"layer.lora_A.weight": np.full((4, 8), number, dtype=np.float32)}, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps({"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]}))
    return folder


def card_of(digest: str, version: int) -> UnmeasuredCard:
    """Its card."""
    return UnmeasuredCard(
        species="prover" if version < 4 else "solver", version=version, digest=digest, created="2026-11-25T00:00:00Z",
        base={"name": "data/base/tiny", "revision": "", "digest": BASE}, origin="made to be damaged",
        parents=[Parent(kind="trained-from", digest=BASE)],
    )  # fmt: skip


def answers() -> Any:
    """What the registry says when it is asked for everything."""
    with index.opened() as database:
        entries, _ = query.listed(database, query.Wanted())
        found = [Listed.model_validate(entry).model_dump() for entry in entries]
        words = [one["digest"] for one in query.found_words(database, "solver")[0]]
        problems = query.problems(database)
    cards = [store.find(entry["digest"])[1].document() for entry in entries]
    return found, sorted(words), problems, cards, store.find("prover@best")[1].digest, store.find("prover")[1].digest


def damaged(draw: random.Random, before: Any) -> Outcome:
    """Damage one place, and see whether that is found or changes nothing."""
    root = places.root()
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != ".lock")
    path = draw.choice(files)
    kind = draw.choice(["flip", "flip", "flip", "cut", "missing", "missing"])
    content = bytearray(path.read_bytes())
    if kind == "missing" and draw.random() < 0.3:
        path = draw.choice([folder for folder in places.entries_folder().iterdir() if folder.is_dir()])
        shutil.rmtree(path)
    elif kind == "missing":
        path.unlink()
    elif kind == "cut" and content:
        path.write_bytes(bytes(content[: draw.randrange(len(content))]))
    elif content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(bytes(content))
    where = "/".join(part if len(part) != 16 else "ENTRY" for part in path.relative_to(root).parts)
    try:
        if verify().faults:
            return Outcome(kind, where, "found")
        return Outcome(kind, where, "harmless" if answers() == before else "missed")
    except SpeciateError as error:
        return Outcome(kind, f"{where}: {error}", "missed")


def killed(aside: Path, pristine: Path, count: int) -> list[Outcome]:
    """Kill each kind of writer at its first call that writes, at its second, and so on until it ends by itself."""
    outcomes: list[Outcome] = []
    actions = ("register", "alias", "rm", "rebuild")
    ended: set[str] = set()
    number = 0
    while len(outcomes) < count and len(ended) < len(actions):
        number += 1
        for action in actions:
            if action in ended or len(outcomes) >= count:
                continue
            fresh = adapter(aside / f"{action}{number}", 1000 + number)
            old = {path.name for path in places.entries_folder().glob("[!.]*")}
            if killed_at(number, action, fresh) == 0:
                ended.add(action)
            else:
                outcomes.append(Outcome("killed", f"{action}, call {number}", after(action, fresh, old)))
            restore(pristine)
    return outcomes


def killed_at(number: int, action: str, fresh: Path) -> int:
    """Exit status of a process that is killed at its n-th writing call; 0 where it made fewer."""
    asked = [sys.executable, __file__, "--child", action, str(fresh)]
    traced = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={CALLS}"]
    traced += ["-e", f"inject={CALLS}:signal=KILL:when={number}", "--"]
    done = subprocess.run(
        [*traced, *asked], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120, check=False
    )
    if done.returncode not in (0, -signal.SIGKILL, 128 + signal.SIGKILL):
        raise RuntimeError(f"{action} failed by itself: {done.stderr.decode(errors='replace')}")
    return done.returncode


def act(what: str, fresh: str) -> None:
    """What is killed, in a process of its own."""
    actions: dict[str, Callable[[], object]] = {
        "register": lambda: store.register(Path(fresh), card_of),
        "alias": lambda: store.point("prover", "best", store.find("prover@1")[1].digest),
        "rm": lambda: store.remove(store.find("prover@3")[0]),
        "rebuild": index.rebuild,
    }
    actions[what]()


def after(what: str, fresh: Path, old: set[str]) -> str:
    """What is left when a writer was killed."""
    there = {path.name for path in places.entries_folder().glob("[!.]*")}
    gone = old - there
    allowed = {store.find("prover@3")[0].name} if what == "rm" and not gone else gone if what == "rm" else set[str]()
    if len(gone) > 1 or gone - allowed or any(check(places.entries_folder() / name) for name in there):
        return "lost"
    if what == "alias" and store.find("prover@best")[1].version not in (1, 2):
        return "lost"
    entry, card = store.register(fresh, card_of)
    if check(entry) or read_card(entry) != card or store.find(card.digest)[0] != entry:
        return "lost"
    # What a stop left behind may be found, as long as it is mended by the means that are named.
    if verify().faults:
        index.rebuild()
        remaining = [fault for fault in verify().faults if "prover@3" not in fault.what or what != "rm"]
        return "lost" if remaining else "found"
    return "harmless"


def restore(pristine: Path) -> None:
    """The registry as it was."""
    shutil.rmtree(places.root())
    shutil.copytree(pristine / "registry", places.root())
    # The times of folders belong to what the index knows.
    shutil.copystat(pristine / "registry" / "entries", places.entries_folder())
    shutil.copystat(pristine / "registry" / "aliases", places.aliases_folder())


if __name__ == "__main__":
    main()
