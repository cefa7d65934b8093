"""How sound, quick and hard to harm the Lean verifier is, on this machine: prints the table that docs/lean.md shows.

    uv run python benchmarks/lean.py --out evals/results/lean-verifier/cpu-2-cores.json
    uv run python benchmarks/lean.py --only cheats,library      some of its parts

Verdicts are not remembered, the part about the cache aside. Run it with nothing else running.
"""

import argparse
import json
import os
import platform
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

from speciate import hardware, storage
from speciate.niches.lean.engine import Lean
from speciate.niches.lean.families import FAMILIES
from speciate.niches.lean.gate import MAX_NESTING
from speciate.niches.lean.niche import stream
from speciate.niches.lean.pool import LeanPool, processes
from speciate.niches.lean.process import LocalJudge
from speciate.niches.lean.requests import parse
from speciate.niches.lean.verdict import LeanJob, LeanVerdict, by

ROOT = Path(__file__).parents[1]
FALSE = "theorem t : (2 : Nat) + 2 = 5"
TRUE = "theorem t (x y : Nat) : x + y = y + x"
SMALL = ("Nat.add_comm x y", "by rw [Nat.add_comm]", "by simp [Nat.add_comm]", "by exact Nat.add_comm x y", "by omega")
WORDS: list[str] = json.loads((ROOT / "evals" / "lean" / "words.json").read_text(encoding="utf-8"))
"""What malformed proofs are put together from."""
Row = dict[str, Any]


def jobs_of(name: str) -> list[LeanJob]:
    """The jobs of one of the files in evals/lean."""
    lines = (ROOT / "evals" / "lean" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [parse(line).job for line in lines]


def fresh() -> Lean:
    """An engine without a memory, ready."""
    lean = Lean(remembers=False)
    lean.start()
    lean.wait_ready()
    return lean


def judge_of(lean: Lean) -> LocalJudge:
    """The judge behind an engine, whose process is on this machine."""
    assert isinstance(lean.judge, LocalJudge)
    return lean.judge


def tally(verdicts: Sequence[LeanVerdict]) -> dict[str, int]:
    """How many of each kind."""
    return dict(sorted(Counter(found.verdict for found in verdicts).items()))


def cheats() -> Row:
    """Every known cheat; none may be accepted."""
    with LeanPool(engine=lambda: Lean(remembers=False)) as pool:
        found = list(pool.check(jobs_of("cheats")))
    return {
        "cases": len(found),
        "accepted": sum(one.proved for one in found),
        "reasons": len({one.reason for one in found}),
    }


def library() -> Row:
    """True proofs: theorems of Lean's library, and reference proofs of all families; none may be refused."""
    asked = jobs_of("library")
    for family in FAMILIES:
        items = islice(stream(family, "benchmark"), 40)
        asked += [LeanJob(item.payload["preamble"], item.payload["statement"], by(item.reference)) for item in items]
    with LeanPool(engine=lambda: Lean(remembers=False)) as pool:
        started = time.monotonic()
        found = list(pool.check(asked))
    return {
        "cases": len(found),
        "refused": sum(not one.proved for one in found),
        "processes": processes(),
        "proofs_per_second": round(len(found) / (time.monotonic() - started), 1),
    }


def speed() -> Row:
    """One worker: its start, small proofs in a batch, one at a time, and its memory before and after."""
    started = time.monotonic()
    lean = fresh()
    start = time.monotonic() - started
    before = judge_of(lean).resident_bytes()
    list(lean.check(LeanJob("", TRUE, f"{proof} -- warm {n}") for n in range(40) for proof in SMALL))
    rates: dict[str, float] = {}
    for proof in SMALL:
        begun = time.monotonic()
        assert all(found.proved for found in lean.check(LeanJob("", TRUE, f"{proof} -- {n}") for n in range(100)))
        rates[proof] = round(100 / (time.monotonic() - begun), 1)
    mixed = [LeanJob("", TRUE, f"{proof} -- mixed {n}") for n in range(100) for proof in SMALL]
    Random(0).shuffle(mixed)
    begun = time.monotonic()
    assert all(found.proved for found in lean.check(mixed))
    batch = len(mixed) / (time.monotonic() - begun)
    ms: list[float] = []
    for job in mixed[:300]:
        begun = time.monotonic()
        next(iter(lean.check([LeanJob("", job.statement, f"{job.proof} -- alone")])))
        ms.append(1000 * (time.monotonic() - begun))
    after = judge_of(lean).resident_bytes()
    lean.close()
    return {
        "start_s": round(start, 1),
        "small_proofs_per_second": round(batch, 1),
        "by_proof": rates,
        "one_ms_p50": round(median(ms), 1),
        "one_ms_p95": round(quantiles(ms, n=20)[-1], 1),
        "memory_gb_ready": round(before / 1e9, 2),
        "memory_gb_after": round(after / 1e9, 2),
    }


def hostile(rng: Random) -> str:
    """One random, cut or malformed proof of what is false."""
    kind = rng.randrange(10)
    if kind < 4:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(1, 200))).decode("utf-8", errors="surrogateescape")
    if kind < 6:
        proof = rng.choice((*SMALL, "by\n  induction x with\n  | zero => simp\n  | succ x ih => omega"))
        return proof[: rng.randrange(len(proof))]
    if kind == 6:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 60)))
    if kind == 7:
        depth = rng.randrange(1, MAX_NESTING + 20)
        return "by exact " + "(" * depth + "rfl" + ")" * depth
    if kind == 8:
        return "".join(chr(rng.randrange(1, 0x2FFF)) for _ in range(rng.randrange(1, 80)))
    return rng.choice(
        ("by rfl\0", "\0", "by " + "x" * 1_000_000, "-- " + "y" * 1_000_000, "by\n" + "  skip\n" * 5000, "¬" * 150)
    )


