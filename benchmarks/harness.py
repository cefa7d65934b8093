"""A base and three adapters on tasks of lm-evaluation-harness: speciate's one pass against lm_eval's four runs.

    uv run python benchmarks/harness.py --out evals/results/harness/cpu-2-cores.json

Both answer the same tasks on the same models in float32, by turns in one process: choices of several tokens, letters
with the same worked examples for all items, and short answers that are written. lm_eval has the best of several batch
sizes; its index of tasks is read beforehand, and its description of the machine, which takes a second for each model,
is left out. Nothing is remembered. Tells items per second, their ratio, and how many items have another score. Run it
with nothing else running.
"""

import argparse
import gc
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", OMP_WAIT_POLICY="PASSIVE", TQDM_DISABLE="1")
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

from speciate import hardware, storage
from speciate.evals.harness import harness_rows, load_tasks
from speciate.evals.memory import Memory
from speciate.evals.runner import Settings
from speciate.models.adapter import load_adapters, locate_adapter
from speciate.models.base import Compute, context_length, load_model, load_tokenizer, locate
from speciate.models.population import BASE, Population
from speciate.niches import skills
from speciate.recipe.suite import HarnessSource
from speciate.remembered import Remembered

ROOT = Path(__file__).parents[1]
BASE_FOLDER = ROOT / "data" / "base" / "tiny"
ADAPTERS = ("one", "two", "three")
RANK = 16
SEED = 0
METRICS = {"bench_endings": "acc_norm", "bench_letters": "acc", "bench_writing": "exact_match"}
Scores = dict[str, dict[str, list[float]]]
"""By model and task."""


def write_task(folder: Path, name: str, rows: Sequence[dict[str, Any]], settings: dict[str, Any]) -> None:
    """A task of lm_eval and its data, the first rows being worked examples."""
    for split, part in (("train", rows[:20]), ("test", rows[20:])):
        lines = "".join(json.dumps(row) + "\n" for row in part)
        (folder / f"{name}-{split}.jsonl").write_text(lines, encoding="utf-8")
    files = {split: str(folder / f"{name}-{split}.jsonl") for split in ("train", "test")}
    metric: dict[str, Any] = {"metric": METRICS[name], "aggregation": "mean", "higher_is_better": True}
    task: dict[str, Any] = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
        "test_split": "test",
        "fewshot_split": "train",
        "metric_list": [metric],
        **settings,
    }
    # JSON is YAML.
    (folder / f"{name}.yaml").write_text(json.dumps(task), encoding="utf-8")


