"""How many theorems of each family need no model: the hammer on fresh ones, in both readings of logic where it has two.

uv run python scripts/measure_hammer.py --out evals/results/hammer/cpu-2-cores.json
"""

import argparse
import platform
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

EACH = 60


def main() -> None:
    """Draw, strike, write."""
    from speciate import hardware
    from speciate.evals.intervals import wilson
    from speciate.niches.lean import logic
    from speciate.niches.lean.families import BY_HAND, FAMILIES
    from speciate.niches.lean.hammer import strike
    from speciate.niches.lean.niche import stream
    from speciate.niches.lean.pool import LeanPool
    from speciate.niches.lean.verdict import LeanJob
    from speciate.storage import write_json

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--each", type=int, default=EACH, help="theorems of each family and reading")
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    lean = ""
    with LeanPool() as pool:
        for family in FAMILIES:
            for share, reading in ((0.0, "types"), (1.0, "propositions")) if family in BY_HAND else ((None, ""),):
                usual, logic.AS_PROPOSITIONS = logic.AS_PROPOSITIONS, logic.AS_PROPOSITIONS if share is None else share
                items = list(islice(stream(family, f"hammer/{reading}"), chosen.each))
                logic.AS_PROPOSITIONS = usual
                jobs = [LeanJob(item.payload["preamble"], item.payload["statement"], "") for item in items]
                struck = list(strike(jobs, pool.check))
                solved = sum(bool(one.tactic) for one in struck)
                tactics = Counter(one.tactic.split(" ")[0] for one in struck if one.tactic)
                rows.append(
                    {"family": family, "reading": reading, "solved": solved, "n": len(struck)}
                    | {"ci95": wilson(solved, len(struck)), "tactics": dict(tactics.most_common())}
                )
                print(rows[-1], flush=True)
        lean = pool.engines[0].version
    machine = {"platform": platform.platform(), "cores": hardware.cores(), "python": platform.python_version()}
    write_json(chosen.out, {"machine": machine, "lean": lean, "rows": rows})


if __name__ == "__main__":
    main()