def fuzz(count: int = 10_000, deep: int = 6) -> Row:
    """Random and malformed proofs of what is false, and a few that crash Lean's parser."""
    rng = Random(0)
    asked = [LeanJob("", FALSE, hostile(rng)) for _ in range(count - deep)]
    asked += [LeanJob("", FALSE, "by exact " + "- " * (3000 + n) + "rfl") for n in range(deep)]
    with LeanPool(engine=lambda: Lean(timeout_s=20, remembers=False)) as pool:
        started = time.monotonic()
        found = list(pool.check(asked))
        seconds = time.monotonic() - started
        after = next(iter(pool.check([LeanJob("", TRUE, SMALL[0])])))
    return {
        "cases": len(found),
        "accepted": sum(one.proved for one in found),
        "verdicts": tally(found),
        "longest_ms": round(max(one.ms for one in found)),
        "right_after": after.proved,
        "seconds": round(seconds, 1),
    }


def kills(count: int = 1000, every_s: float = 2.0) -> Row:
    """Requests while one of the workers, taken at random, is killed every two seconds."""
    rng, over, killed = Random(0), threading.Event(), 0
    asked = [LeanJob("", TRUE if n % 2 else FALSE, f"{SMALL[n % 4]} -- {n}") for n in range(count)]
    with LeanPool(engine=lambda: Lean(remembers=False)) as pool:

        def kill() -> None:
            nonlocal killed
            while not over.wait(every_s):
                alive = [pid for engine in pool.engines if (pid := judge_of(engine).pid) is not None]
                if alive:
                    os.kill(rng.choice(alive), signal.SIGKILL)
                    killed += 1

        threading.Thread(target=kill, daemon=True).start()
        started = time.monotonic()
        found = list(pool.check(asked))
        over.set()
    right = sum(one.proved is bool(n % 2) and one.verdict != "crashed" for n, one in enumerate(found))
    return {"answers": len(found), "right": right, "killed": killed, "seconds": round(time.monotonic() - started, 1)}


def cache(count: int = 5000) -> Row:
    """Requests that were judged before, by one engine, asked of another."""
    jobs = [LeanJob("", TRUE, f"{SMALL[0]} -- {time.time_ns()} {n}") for n in range(200)]
    with Lean() as lean:
        list(lean.check(jobs))
    with Lean() as lean:
        started = time.monotonic()
        assert all(found.proved for found in lean.check(jobs[n % 200] for n in range(count)))
        seconds = time.monotonic() - started
    return {"requests": count, "per_second": round(count / seconds)}


PARTS: dict[str, Callable[[], Row]] = {
    "cheats": cheats, "library": library, "speed": speed, "fuzz": fuzz, "kills": kills, "cache": cache,
}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, parted by commas")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows: dict[str, Row] = {}
    for name in arguments.only.split(","):
        rows[name] = PARTS[name]()
        print(f"{name:8}  " + "  ".join(f"{key} {value}" for key, value in rows[name].items()), flush=True)
    if arguments.out:
        machine = {"platform": platform.platform(), "cores": hardware.cores(), "python": platform.python_version()}
        storage.write_text(arguments.out, json.dumps({"machine": machine, **rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
