"""`speciate eval --dry-run`: what would be measured, without a weight loaded or a file written; or all that is wrong
with the models and the suite.
"""

import functools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

from speciate.errors import InputError, RecipeError, StorageError
from speciate.evals.sources import Questions, questions
from speciate.models.base import BaseSource, Compute, find_compute
from speciate.models.population import BASE
from speciate.pipeline.evaluation import (
    Wanted,
    decontaminated,
    find_suite,
    labelled,
    tasks_of,
    unseen,
)
from speciate.pipeline.machine import quiet_libraries
from speciate.pipeline.references import Meant, base_of, meant, unchecked
from speciate.pipeline.remembering import remembered
from speciate.pipeline.setting import fitting
from speciate.pipeline.suites import problems_of
from speciate.progress import Progress
from speciate.recipe import LoadedSuite
from speciate.records import ROLES, Contamination
from speciate.records.outline import EvalPlan, PlannedFamily, PlannedModel

Given = TypeVar("Given")


def plan_evaluation(wanted: Wanted, progress: Progress) -> EvalPlan:
    """What `evaluate` would do. Raises RecipeError with all that is wrong, where anything is."""
    quiet_libraries()
    suite, source, compute, labels = found(wanted)
    with progress.phase("reading the suite"):
        asked = asked_by(suite, wanted, source)
        asked, contamination = decontaminated(asked, labels, wanted.train_rows)
        tasks = tasks_of(asked)
    with progress.phase("looking for remembered answers"):
        digests = {label: adapter.source.digest for label, adapter in labels.items()}
        known = remembered(asked, source, compute, wanted.quantization, digests)
    families = planned(asked)
    for one in tasks:
        families += [
            PlannedFamily(family=one.source.prefix + name, role=one.source.role, items=count)
            for name, count in one.counts.items()
        ]
    items = Counter({role: sum(one.items for one in families if one.role == role) for role in ROLES})
    notes = [*unchecked(labels.values(), source), *unseen(asked, labels)]
    return EvalPlan(
        suite=asked.suite.suite,
        suite_version=asked.suite.version,
        suite_digest=asked.digest,
        suite_path=str(suite.path),
        base={"name": source.name, "revision": source.revision, "digest": source.digest},
        models=models(source, labels, known, contamination),
        families=families,
        items={role: count for role, count in items.items() if count},
        texts=len(asked.texts),
        left_out=dict(asked.left_out),
        answers=(1 + len(labels)) * sum(family.items * family.samples for family in families),
        remembered=sum(known.values()),
        device=compute.device,
        precision=compute.weights if wanted.quantization == "none" else wanted.quantization,
        notes=notes,
    )


def found(wanted: Wanted) -> tuple[LoadedSuite, BaseSource, Compute, dict[str, Meant]]:
    """Suite, base, device and adapters. Raises RecipeError with all that is wrong with any of them."""
    problems: list[str] = []

    def tried(find: Callable[[], Given]) -> Given | None:
        try:
            return find()
        except RecipeError as error:
            problems.extend(error.problems)
        except (InputError, StorageError) as error:
            problems.append(str(error))
        return None

    suite = tried(lambda: find_suite(wanted.suite))
    compute = tried(lambda: find_compute(wanted.dtype))
    adapters: list[Meant] = []
    bases: list[str] = []
    for reference in wanted.references:
        if one := tried(functools.partial(meant, [reference])):
            adapters += one[0]
            bases += one[1]
    labels = tried(lambda: labelled(adapters))
    named = len(adapters) + len(bases) == len(wanted.references)
    source = tried(lambda: base_of(adapters, bases, wanted.base)) if named or wanted.base else None
    if suite is None or compute is None or labels is None or source is None:
        raise RecipeError([*problems, *(problems_of(suite) if suite else [])])
    if problems:
        raise RecipeError([*problems, *problems_of(suite)])
    return suite, source, compute, labels


def asked_by(suite: LoadedSuite, wanted: Wanted, source: BaseSource) -> Questions:
    """What the suite asks of this base. Raises RecipeError with all that is wrong with the suite."""
    try:
        return questions(suite, limit=wanted.limit, fits=fitting(source))
    except InputError as error:
        raise RecipeError(problems_of(suite) or [str(error)]) from error


def planned(asked: Questions) -> list[PlannedFamily]:
    """The families of a suite with their items, those of the harness aside."""
    return [
        PlannedFamily(family=family, role=part.role, items=count, samples=part.sampling.samples if part.judge else 1)
        for part in asked.parts
        for family, count in Counter(item.family for item in part.items).items()
    ]


def models(
    source: BaseSource,
    adapters: Mapping[str, Meant],
    known: Mapping[str, int],
    contamination: Mapping[str, Contamination],
) -> list[PlannedModel]:
    """The base and its adapters."""
    base = PlannedModel(model=BASE, reference=source.name, digest=source.digest, remembered=known[BASE])
    return [base] + [
        PlannedModel(
            model=label,
            reference=adapter.reference,
            digest=adapter.source.digest,
            remembered=known[label],
            contamination=contamination.get(label),
        )
        for label, adapter in adapters.items()
    ]
