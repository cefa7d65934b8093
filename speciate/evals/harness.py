"""Tasks of lm-evaluation-harness, answered by a population: the harness's prompts and metrics, a row for each item.

lm_eval builds the requests, once for all members, and judges the answers; what is no proper answer is a row with a
reason. Scores are lm_eval's, to the item. Knows nothing of how tokens meet the model.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from speciate.errors import InputError
from speciate.evals.harness_tasks import FEWSHOT_SEED, Tasks, check_tasks, load_tasks, quiet, seeded, task_names
from speciate.evals.memory import Memory
from speciate.evals.runner import Settings
from speciate.models.population import Population
from speciate.recipe.problems import suggestion
from speciate.recipe.suite import HarnessSource
from speciate.records import EvalRow
from speciate.storage import digest_json

__all__ = ["Tasks", "check_tasks", "harness_rows", "load_tasks", "task_names"]

NO_SHARES = {"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte"}
"""Metrics that are no number from 0 to 1, which is known before anybody answers."""
LENGTHS: Mapping[str, Callable[[str], int]] = {"acc_norm": len, "acc_bytes": lambda text: len(text.encode())}
"""What the metrics divide a choice's log-likelihood by."""


@dataclass(slots=True)
class Document:
    """One item of a task with the answers of all members, and what lm_eval says of each."""

    instances: list[Any]
    """lm_eval's requests."""
    answers: list[Any] = field(default_factory=list[Any])
    """To the requests in order, to one that repeats several."""
    digest: str = ""
    metrics: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """By metric and filter, for each member; empty where its answers could not be judged."""
    failures: list[str] = field(default_factory=list[str])
    """Why they could not be, for each member."""


def harness_rows(
    population: Population,
    members: Sequence[str],
    source: HarnessSource | Tasks,
    memory: Memory,
    settings: Settings,
    *,
    datasets: Path | None = None,
    limit: int | None = None,
    on_items: Callable[[int], None] = lambda _: None,
) -> dict[str, list[EvalRow]]:
    """The rows of each member, task by task, in the order of the items; a source that is not loaded yet is loaded from
    `datasets`, at most `limit` items of each task.

    An answer counts for half of an item's progress, its verdict for the other half. Raises InputError where a task has
    not the metric that the source names, or lets a model write more than fits into the context, and what `load_tasks`
    raises.
    """
    tasks = source if isinstance(source, Tasks) else load_tasks(source, datasets=datasets, limit=limit)
    from speciate.evals.harness_model import Panel

    source = tasks.source
    for name, task in tasks.tasks.items():
        _check_metric(name, task, source.metric)
    with quiet():
        panel = Panel(population, members, memory, settings, source.sampling.seed if source.sampling else 0)
    rows: dict[str, list[EvalRow]] = {member: [] for member in members}
    for name, task in tasks.tasks.items():
        documents = _answered(name, task, panel, tasks, on_items)
        for number in range(len(members)):
            _judge(task, documents, number)
        metric = _chosen_metric(name, documents, source.metric)
        for number, member in enumerate(members):
            rows[member] += [_row(source, name, task, document, number, metric) for document in documents]
            on_items(len(documents))
    return rows


def _check_metric(name: str, task: Any, wanted: str | None) -> None:
    """Raises InputError where it is plain from the start that the task has no such metric, or none from 0 to 1."""
    known = [str(metric) for metric in task.aggregation()]
    usable = [metric for metric in known if metric not in NO_SHARES]
    if not usable:
        raise InputError(
            f"task {name!r} measures {', '.join(known)}, and none of them is a number from 0 to 1 for each item; for "
            "the loss on texts a suite has `text`"
        )
    plain = wanted.partition(",")[0] if wanted else usable[0]
    fixed = task.get_config("process_results") is None and task.OUTPUT_TYPE != "generate_until"
    if plain in NO_SHARES or (fixed and plain not in usable):
        raise InputError(_no_metric(name, wanted, usable))


def _no_metric(name: str, wanted: str | None, usable: Sequence[str]) -> str:
    named = f"metric {wanted!r}" if wanted else "metric"
    known = suggestion(wanted or "", usable) or f"; it has {', '.join(usable) or 'none at all'}"
    return f"task {name!r} has no {named} that is a number from 0 to 1 for each item{known}"


