"""`speciate eval`: a base and its adapters on one suite, to a folder of rows and a record.

    start.json   what is evaluated on what
    evals/       rows, losses and divergence of each model
    eval.json    the record, written last

The base is loaded once, and all models answer in the same passes. What was answered before is recalled.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from speciate import __version__, runs, storage
from speciate.errors import AdapterMismatch, InputError, NotFound
from speciate.evals.intact import inert
from speciate.evals.runner import Settings
from speciate.evals.sources import Part, Questions, questions
from speciate.models.adapter import load_adapters
from speciate.models.base import BaseSource, Compute, context_length, find_compute, load_model, load_tokenizer
from speciate.models.population import BASE, Population
from speciate.niches.contamination import check, overlap, record_of
from speciate.pipeline.folder import START, owned
from speciate.pipeline.machine import disk_must_hold, quiet_libraries, versions
from speciate.pipeline.measuring import Measured, adapter_identity, base_identity, measure, memory_of
from speciate.pipeline.names import SUITES
from speciate.pipeline.references import Meant, base_of, meant, named_so, unchecked
from speciate.pipeline.resuming import folder_to_resume, new_folder
from speciate.pipeline.scores import record
from speciate.pipeline.setting import fitting
from speciate.pipeline.training_rows import training_rows
from speciate.progress import Progress
from speciate.recipe import LoadedSuite, find_data, load_suite
from speciate.recipe.problems import suggestion
from speciate.records import Contamination, EvalRecord

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from speciate.evals.harness_tasks import Tasks

PROBES = 16
"""Prompts on which an adapter must say something else than its base."""
PLAIN = ("Hello.", "What is 2 + 2?", "The capital of France is", "theorem t : True := by", "Once upon a time")
"""Prompts for suites whose items only the harness knows."""
EVALS = "evals"
DEFAULT_BATCH = 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asked for."""

    references: Sequence[str]
    suite: str
    base: str | None = None
    limit: int | None = None
    batch_size: int = DEFAULT_BATCH
    dtype: str = "auto"
    quantization: str = "none"
    out: Path | None = None
    resume: bool = False
    train_rows: Path | None = None


def evaluate(wanted: Wanted, progress: Progress) -> EvalRecord:
    """Measure, in a new folder or, to go on, in the one that was stopped. Raises InputError of some kind before
    anything is loaded where the models, the suite or the two together are wrong.
    """
    quiet_libraries()
    suite = find_suite(wanted.suite)
    adapters, bases = meant(wanted.references)
    source = base_of(adapters, bases, wanted.base)
    compute = find_compute(wanted.dtype)
    asked = questions(suite, limit=wanted.limit, fits=fitting(source))
    labels = labelled(adapters)
    total = asked.items
    asked, contamination = decontaminated(asked, labels, wanted.train_rows)
    tasks = tasks_of(asked)
    for one in tasks:
        asked = replace(asked, chance={**asked.chance, **one.chance})
    start = {
        "speciate": __version__,
        "schema": "eval-start/1",
        "suite": {"name": asked.suite.suite, "version": asked.suite.version, "digest": asked.digest},
        "base": {"name": source.name, "revision": source.revision, "digest": source.digest},
        "adapters": {label: adapter.source.digest for label, adapter in labels.items()},
        "precision": [compute.device, compute.weights, wanted.quantization],
        "asked": {
            "limit": wanted.limit,
            "train_rows": str(wanted.train_rows) if wanted.train_rows else None,
            "given_away": total - asked.items,
            "items": {part.role: len(part.items) for part in asked.parts},
        },
    }
    tokenizer = load_tokenizer(source, chat=False)
    folder = folder_to_resume(wanted.out, start) if wanted.resume else new_folder(wanted.out, asked.suite.suite)
    with owned(folder), disk_must_hold(folder):
        if (folder / runs.EVAL).exists():
            return runs.read_eval(folder / runs.EVAL).model_copy(update={"eval_dir": str(folder)})
        storage.write_json(folder / START, start | {"created": datetime.now(UTC).isoformat(timespec="seconds")})
        began = time.monotonic()
        measured = measured_in(folder, wanted, source, tokenizer, compute, asked, tasks, labels, progress)
        found = record(folder, asked, source, compute, labels, contamination)
        seconds = time.monotonic() - began
        notes = [*unchecked(labels.values(), source), *plainly(source, tokenizer), *unseen(asked, labels)]
        done = found.model_copy(
            update={
                "answers": measured.answers,
                "recalled": measured.recalled,
                "seconds": round(seconds, 2),
                "tokens_per_second": round(measured.tokens / measured.seconds, 1) if measured.seconds else 0.0,
                "versions": versions(),
                "notes": [*found.notes, *notes],
            }
        )
        storage.write_json(folder / runs.EVAL, done.document())
    return done


