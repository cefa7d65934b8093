"""Tasks of lm-evaluation-harness: scores as lm_eval itself gives them, and what is refused, remembered and cut."""

import importlib.util
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from populations import FLOAT32, TINY, broken, counted, population_of

from speciate.errors import InputError, MissingComponent
from speciate.evals import harness_tasks
from speciate.evals.harness import check_tasks, harness_rows, load_tasks, task_names
from speciate.evals.memory import Memory
from speciate.evals.runner import Settings
from speciate.evals.sources import questions
from speciate.models.base import load_model, load_tokenizer, locate
from speciate.models.population import BASE, Population
from speciate.recipe import load_suite
from speciate.recipe.suite import HarnessSource, SamplingOf
from speciate.records import EvalRow
from speciate.remembered import Remembered

ROOT = Path(__file__).parents[2]
HUB = ROOT / "tests" / "standins" / "hub"
SUITE = ROOT / "evals" / "suites" / "general-hub.yaml"
LONG = 4096
MEMBERS = (BASE, "ants")

DOCUMENTS: list[dict[str, Any]] = [
    {"question": "What is 2 + 3?", "options": ["5", "six or so", "1 0"], "right": 0, "answer": "5"},
    {"question": "Sort: 9 1 4", "options": ["9 4 1", "1 4 9", "4 1"], "right": 1, "answer": "1 4 9"},
    {"question": "Copy: a b", "options": ["b", "a", "a b"], "right": 2, "answer": "a b"},
    {"question": "Copy: a b", "options": ["b", "a", "a b"], "right": 2, "answer": "a b"},
]
TASKS: dict[str, dict[str, Any]] = {
    "ours_choices": {
        "output_type": "multiple_choice", "doc_to_text": "{{question}}", "doc_to_choice": "options",
        "doc_to_target": "right", "metric_list": ["acc", "acc_norm", "acc_mutual_info"],
    },
    "ours_letters": {
        "output_type": "multiple_choice", "doc_to_text": "{{question}}\nA. {{options[0]}}\nB. {{options[1]}}\nAnswer:",
        "doc_to_choice": ["A", "B"], "doc_to_target": "{{right % 2}}", "metric_list": ["acc", "brier_score"],
    },
    "ours_ending": {
        "output_type": "loglikelihood", "doc_to_text": "{{question}}", "doc_to_target": " {{answer}}",
        "metric_list": ["perplexity", "acc"],
    },
    "ours_writing": {
        "output_type": "generate_until", "doc_to_text": "{{question}}", "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["\n", " 1"], "max_gen_toks": 12}, "metric_list": ["exact_match"],
    },
    "ours_penalty": {
        "output_type": "generate_until", "doc_to_text": "{{question}}", "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 12, "repetition_penalty": 1.5},
        "metric_list": ["exact_match"],
    },
    "ours_drawn": {
        "output_type": "generate_until", "doc_to_text": "{{question}}", "doc_to_target": "{{answer}}", "repeats": 3,
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8, "do_sample": True, "temperature": 2.0},
        "metric_list": ["exact_match"],
    },
    "ours_text": {
        "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{question}} {{answer}}" * 9,
        "metric_list": ["word_perplexity", "bits_per_byte"],
    },
}  # fmt: skip
CODE = """
def likely(doc, results):
    return {"likely": 1 / (1 - results[0] / 100)}

def fails(doc, results):
    if doc["right"] == 1:
        raise KeyError("no such word")
    return {"acc": 1.0, "share": [True, False], "large": 7}
"""