def _answered(name: str, task: Any, panel: Any, tasks: Tasks, on_items: Callable[[int], None]) -> list[Document]:
    """The items of a task with the answers of all members."""
    chat = tasks.source.chat
    task.set_fewshot_seed(seed=FEWSHOT_SEED)
    with quiet(), seeded():
        task.build_all_requests(
            limit=tasks.limit,
            apply_chat_template=chat,
            fewshot_as_multiturn=True,
            chat_template=panel.apply_chat_template if chat else None,
        )
    documents: dict[int, Document] = {}
    asked: dict[str, list[Any]] = {}
    for instance in task.instances:
        documents.setdefault(instance.doc_id, Document([])).instances.append(instance)
        asked.setdefault(instance.request_type, []).extend([instance] * (instance.repeats or 1))
    panel.told = _shares(sum(map(len, asked.values())), len(documents), on_items)
    heard: dict[int, list[Any]] = {}
    for kind, requests in asked.items():
        for request, answer in zip(requests, getattr(panel, kind)(requests, disable_tqdm=True), strict=True):
            heard.setdefault(id(request), []).append(answer)
    seen: Counter[str] = Counter()
    for document in documents.values():
        document.instances.sort(key=lambda instance: instance.idx)
        document.answers = [answer for instance in document.instances for answer in heard[id(instance)]]
        digest = _digest(name, task, document.instances[0])
        # Some data sets have a row twice.
        document.digest = digest_json([digest, seen[digest]]) if seen[digest] else digest
        seen[digest] += 1
    return list(documents.values())


