"""Tasks of lm_eval by their names: which there are, which of them are refused, and their data sets from a local folder.

Refused is what would run code that a model wrote or that a hub holds. Knows nothing of models and answers.
"""

import contextlib
import copy
import io
import logging
import random
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from speciate.errors import InputError, MissingComponent
from speciate.recipe.problems import suggestion
from speciate.recipe.suite import HarnessSource

INSTALL = 'uv sync --extra harness, or pip install "speciate[harness]"'
EVALUATES_TEXT = ("noreval/ask_gec", "score/math")
"""Folders of tasks that hand a model's text to `sympy.parse_expr` or a shell, and do not say that they are unsafe."""
SEEDS = (0, 1234)
"""Of Python and NumPy, as lm_eval sets them: some tasks shuffle with them."""
FEWSHOT_SEED = 1234
"""Of the worked examples, as lm_eval sets it; set anew for each prompt-building, or the next would have others."""


@dataclass(frozen=True)
class Tasks:
    """The tasks of one source, with their data."""

    source: HarnessSource
    tasks: Mapping[str, Any]
    """lm_eval's task objects by their names; of a group each of its tasks."""
    limit: int | None
    """The most items of each, the first ones."""

    @property
    def counts(self) -> dict[str, int]:
        """Items of each task."""
        counts = {name: len(_documents(task)) for name, task in self.tasks.items()}
        return {name: min(count, self.limit or count) for name, count in counts.items()}

    @property
    def items(self) -> int:
        """Items of all tasks."""
        return sum(self.counts.values())

    @property
    def chance(self) -> dict[str, float]:
        """The share that a guesser gets right of each family, where the source says more than 0."""
        said = self.source.chance
        names = [self.source.prefix + name for name in self.tasks]
        shares = {name: said.get(name, 0.0) if isinstance(said, dict) else said for name in names}
        return {name: share for name, share in shares.items() if share}


def task_names() -> list[str]:
    """Names of all tasks, groups and tags. Raises MissingComponent."""
    return list(manager_of(None).all_tasks)


def check_tasks(source: HarnessSource, include: Path | None = None) -> None:
    """Raises InputError for names that lm_eval does not have and for tasks that are refused; no data is loaded.

    `include` is a folder with tasks of one's own, in place of lm_eval's.
    """
    manager = manager_of(include)
    problems: list[str] = []
    for name in source.tasks:
        if name not in manager.task_index:
            near = suggestion(name, manager.all_tasks) or "; `lm_eval ls tasks` lists what there is"
            problems.append(f"unknown task {name!r}{near}")
    if not problems:
        named = dict.fromkeys(leaf for name in source.tasks for leaf in leaves(manager.task_index, name))
        problems = [why for leaf in named if (why := _refused(leaf, manager.task_index[leaf]))]
    if problems:
        raise InputError("\n".join(problems))


def load_tasks(
    source: HarnessSource, *, datasets: Path | None = None, limit: int | None = None, include: Path | None = None
) -> Tasks:
    """The tasks with their data, from `datasets` (`<datasets>/cais/mmlu`) where they are there, else from the hub.

    Raises InputError where a task is unknown or refused or its data set is not to be had, MissingComponent where a
    package that it needs is not installed.
    """
    check_tasks(source, include)
    if source.sampling is not None and source.sampling.samples > 1:
        raise InputError("sampling.samples is for other sources: tasks of lm_eval say themselves how often they ask")
    with quiet(), seeded():
        found = manager_of(include, datasets).load(list(source.tasks))["tasks"]
    for name, task in found.items():
        if getattr(task, "MULTIMODAL", False):
            raise InputError(f"task {name!r} shows pictures or plays sounds, and the base reads text")
        if getattr(task, "UNSAFE_CODE", False):
            raise InputError(_unsafe(name))
        _prepare(task, source)
    limits = [count for count in (source.items, limit) if count]
    return Tasks(source, found, min(limits) if limits else None)


def _prepare(task: Any, source: HarnessSource) -> None:
    """Worked examples and generation as the source wants them, in the way of lm_eval's own command line."""
    own = task.get_config("num_fewshot")
    if source.fewshot is not None and own != 0:
        # A task that says 0 has its examples in its text.
        task.set_config(key="num_fewshot", value=source.fewshot)
    elif own is None:
        task.set_config(key="num_fewshot", value=0)
    if source.sampling is None or task.OUTPUT_TYPE != "generate_until":
        return
    drawn = source.sampling
    settings = dict(task.get_config("generation_kwargs") or {})
    for name in ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"):
        settings.pop(name, None)
    settings |= {"max_gen_toks": drawn.max_new_tokens, "temperature": drawn.temperature, "top_p": drawn.top_p}
    settings |= {"do_sample": drawn.temperature > 0} | ({"until": list(drawn.stop)} if drawn.stop else {})
    task.set_config(key="generation_kwargs", value=settings)


def manager_of(include: Path | None, datasets: Path | None = None) -> Any:
    """lm_eval's own way to its tasks, which reads data sets from a folder. Raises MissingComponent."""
    manager = copy.copy(_known(include))
    manager._factory = _factory(datasets)
    return manager