def write_tasks(folder: Path, items: int) -> None:
    """Three tasks with so many items each, from this repository's own data."""
    rng = Random(SEED)
    stories = [json.loads(line)["text"] for line in (ROOT / "data/samples/stories.jsonl").open(encoding="utf-8")]
    sentences = [[part + "." for part in story.rstrip(".").split(". ")] for story in stories]
    sentences = [parts for parts in sentences if len(parts) > 4]
    endings: list[dict[str, Any]] = []
    for number in range(items + 20):
        own = sentences[number % len(sentences)]
        cut = 2 + number // len(sentences) % (len(own) - 3)
        others = [rng.choice(parts) for parts in rng.sample(sentences, 3)]
        order = rng.sample([own[cut], *others], 4)
        endings.append({"story": " ".join(own[:cut]), "endings": order, "right": order.index(own[cut])})
    write_task(
        folder, "bench_endings", endings,
        {"output_type": "multiple_choice", "doc_to_text": "{{story}}", "doc_to_choice": "endings",
         "doc_to_target": "right", "num_fewshot": 2},
    )  # fmt: skip
    short = [
        item for name in ("sums", "differences", "octal") for item in skills.sample(name, items // 3 + 10, "bench")
    ]
    rng.shuffle(short)
    letters: list[dict[str, Any]] = []
    for item in short[: items + 20]:
        order = [item.reference, *rng.sample(sorted({one.reference for one in short} - {item.reference}), 3)]
        rng.shuffle(order)
        letters.append({"question": item.prompt, "options": order, "right": order.index(item.reference)})
    listed = "".join(f"\n{letter}. {{{{options[{place}]}}}}" for place, letter in enumerate("ABCD"))
    write_task(
        folder, "bench_letters", letters,
        {"output_type": "multiple_choice", "doc_to_text": "{{question}}" + listed + "\nAnswer:",
         "doc_to_choice": list("ABCD"), "doc_to_target": "right", "num_fewshot": 4,
         "fewshot_config": {"sampler": "first_n"}},
    )  # fmt: skip
    named = ("sums", "sequences", "sorting", "counting")
    asked = [item for name in named for item in skills.sample(name, items // 4 + 10, "bench")]
    rng.shuffle(asked)
    written: list[dict[str, Any]] = [{"question": one.prompt, "answer": one.reference} for one in asked[: items + 20]]
    write_task(
        folder, "bench_writing", written,
        {"output_type": "generate_until", "doc_to_text": "Q: {{question}}\nA:", "doc_to_target": "{{answer}}",
         "num_fewshot": 2, "generation_kwargs": {"until": ["\n", "Q:"], "max_gen_toks": 24, "do_sample": False}},
    )  # fmt: skip


def make_adapters(folder: Path) -> dict[str, Path]:
    """Three LoRA adapters of rank 16 with small random weights, in folders as PEFT saves them."""
    import torch
    from peft import LoraConfig, get_peft_model

    places: dict[str, Path] = {}
    for number, name in enumerate(ADAPTERS):
        source = locate(str(BASE_FOLDER), BASE_FOLDER)
        model: Any = load_model(source, Compute("cpu", "float32", "float32"))
        torch.manual_seed(SEED + number)
        model = get_peft_model(model, LoraConfig(r=RANK, target_modules="all-linear", task_type="CAUSAL_LM"))
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "lora_B" in key:
                    parameter.normal_(std=0.02)
        model.save_pretrained(str(folder / name))
        places[name] = folder / name
    return places


class Ours:
    """speciate: one base in memory, all members in the same passes."""

    def __init__(self, adapters: dict[str, Path], tasks: Path, batch_size: int) -> None:
        source = locate(str(BASE_FOLDER), BASE_FOLDER)
        model: Any = load_model(source, Compute("cpu", "float32", "float32"))
        model = load_adapters(model, {name: locate_adapter(place) for name, place in adapters.items()})
        self.population = Population(model, load_tokenizer(source), {name: name for name in adapters})
        self.tasks = tasks
        self.settings = Settings(batch_size, context_length(source))

    def run(self) -> Scores:
        """All scores, from loading the tasks to the last of them; nothing is remembered from before."""
        with tempfile.TemporaryDirectory() as folder:
            kept = Remembered(Path(folder) / "answers.sqlite")
            memory = Memory({member: member for member in self.population.members}, kept)
            scores: Scores = {member: {} for member in self.population.members}
            source = HarnessSource(source="harness", tasks=tuple(METRICS))
            tasks = load_tasks(source, include=self.tasks)
            found = harness_rows(self.population, self.population.members, tasks, memory, self.settings)
            for member, rows in found.items():
                for row in rows:
                    scores[member].setdefault(row.family, []).append(row.score)
            kept.close()
            return scores


class Theirs:
    """lm_eval's `hf`: a model for the base and one for each adapter, run one after another."""

    def __init__(self, adapters: dict[str, Path], manager: Any, batch_size: int) -> None:
        from lm_eval.models.huggingface import HFLM

        kind: Any = HFLM
        places = {BASE: None, **{name: str(place) for name, place in adapters.items()}}
        self.models = {
            name: kind(str(BASE_FOLDER), device="cpu", dtype="float32", peft=place, batch_size=batch_size)
            for name, place in places.items()
        }
        self.manager = manager

    def run(self) -> Scores:
        """All scores, as its command line comes to them."""
        from lm_eval import evaluator

        evaluate: Any = evaluator.simple_evaluate
        evaluator.add_env_info = no_description
        scores: Scores = {}
        for name, model in self.models.items():
            found = evaluate(model, tasks=list(METRICS), task_manager=self.manager, bootstrap_iters=0)["samples"]
            scores[name] = {
                task: [float(one[metric]) for one in sorted(found[task], key=lambda one: one["doc_id"])]
                for task, metric in METRICS.items()
            }
        return scores


def no_description(_: Any) -> None:
    """In place of lm_eval's description of the machine."""


def timed(make: Callable[[], Any]) -> tuple[float, float, Scores]:
    """Seconds for loading and for the run."""
    gc.collect()
    began = time.perf_counter()
    side = make()
    loaded = time.perf_counter()
    scores = side.run()
    return loaded - began, time.perf_counter() - loaded, scores


def differing(one: Scores, other: Scores) -> tuple[int, int]:
    """Items, and how many of them have another score."""
    pairs = [
        (a, b)
        for name, tasks in one.items()
        for task, scores in tasks.items()
        for a, b in zip(scores, other[name][task], strict=True)
    ]
    return len(pairs), sum(abs(a - b) > 1e-6 for a, b in pairs)


def spread(values: Sequence[float]) -> dict[str, float]:
    """The middle one and the ends."""
    return {"median": round(median(values), 2), "least": round(min(values), 2), "most": round(max(values), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=240, help="items of each task")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64, help="rows at a time, speciate")
    parser.add_argument("--theirs", default="1,16,64", help="batch sizes to choose lm_eval's from")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    import torch
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "tasks").mkdir()
        write_tasks(folder / "tasks", given.items)
        adapters = make_adapters(folder)
        manager = TaskManager(include_defaults=False, include_path=str(folder / "tasks"))
        sizes = [int(size) for size in given.theirs.split(",")]
        ours = lambda: Ours(adapters, folder / "tasks", given.batch)  # noqa: E731
        timed(ours)
        items = len(METRICS) * given.items * (1 + len(ADAPTERS))
        tried: dict[int, float] = {}
        for size in sizes:
            tried[size] = timed(lambda size=size: Theirs(adapters, manager, size))[1]
            print(f"lm_eval, batch size {size:3}: {items / tried[size]:8.1f} items/s")
        best = min(tried, key=lambda size: tried[size])
        rounds: list[dict[str, float]] = []
        for number in range(given.repeats):
            sides: dict[str, Callable[[], Any]] = {"speciate": ours, "lm_eval": lambda: Theirs(adapters, manager, best)}
            found = {name: timed(sides[name]) for name in (list(sides) if number % 2 == 0 else list(sides)[::-1])}
            count, differ = differing(found["speciate"][2], found["lm_eval"][2])
            rate = {name: count / seconds for name, (_, seconds, _) in found.items()}
            whole = {name: count / (loading + seconds) for name, (loading, seconds, _) in found.items()}
            rounds.append(
                {
                    "speciate": rate["speciate"],
                    "lm_eval": rate["lm_eval"],
                    "ratio": rate["speciate"] / rate["lm_eval"],
                    "ratio_with_loading": whole["speciate"] / whole["lm_eval"],
                    "items": count,
                    "differing": differ,
                }
            )
            print(f"round {number + 1}: " + ", ".join(f"{key} {value:.2f}" for key, value in rounds[-1].items()))
    report: dict[str, Any] = {
        "machine": {"cores": hardware.cores(), "processor": platform.machine(), "load": os.getloadavg()[1]},
        "versions": {name: metadata.version(name) for name in ("lm_eval", "torch", "transformers", "peft")},
        "python": platform.python_version(),
        "base": "data/base/tiny",
        "adapters": {"count": len(ADAPTERS), "rank": RANK, "targets": "all-linear"},
        "dtype": "float32",
        "threads": torch.get_num_threads(),
        "seed": SEED,
        "tasks": {name: {"items": given.items, "metric": metric} for name, metric in METRICS.items()},
        "batch_sizes": {"speciate": given.batch, "lm_eval": best},
        "lm_eval_items_per_second_by_batch_size": {str(size): round(items / one, 1) for size, one in tried.items()},
        "items_per_second": {name: spread([one[name] for one in rounds]) for name in ("speciate", "lm_eval")},
        "ratio": spread([one["ratio"] for one in rounds]),
        "ratio_with_loading": spread([one["ratio_with_loading"] for one in rounds]),
        "differing_items": [int(one["differing"]) for one in rounds],
        "items": int(rounds[0]["items"]),
        "rounds": [{key: round(value, 3) for key, value in one.items()} for one in rounds],
    }
    print(f"{'':12}{'items/s':>10}{'least':>10}{'most':>10}")
    for name, values in report["items_per_second"].items():
        print(f"{name:12}{values['median']:>10}{values['least']:>10}{values['most']:>10}")
    print(f"ratio {report['ratio']['median']}, {sum(report['differing_items'])} items differ")
    if given.out:
        storage.write_json(given.out, report)


if __name__ == "__main__":
    main()
