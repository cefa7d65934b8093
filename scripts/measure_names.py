"""Which names of hypotheses a small base can be taught to use: equality chains in four spellings, each learned alone.

    uv run python scripts/measure_names.py --out evals/results/names/cpu-2-cores.json

For each spelling a LoRA is trained on fresh theorems and asked for others; right is what equals the reference. No Lean
is needed: all spellings of one theorem say the same.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random

VALUES = tuple("abcdkmnuvwxyz")
ROOT = Path(__file__).parent.parent
Chain = list[tuple[str, str]]

SPELLINGS: dict[str, tuple[Callable[[int, str], str], Callable[[Chain, list[str]], str]]] = {
    "way alone": (lambda place, _: f"h{place}", lambda links, _: " ".join(b for _, b in links)),
    "numbered": (lambda place, _: f"h{place}", lambda _, names: f"rw [{', '.join(names)}]"),
    "numbered, shown": (
        lambda place, _: f"h{place}",
        lambda links, names: (
            "rw [" + ", ".join(f"show {a} = {b} from {name}" for (a, b), name in zip(links, names, strict=True)) + "]"
        ),
    ),
    "by content": (lambda _, first: f"h_{first}", lambda _, names: f"rw [{', '.join(names)}]"),
}
"""How a hypothesis is named, from its place and its left side; and the answer, from the links and their names."""


def chain(rng: Random, spelling: str) -> tuple[str, str]:
    """A theorem of two or three shuffled links, and its answer."""
    named, answered = SPELLINGS[spelling]
    values = rng.sample(VALUES, rng.randint(3, 4))
    links = list(pairwise(values))
    order = rng.sample(links, len(links))
    name = {link: named(place, link[0]) for place, link in enumerate(order, 1)}
    facts = " ".join(f"({name[link]} : {link[0]} = {link[1]})" for link in order)
    statement = f"theorem t ({' '.join(rng.sample(values, len(values)))} : Nat) {facts}"
    return f"{statement} : {values[0]} = {values[-1]} := by", answered(links, [name[link] for link in links])


def measure(spelling: str, steps: int, seed: int, asked: int) -> dict[str, object]:
    """Right answers of `asked` after `steps` steps of 32 fresh theorems."""
    from speciate.models.attaching import attach
    from speciate.models.base import find_compute, load_model, load_tokenizer, locate
    from speciate.models.decoding import Ask, Sampling, generate
    from speciate.models.population import BASE, Population
    from speciate.models.sampler import prompt_ids, stop_tokens, written
    from speciate.models.shape import LoraShape
    from speciate.train.encoding import encode
    from speciate.train.sft import Sft, train

    source, compute = locate("tiny", ROOT / "data" / "base" / "tiny"), find_compute()
    tokenizer, model = load_tokenizer(source), load_model(source, compute)
    dev = {chain(Random(f"dev/{index}"), spelling) for index in range(asked)}
    rng, rows = Random(f"{seed}/train"), list[tuple[str, str]]()
    while len(rows) < 32 * steps:
        if (row := chain(rng, spelling)) not in dev:
            rows.append(row)
    encoded = [encode(tokenizer, *row) for row in rows]
    adapted = attach(model, LoraShape(32, 64, 0.0, "all-linear", rslora=False), source, seed)
    settings = Sft(
        epochs=1.0,
        batch_size=32,
        gradient_accumulation=1,
        optimizer="adamw",
        learning_rate=2e-3,
        warmup=0.05,
        schedule="cosine",
        weight_decay=0.0,
        max_grad_norm=1.0,
        checkpoint_every=steps,
        seed=seed,
    )
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        train(adapted, tokenizer, encoded, [], settings, compute, Path(folder), lambda _: None)
    adapted.eval()
    prompts, wanted = zip(*sorted(dev), strict=True)
    stops = stop_tokens(adapted, tokenizer)
    asks = [Ask(BASE, tuple(prompt_ids(tokenizer, prompt))) for prompt in prompts]
    said = generate(Population(adapted, tokenizer), asks, Sampling(80), stops, batch_size=50)
    texts = [written(tokenizer, found.tokens, stops, ()).strip() for found in said]
    right = sum(text == reference for text, reference in zip(texts, wanted, strict=True))
    seconds = round(time.perf_counter() - started, 1)
    return {"spelling": spelling, "seed": seed, "right": right, "n": len(dev), "seconds": seconds}


def main() -> None:
    """Measure, print, write after each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--asked", type=int, default=200)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from speciate.models.base import digest_folder
    from speciate.pipeline.machine import quiet_libraries, versions
    from speciate.storage import write_json

    quiet_libraries()
    facts = {
        "base": digest_folder(ROOT / "data" / "base" / "tiny"),
        "steps": chosen.steps,
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
        "versions": versions(),
    }
    rows: list[dict[str, object]] = []
    for seed in chosen.seeds:
        for spelling in SPELLINGS:
            rows.append(measure(spelling, chosen.steps, seed, chosen.asked))
            print(rows[-1], flush=True)
            write_json(chosen.out, facts | {"rows": rows})


if __name__ == "__main__":
    main()
