"""What can be compared: each adapter of a training run or an evaluation with the rows that it and its base gave, or a
base that was evaluated alone. Reads files, and decides nothing.
"""

import contextlib
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from speciate import runs
from speciate.errors import Damaged, InputError, StorageError
from speciate.evals.figures import Scored, scored
from speciate.evals.rows import Rows, check_files, read_drift, read_rows, read_texts
from speciate.models.adapter import WEIGHTS
from speciate.models.population import BASE
from speciate.pipeline.finished import finished_run
from speciate.pipeline.folder import START
from speciate.records import (
    CurvePoint,
    EvalRecord,
    GateResult,
    ItemDrift,
    ModelScores,
    Outcome,
    Role,
    RunRecord,
    TextLoss,
)
from speciate.storage import digest_json, read_json

CURVE_POINTS = 200
"""Steps of a training curve that are kept."""
SHOWN_VERSIONS = ("speciate", "python", "torch", "transformers", "peft", "trl", "lean")


@dataclass(frozen=True)
class Subject:
    """One model and what it is compared with."""

    name: str
    """Of the run or evaluation, and of the model in it."""
    folder: Path
    """Of the run or evaluation."""
    model: str
    """Its name in an evaluation; empty in a run, which has one."""
    label: str
    species: str
    seed: int | None
    base: Mapping[str, Any]
    adapter: str
    """Digest; empty where the subject is a base alone."""
    base_rows: Rows
    rows: Rows
    base_scores: Mapping[Role, Scored]
    scores: Mapping[Role, Scored]
    base_texts: list[TextLoss]
    texts: list[TextLoss]
    drift: list[ItemDrift]
    chance: Mapping[str, float]
    recipe: Mapping[str, Any] | None
    suite: str = ""
    """Name and version, as far as the record knows them."""
    verdict: Outcome | None = None
    gates: list[GateResult] = field(default_factory=list[GateResult])
    record: RunRecord | ModelScores | None = None
    curve: list[CurvePoint] = field(default_factory=list[CurvePoint])
    cost: Mapping[str, float] = field(default_factory=dict[str, float])
    provenance: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def place(self) -> str:
        """Where it was read from, which no other subject shares."""
        return f"{self.folder}/{self.model}"

    @property
    def way(self) -> str:
        """What subjects share that differ in their seed alone; the place of one that has no recipe."""
        if self.recipe is None:
            return self.place
        unseeded = {key: value for key, value in self.recipe.items() if key != "seed"}
        computed = [self.provenance.get(name, "") for name in ("suite", "device", "precision")]
        return digest_json([unseeded, self.base.get("digest"), computed])


def subjects(references: Iterable[str]) -> list[Subject]:
    """The subjects that runs and evaluations hold, in the order given, with names that differ.

    Raises NotFound, StorageError, and InputError where one is named twice.
    """
    found: list[Subject] = []
    for reference in references:
        if (evaluation := runs.find_eval(reference)) is not None:
            found += of_evaluation(evaluation)
        else:
            found.append(of_run(finished_run(reference)))
    return distinct(found)


@contextlib.contextmanager
def advised(remedy: str) -> Generator[None]:
    """What is wrong with files of answers in the block is told with what to do. Raises Damaged."""
    try:
        yield
    except StorageError as error:
        raise Damaged(f"{error}. {remedy}; most answers are remembered.") from error


def distinct(found: Sequence[Subject]) -> list[Subject]:
    """The subjects by names that differ: those of one name are told apart by their folders.

    Raises InputError for a folder that is named twice.
    """
    counts = Counter(subject.place for subject in found)
    if twice := [subject for subject in found if counts[subject.place] > 1]:
        raise InputError(f"{str(twice[0].folder)!r} is named twice: name each run and each evaluation once")
    named: list[Subject] = []
    for subject in found:
        alike = [other.folder for other in found if other.name == subject.name and other.folder != subject.folder]
        if alike:
            name = ending_apart(subject.folder, alike) + (f"/{subject.model}" if subject.model else "")
            named.append(replace(subject, name=name))
        else:
            named.append(subject)
    return named


def ending_apart(folder: Path, others: Sequence[Path]) -> str:
    """The shortest end of a folder's path that no other folder's path ends in."""
    depths = range(1, len(folder.parts) + 1)
    return next(
        "/".join(folder.parts[-depth:])
        for depth in depths
        if all(other.parts[-depth:] != folder.parts[-depth:] for other in others)
    )


def of_run(run: RunRecord) -> Subject:
    """The adapter of a training run. Raises Damaged where its files are not those that it wrote."""
    folder = Path(run.run_dir)
    start = runs.read_start(folder / START)
    with advised(f"`speciate eval {folder}` measures its adapter again"):
        return _of_run(run, folder, start)