@cache
def _known(include: Path | None) -> Any:
    """What lm_eval knows of its tasks, or a folder of one's own; reading all of their files takes seconds."""
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise MissingComponent(f"tasks of lm-evaluation-harness need {error.name}: {INSTALL}") from error
    with quiet():
        return TaskManager(include_path=include, include_defaults=include is None)


def _factory(folder: Path | None) -> Any:
    """Makes tasks with the data sets that lie in a folder, and says which task it is that cannot be made."""
    from datasets.exceptions import DatasetsError
    from lm_eval.tasks._factory import TaskFactory

    def found(path: Any) -> str | None:
        """Where a data set lies, by its name on the hub."""
        place = folder / str(path) if folder and path else None
        return str(place) if place and place.is_dir() else None

    class Factory(TaskFactory):
        def _build_task(self, entry: Any, overrides: dict[str, Any] | None) -> Any:
            try:
                return super()._build_task(entry, overrides)
            except ImportError as error:
                raise MissingComponent(f"task {entry.name!r} needs {error.name or error}: {INSTALL}") from error
            except (DatasetsError, OSError, ValueError, LookupError, RuntimeError) as error:
                path = (entry.cfg or {}).get("dataset_path") or entry.name
                where = f"is not in {str(folder)!r} and cannot be had" if folder else "cannot be had"
                advice = "" if folder else "; name a folder with it in the suite's `datasets`"
                why = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise InputError(f"task {entry.name!r}: its data set {path!r} {where}: {why:.300}{advice}") from error

        def _load_full_config(self, entry: Any, overrides: dict[str, Any] | None = None) -> dict[str, Any]:
            config = super()._load_full_config(entry, overrides)
            if place := found(config.get("dataset_path")):
                config["dataset_path"] = place
            kind: Any = config.get("class")
            if place := found(getattr(kind, "DATASET_PATH", None)):
                config["class"] = type(kind.__name__, (kind,), {"DATASET_PATH": place})
            return config

    return Factory()


def leaves(index: Mapping[str, Any], name: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """The tasks that a name stands for."""
    entry = index.get(name)
    if entry is None or name in above:
        return
    cfg: dict[str, Any] = entry.cfg or {}
    if "group" in cfg and "class" not in cfg:
        listed = cfg.get("task")
        for one in listed if isinstance(listed, list) else [listed]:
            named = (one.get("task") or one.get("group")) if isinstance(one, dict) else one
            for each in named if isinstance(named, list) else [named]:
                if isinstance(each, str):
                    yield from leaves(index, each, (*above, name))
    elif entry.yaml_path is None:
        for each in sorted(entry.tags):
            yield from leaves(index, each, (*above, name))
    else:
        yield name


def _refused(name: str, entry: Any) -> str:
    """Why a task is not run; empty where it is."""
    from lm_eval.api.registry import metric_registry

    cfg: dict[str, Any] = entry.cfg or {}
    folder = entry.yaml_path.parent.as_posix()
    if cfg.get("unsafe_code") or any(folder.endswith(f"tasks/{part}") for part in EVALUATES_TEXT):
        return _unsafe(name)
    if cfg.get("process_results") is None:
        for metric in cfg.get("metric_list") or ():
            said: Any = metric.get("metric")
            own = isinstance(said, str) and (said in metric_registry or "/" in said)
            if metric.get("hf_evaluate") is True or not own:
                return f"task {name!r}: its metric {said!r} is code that a hub holds, which is never run"
    return ""


def _unsafe(name: str) -> str:
    return (
        f"task {name!r} runs what a model wrote, in this process; a source `dataset` with `metric: python` judges such "
        "answers in a sandbox"
    )


def _documents(task: Any) -> Sequence[Any]:
    found: Any = getattr(task, "task_docs", None)
    return found if found is not None else list(task.eval_docs)


@contextlib.contextmanager
def seeded() -> Generator[None]:
    """For the block the common generators of random numbers are as lm_eval sets them; after it, as they were."""
    kept = random.getstate(), np.random.get_state()
    random.seed(SEEDS[0])
    np.random.seed(SEEDS[1])
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """For the block lm_eval and its tasks print nothing, show no bars, log what is an error only, and compile each
    template once: they would for each item and each of its examples, which takes longer than a small model's answer.
    """
    import datasets
    from lm_eval import utils
    from lm_eval.api import task

    loggers = {logging.getLogger(name): logging.getLogger(name).level for name in ("lm_eval", "datasets")}
    bars, shown, compiling = datasets.are_progress_bars_disabled(), task.tqdm, vars(utils.env).get("from_string")
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        datasets.disable_progress_bars()
        task.tqdm = _no_bar
        vars(utils.env)["from_string"] = _compiled
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        task.tqdm = shown
        if compiling is None:
            vars(utils.env).pop("from_string", None)
        if not bars:
            datasets.enable_progress_bars()
        for logger, level in loggers.items():
            logger.setLevel(level)


def _no_bar(rows: Any, **_: Any) -> Any:
    return rows


@lru_cache(maxsize=1024)
def _compiled(template: str) -> Any:
    from jinja2 import Environment
    from lm_eval import utils

    return Environment.from_string(utils.env, template)