def tasks_of(asked: Questions) -> "list[Tasks]":
    """The tasks of the harness with their data. Raises InputError for names that it does not have, before any is read,
    and for data that is not there.
    """
    if not asked.harness:
        return []
    from speciate.evals.harness_tasks import check_tasks, load_tasks

    for source in asked.harness:
        check_tasks(source)
    return [load_tasks(one, datasets=asked.datasets, limit=asked.limit or one.items) for one in asked.harness]


def unseen(asked: Questions, adapters: Mapping[str, Meant]) -> list[str]:
    """What to say of items that training rows were not held against."""
    tasks = [task for source in asked.harness for task in source.tasks]
    if not tasks or not adapters:
        return []
    return [
        f"items of the harness ({', '.join(tasks)}) were not looked for among training rows: only its tasks know them"
    ]


def plainly(source: BaseSource, tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """What to say of a base that has no chat template."""
    if tokenizer.chat_template is not None:
        return []
    return [f"{source.name!r} has no chat template: prompts are given to it as plain text, to be continued"]


def find_suite(name: str) -> LoadedSuite:
    """The suite of this name beside or above the working directory, or in a file.

    Raises NotFound, and InputError where what is there is no suite.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).exists():
            raise NotFound(f"there is no suite {name!r}")
        return load_suite(name)
    path = find_data(f"{SUITES}/{name}.yaml", Path.cwd() / "-")
    if path is None and Path(name).exists():
        return load_suite(name)
    if path is None:
        folder = find_data(SUITES, Path.cwd() / "-")
        known = sorted(path.stem for path in folder.glob("*.yaml")) if folder else []
        there = suggestion(name, known) or (f"; there are: {', '.join(known)}" if known else "")
        raise NotFound(f"there is no suite {name!r} (looked for {SUITES}/{name}.yaml here and above){there}")
    return load_suite(path)


def labelled(adapters: Sequence[Meant]) -> dict[str, Meant]:
    """The adapters by labels that are all different: those of one label are told apart by the folders that they lie in.

    Raises InputError where one is named twice.
    """
    found: dict[str, Meant] = {}
    alike = Counter(adapter.label for adapter in adapters)
    for adapter in adapters:
        twin = next((label for label, one in found.items() if one.source.digest == adapter.source.digest), None)
        if twin is not None:
            raise InputError(f"{found[twin].reference!r} and {adapter.reference!r} are the same adapter")
        above = adapter.source.folder.absolute().parent
        own = adapter.label if alike[adapter.label] == 1 else f"{named_so(above)}-{adapter.label}"
        label, number = own, 2
        while label in found or label == BASE:
            label, number = f"{own}-{number}", number + 1
        found[label] = adapter
    return found


def decontaminated(
    asked: Questions, adapters: Mapping[str, Meant], more: Path | None
) -> tuple[Questions, dict[str, Contamination]]:
    """The questions without items that an adapter's training rows give away, and what each adapter's rows give away.

    Raises Contaminated where that is more than the suite allows.
    """
    items = [item for part in asked.parts for item in part.items]
    found: dict[str, Contamination] = {}
    away: set[str] = set()
    for label, adapter in adapters.items():
        if (rows := training_rows(adapter, more)) is not None:
            shared = overlap(items, rows)
            found[label] = record_of(shared, len(items), asked.suite.max_contamination)
            check(found[label])
            away |= shared.exact | shared.shared
    return (asked.without(away) if away else asked), found


def measured_in(
    folder: Path,
    wanted: Wanted,
    source: BaseSource,
    tokenizer: "PreTrainedTokenizerBase",
    compute: Compute,
    asked: Questions,
    tasks: Sequence["Tasks"],
    adapters: Mapping[str, Meant],
    progress: Progress,
) -> Measured:
    """Load the base once with all adapters on it, and measure."""
    with progress.phase("loading the base"):
        model = load_model(source, compute, wanted.quantization)
        names = {label: f"a{number}" for number, label in enumerate(adapters)}
        sources = {names[label]: adapter.source for label, adapter in adapters.items()}
        population = Population(load_adapters(model, sources) if sources else model, tokenizer, names)
    check_speaking(population, asked.parts, adapters)
    identity = base_identity(source, compute, wanted.quantization)
    identities = {BASE: identity} | {
        label: adapter_identity(identity, adapter.source.digest) for label, adapter in adapters.items()
    }
    settings = Settings(wanted.batch_size, context_length(source))
    with memory_of(identities) as memory:
        doing = f"evaluating {len(population.members)} models" if adapters else "evaluating the base"
        members = list(population.members)
        return measure(population, members, asked, memory, settings, folder / EVALS, progress, doing, tasks)


def check_speaking(population: Population, parts: Sequence[Part], adapters: Mapping[str, Meant]) -> None:
    """Raises AdapterMismatch for an adapter that says what the base says: no score would be its own."""
    prompts = [item.prompt for part in parts for item in part.items[:PROBES]][:PROBES] or list(PLAIN)
    for label in inert(population, prompts):
        raise AdapterMismatch(
            f"{adapters[label].reference!r} loads but changes nothing: on {len(prompts)} prompts its base gives the "
            "same logits, bit for bit, so any score would be the base's"
        )