def _shares(requests: int, items: int, on_items: Callable[[int], None]) -> Callable[[int], None]:
    """Turns answers to requests, of which an item may have several, into items."""
    answered = 0

    def tell(count: int) -> None:
        nonlocal answered
        before, answered = answered, answered + count
        on_items(items * answered // requests - items * before // requests)

    return tell


def _digest(name: str, task: Any, request: Any) -> str:
    """Names an item by the task, and by the row, the prompt and the right answer as lm_eval's log names them."""
    from lm_eval.utils import handle_non_serializable, hash_string

    row = json.dumps(request.doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
    return digest_json([name, *map(hash_string, (row, str(request.args[0]), str(task.doc_to_target(request.doc))))])


def _judge(task: Any, documents: Sequence[Document], number: int) -> None:
    """lm_eval's verdict on one member's answers."""
    for document in documents:
        answers = iter(document.answers)
        for instance in document.instances:
            instance.resps = [next(answers).response(number) for _ in range(instance.repeats or 1)]
            instance.filtered_resps = {}
    with quiet(), seeded(), np.errstate(all="ignore"):
        task.apply_filters()
        for document in documents:
            ends = {answer.ends[number] for answer in document.answers}
            failure = next((end for end in ("nan", "too-long") if end in ends), "")
            metrics: dict[str, Any] = {}
            if not failure:
                try:
                    metrics = _metrics(task, document.instances)
                except Exception as error:  # a task's own code, which may raise anything
                    failure = f"crash {type(error).__name__}: {error}"
            document.metrics.append(metrics)
            document.failures.append(failure)


def _metrics(task: Any, instances: Sequence[Any]) -> dict[str, Any]:
    """What lm_eval measures of one item: `acc`, or `exact_match,strict-match` where the task has filters."""
    found: dict[str, Any] = {}
    for name in instances[0].filtered_resps:
        responses = [instance.filtered_resps[name] for instance in instances]
        for metric, value in task.process_results(dict(instances[0].doc), responses).items():
            found[metric if name == "none" else f"{metric},{name}"] = value
    return found


def _chosen_metric(name: str, documents: Sequence[Document], wanted: str | None) -> str | None:
    """The metric that is the score; None where no answer could be judged. Raises InputError."""
    judged = [metrics for document in documents for metrics in document.metrics if metrics]
    known = list(dict.fromkeys(metric for metrics in judged for metric in metrics))
    usable = [metric for metric in known if all(_is_share(metrics.get(metric)) for metrics in judged)]
    matching = [metric for metric in usable if wanted is None or wanted in (metric, metric.partition(",")[0])]
    if matching or not judged:
        return matching[0] if matching else None
    raise InputError(_no_metric(name, wanted, usable))


def _is_share(value: Any) -> bool:
    number = _number(value)
    return number is not None and (math.isnan(number) or 0 <= number <= 1)


def _number(value: Any) -> float | None:
    """A metric's value for one item: a number, a truth, or several of them, of which it is the mean."""
    if isinstance(value, list) and value:
        numbers = [_number(one) for one in value]
        known = [number for number in numbers if number is not None]
        return sum(known) / len(known) if len(known) == len(numbers) else None
    if not isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating):
        return None
    number = float(value)
    # A share of probabilities may be over 1 by its last bits.
    return 1.0 if 1 < number < 1 + 1e-6 else number


def _row(source: HarnessSource, name: str, task: Any, document: Document, number: int, metric: str | None) -> EvalRow:
    """The row of one member's answers to an item."""
    first, answers = document.instances[0], document.answers
    output, tokens = _output(task, document, number, metric)
    metrics, failure = document.metrics[number], document.failures[number]
    worth = _number(metrics.get(metric)) if metric else None
    score = worth if worth is not None and math.isfinite(worth) else 0.0
    ends = {answer.ends[number] for answer in answers}
    if failure:
        reason = failure.partition(" ")[0]
    elif worth is None or not math.isfinite(worth):
        reason = "nan"
    elif "unfinished" in ends:
        reason = "unfinished"
    elif first.request_type == "generate_until" and not output.strip() and score < 1:
        reason = "empty"
    else:
        reason = "partial" if 0 < score < 1 else "ok" if score else "wrong"
    return EvalRow(
        item=document.digest,
        family=source.prefix + name,
        role=source.role,
        prompt_digest=digest_json(list(answers[0].given)),
        prompt=str(first.args[0]),
        output=output,
        score=score,
        reason=reason,
        detail=_detail(document, number),
        tokens=tokens,
        ms=0.0,
    )


def _output(task: Any, document: Document, number: int, metric: str | None) -> tuple[str, int]:
    """What the member says, in text and in tokens: of choices the one that it takes, by the measure of the metric."""
    first, answers = document.instances[0], document.answers
    lengths = [answer.lengths[number] for answer in answers]
    if first.request_type == "generate_until":
        return answers[0].texts[number], sum(lengths)
    if len(answers) == 1:
        certain = first.request_type == "loglikelihood" and answers[0].greedy[number]
        return (str(first.args[-1]) if certain else ""), lengths[0]
    nats = [float(answer.nats[number]) for answer in answers]
    options = [str(option) for option in task.doc_to_choice(first.doc)] if task.get_config("doc_to_choice") else []
    if 0 < len(options) < len(nats) and len(nats) == 2 * len(options):
        # The second half is without the question, for acc_mutual_info.
        apart = nats[len(options) :] if metric == "acc_mutual_info" else [0.0] * len(options)
        nats = [one - other for one, other in zip(nats, apart, strict=False)]
    elif len(options) != len(nats):
        options = [str(instance.args[-1]) for instance in document.instances]
    length = LENGTHS.get(metric or "", lambda _: 1)
    best = max(range(len(nats)), key=lambda place: nats[place] / max(1, length(options[place])))
    return options[best], lengths[best]


def _detail(document: Document, number: int) -> str:
    """All that was measured, in words."""
    failure = document.failures[number]
    parts = [failure.partition(" ")[2][:300]] if failure.startswith("crash") else []
    values = {metric: _number(value) for metric, value in document.metrics[number].items()}
    parts += [", ".join(f"{metric} {value:.4g}" for metric, value in values.items() if value is not None)]
    if document.instances[0].request_type != "generate_until":
        nats = ", ".join(f"{float(answer.nats[number]):.3f}" for answer in document.answers)
        parts.append(f"log-likelihoods {nats}")
    if cut := max(answer.cut for answer in document.answers):
        parts.append(f"{cut} tokens of the prompt did not fit")
    return "; ".join(filter(None, parts))