def _of_run(run: RunRecord, folder: Path, start: Mapping[str, Any]) -> Subject:
    check_files(folder / "evals", run.files)
    base, adapter = read_rows(folder / "evals", BASE), read_rows(folder / "evals", "adapter")
    return Subject(
        name=run.run,
        folder=folder.resolve(),
        model="",
        label=run.species,
        species=run.species,
        seed=run.seed,
        base=start["base"],
        adapter=run.adapter_digest,
        base_rows=base,
        rows=adapter,
        base_scores=scored(base),
        scores=scored(adapter),
        base_texts=read_texts(folder / "evals", BASE),
        texts=read_texts(folder / "evals", "adapter"),
        drift=read_drift(folder / "evals", "adapter"),
        chance={score.family: score.chance for score in run.general if score.chance},
        recipe=start["recipe"],
        suite=run.suite or start["recipe"].get("evals", {}).get("suite", ""),
        verdict=run.verdict,
        gates=run.gates,
        record=run,
        curve=curve_of(folder),
        cost={
            "seconds": run.seconds.get("total", 0.0),
            "peak_memory_bytes": float(run.peak_memory_bytes),
            "tokens_per_second": run.tokens_per_second,
            "adapter_parameters": parameters_of(folder / "adapter" / WEIGHTS),
        },
        provenance={
            "recipe": run.recipe_digest,
            "data": run.data.digest,
            "suite": run.suite_digest,
            "device": run.device,
            "precision": run.precision,
            **{name: version for name, version in run.versions.items() if name in SHOWN_VERSIONS},
        },
    )


def of_evaluation(evaluation: EvalRecord) -> list[Subject]:
    """The adapters of an evaluation; the base itself where there is none. Raises Damaged where its files are not those
    that it wrote.
    """
    with advised("Evaluate the same models again, into another folder"):
        return _of_evaluation(evaluation)


def _of_evaluation(evaluation: EvalRecord) -> list[Subject]:
    folder = Path(evaluation.eval_dir) / "evals"
    check_files(folder, evaluation.files)
    base = read_rows(folder, BASE)
    base_scores, base_texts = scored(base), read_texts(folder, BASE)
    found: list[Subject] = []
    for model in evaluation.models[1:] or evaluation.models[:1]:
        alone = model.model == BASE
        rows = base if alone else read_rows(folder, model.model)
        recipe = recipe_of(model)
        found.append(
            Subject(
                name=f"{evaluation.eval}/{model.model}",
                folder=Path(evaluation.eval_dir).resolve(),
                model=model.model,
                label=model.reference if alone else model.model,
                species=model.species,
                seed=model.seed,
                base=evaluation.base,
                adapter="" if alone else model.digest,
                base_rows=base,
                rows=rows,
                base_scores=base_scores,
                scores=base_scores if alone else scored(rows),
                base_texts=base_texts,
                texts=base_texts if alone else read_texts(folder, model.model),
                drift=[] if alone else read_drift(folder, model.model),
                chance=evaluation.chance,
                recipe=recipe,
                suite=f"{evaluation.suite} version {evaluation.suite_version}",
                record=model,
                provenance={
                    "suite": evaluation.suite_digest,
                    "device": evaluation.device,
                    "precision": evaluation.precision,
                    **{name: version for name, version in evaluation.versions.items() if name in SHOWN_VERSIONS},
                },
            )
        )
    return found


def recipe_of(model: ModelScores) -> Mapping[str, Any] | None:
    """The resolved recipe of the run that a model comes from, where that run is on this machine: a run of the same name
    that made other weights is another run.
    """
    folder = runs.folder() / model.run
    if not model.run or not (folder / runs.RECORD).is_file():
        return None
    try:
        if runs.read_run(folder / runs.RECORD).adapter_digest != model.digest:
            return None
        return read_json(folder / START)["recipe"]
    except (StorageError, LookupError, TypeError):
        return None


def curve_of(folder: Path) -> list[CurvePoint]:
    """Loss and learning rate over the steps of a run, thinned; none where the trainer's log is not there."""
    path = folder / "checkpoints" / "log.json"
    if not path.is_file():
        return []
    points: dict[int, dict[str, float]] = {}
    for entry in read_json(path):
        names = {"loss": "loss", "eval_loss": "dev_loss", "learning_rate": "learning_rate"}
        known = {names[key]: float(value) for key, value in entry.items() if key in names}
        if known and "step" in entry:
            points.setdefault(int(entry["step"]), {}).update(known)
    every = max(1, -(-len(points) // CURVE_POINTS))
    kept = [step for number, step in enumerate(sorted(points)) if number % every == 0 or "dev_loss" in points[step]]
    return [CurvePoint(step=step, **points[step]) for step in kept]


def parameters_of(weights: Path) -> float:
    """Numbers in an adapter's file; 0 where it is not there any more."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="numpy") as tensors:
            shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError):
        return 0.0
    total = 0
    for shape in shapes:
        size = 1
        for side in shape:
            size *= side
        total += size
    return float(total)