@pytest.fixture(scope="module")
def include(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tasks of our own."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in DOCUMENTS))
    (folder / "code.py").write_text(CODE)
    common: dict[str, Any] = {
        "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
        "test_split": "test", "fewshot_split": "test",
    }  # fmt: skip
    for name, task in TASKS.items():
        means = {
            "brier_score": "brier_score",
            "word_perplexity": "weighted_perplexity",
            "bits_per_byte": "bits_per_byte",
        }
        metrics = [
            {"metric": one, "aggregation": means.get(one, "mean"), "higher_is_better": True}
            for one in task["metric_list"]
        ]
        (folder / f"{name}.yaml").write_text(json.dumps({"task": name, **common, **task, "metric_list": metrics}))
    for name, like, function in (("ours_likely", "ours_text", "likely"), ("ours_failing", "ours_letters", "fails")):
        task = {"task": name, **common, **TASKS[like]}
        task["metric_list"] = [{"metric": "likely" if function == "likely" else "acc"}]
        task["metric_list"][0] |= {"aggregation": "mean", "higher_is_better": True}
        text = "\n".join(f"{key}: {json.dumps(value)}" for key, value in task.items())
        (folder / f"{name}.yaml").write_text(f"{text}\nprocess_results: !function code.{function}\n")
    return folder


@pytest.fixture(scope="module")
def population() -> Population:
    return population_of(TINY, loud=False)


@pytest.fixture(scope="module")
def folders(population: Population, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """Where lm_eval finds each member's adapter."""
    folder = tmp_path_factory.mktemp("adapters")
    population.model.save_pretrained(str(folder), selected_adapters=["ants"])
    return {BASE: None, "ants": str(folder / "ants")}


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    kept = Remembered(tmp_path / "answers.sqlite")
    yield Memory({name: name for name in (BASE, "ants", "bees", "cats")}, kept)
    kept.close()


def source_of(*tasks: str, **said: Any) -> HarnessSource:
    return HarnessSource(source="harness", tasks=tasks, **said)


def settings(batch_size: int = 16, context: int = 256) -> Settings:
    return Settings(batch_size, context)


def nothing(_: Any) -> None:
    """In place of what would describe the machine, or fetch something."""


def by_lm_eval(
    base: Path, adapter: str | None, source: HarnessSource, include: Path | None = None, generation: Any = None
) -> list[dict[str, Any]]:
    """The samples of lm_eval's own run, each with its model."""
    from lm_eval import evaluator
    from lm_eval.models.huggingface import HFLM

    kind: Any = HFLM
    run: Any = evaluator.simple_evaluate
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setattr(evaluator, "add_env_info", nothing)
        model = kind(str(base), device="cpu", dtype="float32", batch_size=4, peft=adapter)
        manager = harness_tasks.manager_of(include, HUB)
        found = run(
            model, tasks=list(source.tasks), num_fewshot=source.fewshot, task_manager=manager, limit=source.items,
            bootstrap_iters=0, apply_chat_template=source.chat, gen_kwargs=generation,
        )["samples"]  # fmt: skip
    return [sample for task in found for sample in found[task]]


def agree(rows: list[EvalRow], samples: list[dict[str, Any]], metric: str) -> None:
    """Each row has the score and the text of lm_eval's sample."""
    name, _, kind = metric.partition(",")
    samples = [sample for sample in samples if not kind or sample["filter"] == kind]
    assert len(rows) == len(samples)
    for row, sample in zip(rows, samples, strict=True):
        value = sample[name]
        assert row.score == pytest.approx(float(value), abs=1e-5)
        assert row.prompt == sample["arguments"][0][0]
        said = sample["resps"][0][0]
        if isinstance(said, str):
            assert row.output == said
        else:
            told = [float(nats) for nats in row.detail.rpartition("log-likelihoods ")[2].partition(";")[0].split(", ")]
            theirs = [one[0][0] if isinstance(one[0], tuple) else one[0] for one in sample["resps"]]
            assert told == pytest.approx(theirs, abs=2e-3)


@pytest.mark.parametrize(
    ("tasks", "metric", "chat"),
    [
        (("ours_choices",), "acc_norm", False),
        (("ours_choices", "ours_letters"), "acc", True),
        (("ours_choices",), "acc_mutual_info", False),
        (("ours_ending",), "acc", False),
        (("ours_writing",), "exact_match", False),
        (("ours_writing",), "exact_match", True),
        (("ours_penalty",), "exact_match", True),
    ],
)
def test_scores_are_lm_evals_to_the_item(
    population: Population, folders: dict[str, str | None], include: Path, memory: Memory,
    capsys: pytest.CaptureFixture[str], tasks: tuple[str, ...], metric: str, chat: bool,
) -> None:  # fmt: skip
    source = source_of(*tasks, metric=metric, chat=chat, fewshot=1)
    told: list[int] = []
    rows = harness_rows(
        population, MEMBERS, load_tasks(source, include=include), memory, settings(), on_items=told.append
    )
    assert capsys.readouterr().out == ""
    assert sum(told) == 2 * len(MEMBERS) * len(tasks) * len(DOCUMENTS)
    for member in MEMBERS:
        agree(rows[member], by_lm_eval(TINY, folders[member], source, include), metric)
        assert len({row.item for row in rows[member]}) == len(rows[member]), "one row is there twice"
        assert {row.family for row in rows[member]} == set(tasks)
    assert [row.item for row in rows[BASE]] == [row.item for row in rows["ants"]]


@pytest.fixture(scope="module")
def long_base(random_qwen3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with room for many examples, and what it says made loud."""
    import torch

    folder = tmp_path_factory.mktemp("long")
    source = locate("a-base", random_qwen3)
    model: Any = load_model(source, FLOAT32)
    model.config.max_position_embeddings = LONG
    with torch.no_grad():
        for parameter in model.get_submodule("model.layers").parameters():
            parameter.mul_(10 if parameter.ndim == 2 else 1)
    model.save_pretrained(folder)
    load_tokenizer(source).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("tasks", "fewshot", "metric", "chat"),
    [
        (("mmlu_anatomy", "mmlu_virology"), 5, "acc", True),
        (("hellaswag",), 10, "acc_norm", False),
        (("arc_challenge",), 25, "acc_norm", False),
        (("winogrande",), 5, "acc", False),
        (("truthfulqa_mc2",), 0, "acc", False),
        (("gsm8k",), 5, "exact_match,flexible-extract", False),
    ],
)
def test_standard_tasks_have_lm_evals_scores(
    long_base: Path, memory: Memory, tasks: tuple[str, ...], fewshot: int, metric: str, chat: bool
) -> None:
    source = locate("a-base", long_base)
    population = Population(load_model(source, FLOAT32), load_tokenizer(source))
    asked = source_of(
        *tasks, fewshot=fewshot, metric=metric, chat=chat, items=3, sampling=SamplingOf(max_new_tokens=16)
    )
    rows = harness_rows(population, [BASE], asked, memory, settings(context=LONG), datasets=HUB)[BASE]
    drawn = {"max_gen_toks": 16, "temperature": 0.0, "do_sample": False}
    agree(rows, by_lm_eval(long_base, None, asked, None, drawn), metric)


def test_what_was_said_is_not_asked_again(
    population: Population, include: Path, memory: Memory, tmp_path: Path
) -> None:
    source = source_of("ours_choices", "ours_writing", "ours_penalty", "ours_drawn", fewshot=1)
    tasks = load_tasks(source, include=include)
    answered = 0

    def stop(count: int) -> None:
        nonlocal answered
        answered += count
        if answered > 10:
            raise KeyboardInterrupt

    with counted(population) as first, pytest.raises(KeyboardInterrupt):
        harness_rows(population, population.members, tasks, memory, settings(4), on_items=stop)
    with counted(population) as rest:
        rows = harness_rows(population, population.members, tasks, memory, settings(4))
    with counted(population) as none:
        again = harness_rows(population, population.members, tasks, memory, settings(4))
    assert first
    assert rest
    assert none == []
    assert again == rows
    fresh = Memory(memory.identities, Remembered(tmp_path / "fresh.sqlite"))
    with counted(population) as whole:
        assert harness_rows(population, population.members, tasks, fresh, settings(4)) == rows
    assert len(rest) < len(whole)
    fresh.kept.close()


def test_drawn_answers_do_not_depend_on_the_batch(
    population: Population, include: Path, tmp_path: Path, memory: Memory
) -> None:
    tasks = load_tasks(source_of("ours_drawn"), include=include)
    kept = Remembered(tmp_path / "other.sqlite")
    rows = harness_rows(population, population.members, tasks, memory, settings(64))
    assert (
        harness_rows(population, ["ants"], tasks, Memory(memory.identities, kept), settings(1))["ants"] == rows["ants"]
    )
    kept.close()
    assert {row.tokens for row in rows[BASE]} != {8}, "three answers each"


def test_an_adapter_that_is_broken_has_rows_that_say_so(population: Population, include: Path, memory: Memory) -> None:
    tasks = load_tasks(source_of("ours_choices", "ours_writing", "ours_penalty", "ours_likely"), include=include)
    whole = harness_rows(population, population.members, tasks, memory, settings())
    with broken(population, "bees"):
        other = Memory({name: f"{name} again" for name in population.members}, memory.kept)
        found = harness_rows(population, population.members, tasks, other, settings())
        assert found["bees"] == harness_rows(population, ["bees"], tasks, other, settings())["bees"]
    assert {(row.score, row.reason) for row in found["bees"]} == {(0.0, "nan")}
    assert found["cats"] == whole["cats"]
    assert found[BASE] == whole[BASE]


def test_reasons(population: Population, include: Path, memory: Memory) -> None:
    rows = harness_rows(population, [BASE], load_tasks(source_of("ours_failing"), include=include), memory, settings())
    assert [row.reason for row in rows[BASE]] == ["ok", "crash", "ok", "ok"]
    assert rows[BASE][1].detail.startswith("KeyError: 'no such word'")
    assert rows[BASE][0].detail.startswith("acc 1, share 0.5, large 7; log-likelihoods -")
    half = load_tasks(source_of("ours_failing", metric="share", role="niche", prefix="p-"), include=include)
    rows = harness_rows(population, [BASE], half, memory, settings())[BASE]
    assert [(row.score, row.reason) for row in rows][:2] == [(0.5, "partial"), (0.0, "crash")]
    assert {(row.role, row.family) for row in rows} == {("niche", "p-ours_failing")}
    few = SamplingOf(max_new_tokens=2)
    short = load_tasks(source_of("ours_writing", sampling=few, chat=True), include=include)
    rows = harness_rows(population, [BASE], short, memory, settings())[BASE]
    assert [(row.reason, row.tokens) for row in rows][1:] == [("unfinished", 2)] * 3
    cut = SamplingOf(max_new_tokens=9, stop=(" ", "5"))
    empty = load_tasks(source_of("ours_writing", sampling=cut), include=include)
    assert {row.reason for row in harness_rows(population, [BASE], empty, memory, settings())[BASE]} >= {"empty"}


def test_whole_texts_are_measured_in_windows(
    population: Population, folders: dict[str, str | None], include: Path, memory: Memory
) -> None:
    source = source_of("ours_likely")
    tasks = load_tasks(source, include=include)
    for member, rows in harness_rows(population, MEMBERS, tasks, memory, settings()).items():
        agree(rows, by_lm_eval(TINY, folders[member], source, include), "likely")
    windows = harness_rows(population, [BASE], tasks, memory, settings(context=40))[BASE]
    assert all(0 < row.score < 1 for row in windows)
    with pytest.raises(InputError, match="'ours_text' measures word_perplexity, bits_per_byte, and none of them"):
        harness_rows(population, [BASE], load_tasks(source_of("ours_text"), include=include), memory, settings())


def test_what_does_not_fit_is_cut_or_told(population: Population, include: Path, memory: Memory) -> None:
    choices = load_tasks(source_of("ours_choices", fewshot=2, metric="acc"), include=include)
    rows = harness_rows(population, [BASE], choices, memory, settings(context=20))[BASE]
    assert all("tokens of the prompt did not fit" in row.detail for row in rows)
    [first, *_] = harness_rows(population, [BASE], choices, memory, settings(context=3))[BASE]
    assert (first.reason, first.score) == ("too-long", 0.0)
    writing = load_tasks(source_of("ours_writing"), include=include)
    with pytest.raises(InputError, match=r"'ours_writing' lets a model write 12 tokens.*context is 12.*max_new_tokens"):
        harness_rows(population, [BASE], writing, memory, settings(context=12))


def test_items_and_limit_take_the_first(population: Population, include: Path, memory: Memory) -> None:
    whole = harness_rows(population, [BASE], load_tasks(source_of("ours_letters"), include=include), memory, settings())
    for items, limit, count in ((2, None, 2), (3, 1, 1), (None, 3, 3), (None, 99, 4)):
        tasks = load_tasks(source_of("ours_letters", items=items, chance=0.5), include=include, limit=limit)
        assert (tasks.items, tasks.counts) == (count, {"ours_letters": count})
        assert tasks.chance == {"ours_letters": 0.5}
        assert harness_rows(population, [BASE], tasks, memory, settings())[BASE] == whole[BASE][:count]


def test_unknown_and_refused_tasks() -> None:
    assert {"mmlu", "mmlu_anatomy", "ai2_arc"} < set(task_names())
    check_tasks(source_of("mmlu", "ai2_arc", "gsm8k"))
    for names, problem in {
        ("hellaswagg", "mmlu"): "unknown task 'hellaswagg'; did you mean 'hellaswag'?",
        ("+",): "unknown task '\\+'; `lm_eval ls tasks`",
        ("humaneval",): "'humaneval' runs what a model wrote.*`metric: python`",
        ("score_robustness_math",): "'prompt_robustness_math_algebra' runs what a model wrote",
        ("afrimmlu_direct_eng_prompt_1",): "'afrimmlu_direct_eng_prompt_1': its metric '.*' is code",
    }.items():
        with pytest.raises(InputError, match=problem):
            check_tasks(source_of(*names))
        with pytest.raises(InputError, match=problem):
            load_tasks(source_of(*names))
    leaves = harness_tasks.leaves(harness_tasks.manager_of(None).task_index, "mmlu")
    assert len(set(leaves)) == 57


def test_a_metric_that_is_not_there(population: Population, include: Path, memory: Memory) -> None:
    for task, metric, problem in (
        ("ours_letters", "acc_nrm", "no metric 'acc_nrm' that is a number.*did you mean 'acc'"),
        ("ours_ending", "perplexity", "no metric 'perplexity'.*it has acc"),
        ("ours_letters", "brier_score", "no metric 'brier_score' that.*it has acc"),
        ("ours_failing", "size,none", "no metric 'size,none' that.*it has acc, share"),
        ("ours_writing", "exact", "no metric 'exact'.*did you mean 'exact_match'"),
    ):
        with pytest.raises(InputError, match=f"task '{task}' has {problem}"):
            harness_rows(
                population, [BASE], load_tasks(source_of(task, metric=metric), include=include), memory, settings()
            )
    with pytest.raises(InputError, match=r"sampling\.samples is for other sources"):
        load_tasks(source_of("ours_writing", sampling=SamplingOf(samples=2, temperature=1.0)), include=include)


def test_a_data_set_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"task 'mmlu_anatomy': its data set 'cais/mmlu' is not in .* cannot be had"):
        load_tasks(source_of("mmlu_anatomy"), datasets=tmp_path)
    with pytest.raises(InputError, match=r"'winogrande': its data set 'allenai/winogrande' cannot be had.*`datasets`"):
        load_tasks(source_of("winogrande"))
    (tmp_path / "allenai" / "winogrande").mkdir(parents=True)
    with pytest.raises(InputError, match="'winogrande': its data set 'allenai/winogrande' is not in"):
        load_tasks(source_of("winogrande"), datasets=tmp_path)


def test_without_lm_eval_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)
    harness_tasks._known.cache_clear()  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(MissingComponent, match=r"need lm_eval\.tasks: uv sync --extra harness, or pip install"):
        task_names()


def test_the_hub_suite_runs_on_local_data_sets(long_base: Path, memory: Memory, tmp_path: Path) -> None:
    import nltk

    text = (
        SUITE.read_text(encoding="utf-8")
        .replace("[mmlu]", "[mmlu_anatomy]")
        .replace("datasets: null", f"datasets: {HUB}")
    )
    (tmp_path / "suite.yaml").write_text(text)
    asked = questions(load_suite(tmp_path / "suite.yaml"))
    assert [len(part.items) for part in asked.parts] == [3]
    [part] = asked.parts
    assert part.judge is not None
    with part.judge() as judge:
        assert [one.score for one in judge.verify(part.items, [item.reference for item in part.items])] == [1.0] * 3
    source = locate("a-base", long_base)
    population = Population(load_model(source, FLOAT32), load_tokenizer(source))
    families: list[str] = []
    for one in asked.harness:
        if "ifeval" in one.tasks and not all(map(importlib.util.find_spec, ("langdetect", "immutabledict"))):
            with pytest.raises(MissingComponent, match=r"task 'ifeval' needs .*: uv sync --extra harness"):
                load_tasks(one, datasets=asked.datasets)
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nltk, "download", nothing)
            tasks = load_tasks(one, datasets=asked.datasets, limit=2)
        if one.tasks in (("ifeval",), ("gsm8k",)):
            shorter = one.model_copy(update={"sampling": SamplingOf(max_new_tokens=20)})
            tasks = load_tasks(shorter, datasets=asked.datasets, limit=2)
        rows = harness_rows(population, [BASE], tasks, memory, settings(context=LONG))[BASE]
        assert len(rows) == 2
        assert all(row.reason in ("ok", "wrong", "partial", "unfinished", "empty") for row in rows)
        families += dict.fromkeys(row.family for row in rows)
    assert set(families) | {"ifeval"} == {
        "mmlu_anatomy", "hellaswag", "arc_challenge", "winogrande", "truthfulqa_mc2", "gsm8k", "ifeval"
    }  # fmt: skip
