"""Comparisons of runs made by hand: arms, seeds, fronts, contrasts, flips, recipe differences, refusals."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_records import run_record

from speciate.errors import Incomparable, InputError, StorageError
from speciate.evals.rows import file_digests, read_rows, table_of, write_drift, write_rows, write_texts
from speciate.pipeline.comparison import compare
from speciate.pipeline.flips import MOST_FLIPS
from speciate.records import EvalRow, ItemDrift, Role, TextLoss
from speciate.reports.words import improper
from speciate.storage import read_json, write_json, write_jsonl

ITEMS = 60


def rows(right: list[bool], role: Role, items: list[str], reason: str = "wrong") -> list[EvalRow]:
    return [
        EvalRow(
            item=item,
            family=f"{role}-{place % 3}",
            role=role,
            prompt_digest="sha256:0",
            prompt=f"prompt of {item}",
            output="yes" if good else "no",
            score=float(good),
            reason="ok" if good else reason,
            detail="" if good else "a detail",
            tokens=2,
            ms=1.0,
        )
        for place, (item, good) in enumerate(zip(items, right, strict=True))
    ]


def made(home: Path, name: str, *, niche: float, general: float, seed: int = 0, rate: float = 0.1, **more: Any) -> str:
    """A run on disk whose adapter is right on these shares of the items, and its base on 10% and 90%."""
    folder = home / "runs" / name
    items = more.get("items", ITEMS)
    names = {role: [f"{role}-{place}" for place in range(items)] for role in ("niche", "general")}
    base_random, random = np.random.default_rng(1), np.random.default_rng(100 + seed)
    shares = {"base": {"niche": 0.1, "general": 0.9}, "adapter": {"niche": niche, "general": general}}
    for model, source in (("base", base_random), ("adapter", random)):
        its = [
            row
            for role in ("niche", "general")
            for row in rows(
                [bool(value < shares[model][role]) for value in source.random(items)],
                role,
                names[role],
                more.get("reason" if model == "adapter" else "base_reason", "wrong"),
            )
        ]
        write_rows(folder / "evals", model, table_of(its))
        nats = 10.0 if model == "base" else 11.0
        write_texts(folder / "evals", model, [TextLoss(text=f"t{n}", nats=nats, tokens=5, bytes=20) for n in range(3)])
        drift = [] if model == "base" else [
            ItemDrift(item=f"niche-{n}", role="niche", forward=0.1, reverse=0.1, tokens=4) for n in range(5)
        ]  # fmt: skip
        write_drift(folder / "evals", model, drift)
    recipe = {"species": "mine", "seed": seed, "train": {"learning_rate": rate, "lora": {"r": 8}}}
    recipe |= {"evals": {"suite": "mini"}} | more.get("recipe", {})
    base = {"name": "b", "revision": None, "digest": more.get("base", "sha256:1")}
    start = {"speciate": "0", "schema": "run-start/1", "species": "mine", "created": "", "versions": {}}
    write_json(folder / "start.json", start | {"recipe": recipe, "base": base})
    log = [{"step": step, "loss": 1 / step, "learning_rate": 0.1} for step in range(1, 500)] + [
        {"step": 50, "eval_loss": 2.0}
    ]
    write_json(folder / "checkpoints" / "log.json", log)
    content = {"run": name, "run_dir": str(folder), "seed": seed, "species": "mine"}
    content |= {"adapter_digest": f"sha256:{name}", "suite_digest": more.get("suite", "sha256:suite")}
    content |= {"files": file_digests(folder / "evals") if more.get("bound") else {}}
    write_json(folder / "run.json", run_record().document() | content)
    return str(folder)


def test_rows_that_are_not_those_of_the_record_are_refused(home: Path) -> None:
    run, other = (made(home, name, niche=0.8, general=0.9, seed=seed, bound=True) for seed, name in enumerate("ab"))
    assert compare([run, other])
    shutil.copy(Path(run) / "evals" / "adapter.parquet", Path(other) / "evals" / "adapter.parquet")
    assert read_rows(Path(other) / "evals", "adapter"), "rows that are sound by themselves"
    with pytest.raises(StorageError, match=r"adapter\.parquet' was changed after it was measured"):
        compare([run, other])
    (Path(other) / "evals" / "adapter.parquet").unlink()
    with pytest.raises(StorageError, match=r"adapter\.parquet' is missing"):
        compare([run, other])


@pytest.mark.parametrize("content", ['[{"item": 1}]', "[7]", '{"a": 1}', "7", "["])
def test_damaged_losses_and_divergences_are_told(home: Path, content: str) -> None:
    run = made(home, "a", niche=0.8, general=0.9)
    record = read_json(Path(run) / "run.json")
    write_json(Path(run) / "run.json", record | {"files": {}})
    for name in ("base-texts.json", "adapter-drift.json"):
        kept = (Path(run) / "evals" / name).read_text()
        (Path(run) / "evals" / name).write_text(content)
        with pytest.raises(StorageError, match=name):
            compare([run])
        (Path(run) / "evals" / name).write_text(kept)


def test_runs_of_several_seeds_are_one_arm(home: Path) -> None:
    seeds = [made(home, f"a{seed}", niche=0.8, general=0.9, seed=seed) for seed in range(3)]
    other = made(home, "b", niche=0.3, general=0.5, seed=9, rate=0.5)
    found = compare([*seeds, other])
    first, second = found.arms
    assert (first.seeds, second.seeds) == ([0, 1, 2], [9])
    assert [arm.label for arm in found.arms] == ["mine (3 seeds, first a0)", "mine (b)"]
    assert first.gain is not None
    assert (first.gain.seeds, first.gain.n, first.gain.p_mcnemar) == (3, ITEMS, None)
    assert second.forgetting is not None
    assert second.forgetting.delta > 0.2
    assert (first.on_front, second.on_front) == (True, False)
    assert [(one.role, one.estimate.delta < 0) for one in found.contrasts] == [("niche", True), ("general", True)]
    assert [(one.key, one.values) for one in found.recipe] == [("train.learning_rate", ["0.1", "0.5"])]
    assert found.items == {"niche": ITEMS, "general": ITEMS}
    apart = compare([*seeds, other], each=True)
    assert [arm.seeds for arm in apart.arms] == [[0], [1], [2], [9]]
    assert {one.p_holm is not None for one in apart.contrasts} == {True}


def test_the_verdict_is_told_in_words(home: Path) -> None:
    found = compare(
        [made(home, "a", niche=0.8, general=0.9, reason="nan"), made(home, "b", niche=0.8, general=0.9, rate=1)]
    )
    first, second, *more = found.verdict
    assert first.startswith("mine (a) gained ")
    assert "95% interval" in first
    assert "with 95% confidence it is below" in first
    assert "Verdict: passed" in second
    assert any("No difference between mine (b) and mine (a) is shown" in line for line in more)
    assert any("of the answers of mine (a) are no proper answers" in line and "nan" in line for line in more)


def test_arms_of_several_seeds_are_told_apart(home: Path) -> None:
    slow, quick = (
        [made(home, f"{name}{seed}", niche=0.8, general=0.9, seed=seed, rate=rate) for seed in range(2)]
        for name, rate in (("a", 0.1), ("b", 0.5))
    )
    assert [arm.label for arm in compare(slow).arms] == ["mine (2 seeds)"]
    both = compare([*slow, *quick]).arms
    assert [arm.label for arm in both] == ["mine (2 seeds, first a0)", "mine (2 seeds, first b0)"]


def test_doubts_name_each_adapter_and_the_base_once(home: Path) -> None:
    runs = [
        made(home, f"a{seed}", niche=0.8, general=0.8, seed=seed, reason="nan", base_reason="unfinished")
        for seed in range(2)
    ]
    for each, names in ((False, ["a0", "a1"]), (True, ["mine (seed 0)", "mine (seed 1)"])):
        found = compare(runs, each=each)
        doubts = [line.split(" of the answers of ")[1] for line in found.verdict if " of the answers of " in line]
        assert [one.split(" are no proper")[0] for one in doubts] == [*names, "the base"]
        assert sum("rows of base" in improper(one) for one in found.arms[0].troubles) == 1
    made(home, "other", niche=0.8, general=0.8, reason="nan", base_reason="unfinished", base="sha256:2", rate=0.3)
    said = " ".join(compare([runs[0], str(home / "runs" / "other")]).verdict)
    assert said.count("of the base of mine (a0) are no proper") == said.count("of the base of mine (other) are") == 1


def test_an_arm_has_its_curve_drift_losses_and_cost(home: Path) -> None:
    [arm] = compare([made(home, "a", niche=0.8, general=0.9)]).arms
    assert 150 < len(arm.curve) < 260
    assert [point.dev_loss for point in arm.curve if point.dev_loss] == [2.0]
    assert [(drift.role, drift.items) for drift in arm.drift] == [("niche", 5)]
    assert arm.forgetting is not None
    assert arm.forgetting.nats is not None
    assert arm.forgetting.nats.delta == pytest.approx(0.2)
    assert arm.cost["seconds"] > 0
    assert arm.spread is not None


def test_flips_can_be_read_and_are_bounded(home: Path) -> None:
    found = compare([made(home, "a", niche=1.0, general=0.0, items=3 * MOST_FLIPS)])
    assert found.flips_total > 9000
    assert len(found.flips) == MOST_FLIPS
    assert {flip.family for flip in found.flips} == {f"{role}-{n}" for role in ("niche", "general") for n in range(3)}
    assert [flip.lost for flip in found.flips] == sorted((flip.lost for flip in found.flips), reverse=True)
    lost = found.flips[0]
    assert (lost.base_output, lost.adapter_output, lost.detail) == ("yes", "no", "a detail")
    assert lost.prompt == f"prompt of {lost.item}"
    won = found.flips[-1]
    assert (won.lost, won.base_output, won.adapter_output, won.detail) == (False, "no", "yes", "a detail")


def test_other_suites_or_items_are_refused_by_their_digests(home: Path) -> None:
    first = made(home, "a", niche=0.8, general=0.9)
    newer = made(home, "b", niche=0.8, general=0.9, suite="sha256:newer")
    fewer = made(home, "c", niche=0.8, general=0.9, items=ITEMS - 10)
    counts = r"\(60 niche, 60 general items\)"
    with pytest.raises(
        Incomparable,
        match=rf"(?s)a: suite mini {counts} sha256:suite.*b: suite mini {counts} sha256:newer.*"
        "a and b answered the same items: it is the version, the sampling",
    ):
        compare([first, newer])
    with pytest.raises(
        Incomparable,
        match=r"(?s)a: 60 niche items with digest sha256:\w+\n.*c: 50 niche items with digest.*"
        r"niche families with other items, of a and c: niche-0 \(20 and 17 items, 17 of them the same\), niche-1 ",
    ):
        compare([first, fewer])
    found = compare([first, newer, fewer], common=True)
    assert (found.items, found.left_out) == ({"niche": 50, "general": 50}, {"niche": 10, "general": 10})


def test_arms_on_different_bases_are_compared_and_said_to_be(home: Path) -> None:
    found = compare([made(home, "a", niche=0.8, general=0.9), made(home, "b", niche=0.8, general=0.9, base="sha256:2")])
    assert len(found.arms) == 2
    assert any("different bases" in line for line in found.verdict)


def test_one_run_twice_is_refused(home: Path) -> None:
    place = made(home, "a", niche=0.8, general=0.9)
    for again in ("a", f"{place}/../a"):
        with pytest.raises(InputError, match=r"runs/a' is named twice: name each run"):
            compare([place, again])


def test_folders_of_one_name_are_told_apart_by_where_they_lie(home: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("first", "second")):
        place = Path(made(home, "out", niche=0.8, general=0.9, rate=number + 1))
        (tmp_path / name).mkdir()
        place.rename(tmp_path / name / "out")
    places = [str(tmp_path / name / "out") for name in ("first", "second")]
    found = compare(places)
    assert [arm.label for arm in found.arms] == ["mine (first/out)", "mine (second/out)"]
    assert [arm.runs for arm in found.arms] == [["first/out"], ["second/out"]]
    shutil.copytree(places[0], tmp_path / "a copy")
    assert [arm.runs for arm in compare([places[0], str(tmp_path / "a copy")]).arms] == [["out"], ["a copy"]]


def test_of_several_answers_all_have_to_be_right_and_the_wrong_one_is_shown(home: Path) -> None:
    place = Path(made(home, "a", niche=0.8, general=0.9))
    said = {
        "base": {"kept": (True, True, True), "lost": (True, True, True), "better": (False, False, False)},
        "adapter": {"kept": (True, True, True), "lost": (True, False, True), "better": (True, True, False)},
    }
    for model, items in said.items():
        its = [
            row.model_copy(update={"sample": sample, "output": f"{model} {sample} {row.output}"})
            for item, answers in items.items()
            for sample, right in enumerate(answers)
            for row in rows([right], "niche", [item])
        ]
        write_rows(place / "evals", model, table_of(its))
    found = compare([str(place)])
    [flip] = found.flips
    assert (flip.item, flip.lost, flip.reason) == ("lost", True, "wrong")
    assert (flip.base_output, flip.adapter_output) == ("base 0 yes", "adapter 1 no")
    gain = found.arms[0].gain
    assert gain is not None
    assert (gain.right_to_wrong, gain.wrong_to_right) == (1, 0), "better is not right yet"
    assert gain.delta == pytest.approx((0 - 1 / 3 + 2 / 3) / 3), "the mean score knows of it all the same"


def test_the_mean_of_several_seeds_has_no_test_of_right_and_wrong(home: Path) -> None:
    seeds = [made(home, f"a{seed}", niche=0.5, general=0.9, seed=seed) for seed in range(3)]
    other = made(home, "b", niche=0.5, general=0.9, seed=9, rate=0.5)
    assert {one.p_holm for one in compare([*seeds, other]).contrasts} == {None}
    others = [made(home, f"b{seed}", niche=0.5, general=0.9, seed=9 + seed, rate=0.5) for seed in range(2)]
    found = compare([*seeds, *others]).contrasts
    assert {(one.estimate.seeds, one.p_holm) for one in found} == {(2, None)}


def test_only_the_first_arm_is_compared_with_the_others(home: Path) -> None:
    places = [made(home, f"a{n}", niche=0.5, general=0.9, seed=n, rate=n + 1) for n in range(3)]
    found = compare(places).contrasts
    assert {(one.first, one.second) for one in found} == {("mine (a0)", "mine (a1)"), ("mine (a0)", "mine (a2)")}


def test_a_run_of_an_older_version_says_what_it_lacks(home: Path) -> None:
    place = made(home, "a", niche=0.8, general=0.9)
    (Path(place) / "evals" / "base.parquet").unlink()
    write_jsonl(Path(place) / "evals" / "base.jsonl", [])
    with pytest.raises(OSError, match=r"base\.parquet"):
        compare([place])


def test_a_run_that_was_moved_is_read_where_it_is(home: Path, tmp_path: Path) -> None:
    place = Path(made(home, "a", niche=0.8, general=0.9)).rename(tmp_path / "moved")
    other = made(home, "a", niche=0.1, general=0.9, seed=5)
    first, second = compare([str(place)]).arms[0], compare([other]).arms[0]
    assert first.gain is not None
    assert second.gain is not None
    assert first.gain.delta > 0.5 > second.gain.delta
