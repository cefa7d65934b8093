"""From rows to figures: which answers pair, several seeds, several samples, and what is said of improper answers."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from speciate.errors import Incomparable, StorageError
from speciate.evals import figures
from speciate.evals.rows import Rows, read_drift, read_rows, read_texts, table_of, write_drift, write_rows, write_texts
from speciate.records import EvalRow, ItemDrift, Role, TextLoss


def row(
    item: str, score: float, *, role: Role = "general", family: str = "f", sample: int = 0, reason: str = ""
) -> EvalRow:
    return EvalRow(
        item=item,
        family=family,
        role=role,
        sample=sample,
        prompt_digest="sha256:0",
        prompt=f"prompt of {item}",
        output="answer",
        score=score,
        reason=reason or ("ok" if score == 1 else "wrong"),
        detail="",
        tokens=3,
        ms=0.5,
    )


def rows(scores: Sequence[float]) -> Rows:
    return Rows(table_of([row(f"i{place}", score) for place, score in enumerate(scores)]))


def test_rows_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    before = [row("a", 1.0, family="ζ\n|"), row("b", 0.25, role="niche", sample=2)]
    write_rows(tmp_path, "base", table_of(before))
    found = read_rows(tmp_path, "base")
    assert [EvalRow.model_validate(one) for one in found.table.to_pylist()] == before
    assert found.keys == [("general", "a", 0), ("niche", "b", 2)]
    losses = [TextLoss(text="t", nats=1.5, tokens=3, bytes=9)]
    drift = [ItemDrift(item="a", role="niche", forward=0.1, reverse=0.2, tokens=4)]
    write_texts(tmp_path, "base", losses)
    write_drift(tmp_path, "base", drift)
    assert (read_texts(tmp_path, "base"), read_drift(tmp_path, "base")) == (losses, drift)
    assert (read_texts(tmp_path, "other"), read_drift(tmp_path, "other")) == ([], [])


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "foreign"])
def test_damaged_rows_are_named(tmp_path: Path, damage: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "base.parquet"
    write_rows(tmp_path, "base", table_of([row(f"i{place}", 1.0) for place in range(500)]))
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        path.write_bytes(content[:-30] + bytes(30))
    else:
        pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(StorageError, match=r"base\.parquet"):
        read_rows(tmp_path, "base")


def test_an_item_that_was_answered_several_times_has_its_mean_score() -> None:
    found = figures.scored(
        Rows(
            table_of(
                [
                    row("a", 1.0),
                    row("a", 0.0, sample=1),
                    row("a", 1.0, sample=2),
                    row("b", 0.0),
                    row("b", 0.5, sample=1),
                ]
            )
        )
    )
    assert dict(found["general"].scores) == {"a": pytest.approx(2 / 3), "b": 0.25}
    assert not found["niche"].scores


def test_pairs_are_of_the_same_items_whatever_their_order() -> None:
    base, other = rows([1, 0, 1]), rows([1, 1, 0])
    turned = other.taken([2, 0, 1])
    pairs = figures.paired(figures.scored(base)["general"], [figures.scored(turned)["general"]])
    assert pairs.adapters == [[1, 1, 0]]
    assert figures.estimate(pairs, "m").right_to_wrong == 1


def test_different_items_are_refused_unless_narrowed() -> None:
    base, other = figures.scored(rows([1, 0, 1]))["general"], figures.scored(rows([1, 1]))["general"]
    with pytest.raises(Incomparable, match="0 items were answered by the adapter alone, 1 by the base alone"):
        figures.paired(base, [other])
    assert figures.paired(base, [other], {"i0", "i1"}).base == [1, 0]


def test_several_seeds_are_one_estimate() -> None:
    base = figures.scored(rows([0] * 40))["general"]
    seeds = [figures.scored(rows([1] * right + [0] * (40 - right)))["general"] for right in (30, 34, 32)]
    pairs = figures.paired(base, seeds)
    found = figures.estimate(pairs, "pass@1")
    assert (found.seeds, found.n, found.p_mcnemar) == (3, 40, None)
    assert found.delta == pytest.approx(0.8)
    assert found.wrong_to_right == 96
    lost = figures.lost(pairs, "m", None)
    assert lost.delta == -found.delta
    assert lost.ci95 == (-found.ci95[1], -found.ci95[0])
    assert lost.ci95_upper < lost.ci95[1]
    [family] = figures.families(pairs, {"f": 0.25}, {"f"})
    assert (family.adapter_right, family.adapter, family.chance, family.held_out) == (96, 0.8, 0.25, True)
    assert family.adapter_ci95[0] < 0.8 < family.adapter_ci95[1]


def test_clusters_widen_an_interval() -> None:
    scores = [float(place // 10 % 2) for place in range(200)]
    alone = [row(f"i{place}", score) for place, score in enumerate(scores)]
    shared = [one.model_copy(update={"cluster": f"c{place // 10}"}) for place, one in enumerate(alone)]

    def width(given: list[EvalRow]) -> float:
        base = [one.model_copy(update={"score": 0.0}) for one in given]
        scored = [figures.scored(Rows(table_of(its)))["general"] for its in (base, given)]
        low, high = figures.estimate(figures.paired(scored[0], [scored[1]]), "m").ci95
        return high - low

    assert width(shared) > 2 * width(alone)


def test_p_values_of_families_are_adjusted_together() -> None:
    names = [f"f{place // 20}" for place in range(60)]
    base = [row(f"i{place}", 0.0, family=name) for place, name in enumerate(names)]
    adapter = [one.model_copy(update={"score": 1.0 if place < 26 else 0.0}) for place, one in enumerate(base)]
    scored = [figures.scored(Rows(table_of(its)))["general"] for its in (base, adapter)]
    found = {one.family: one.p_holm for one in figures.families(figures.paired(scored[0], [scored[1]]))}
    assert found["f0"] == pytest.approx(3 * 2 / 2**20)
    assert found["f1"] == pytest.approx(2 * 2 / 2**6)
    assert found["f2"] == 1.0


def test_the_loss_on_text_is_known_by_token_and_by_byte() -> None:
    base = [TextLoss(text=f"t{place}", nats=10.0, tokens=5, bytes=20) for place in range(3)]
    after = [one.model_copy(update={"nats": 11.0}) for one in base]
    found = figures.nats_of(base, [after, base])
    assert found is not None
    assert found.delta == pytest.approx(0.1)
    assert found.bits_per_byte == pytest.approx((0.5 / 0.6931472, 0.525 / 0.6931472))
    assert figures.nats_of(base, [after[:2]]) is None
    assert figures.nats_of(base[:1], [after[:1]]) is None


def test_drift_is_per_token_and_by_role() -> None:
    drift = [
        ItemDrift(
            item=f"i{place}", role="niche" if place < 4 else "general", forward=1.0, reverse=2.0, tokens=place + 1
        )
        for place in range(8)
    ]
    niche, general = figures.drift_of([drift])
    assert (niche.role, general.role, niche.items, general.tokens) == ("niche", "general", 4, 26)
    assert niche.forward == pytest.approx(4 / 10)
    assert general.reverse == pytest.approx(8 / 26)
    assert niche.forward_ci95[0] <= niche.forward <= niche.forward_ci95[1]
    assert figures.drift_of([drift[:1]]) == []


@pytest.mark.parametrize(("bad", "said"), [(1, 0), (2, 1)])
def test_above_one_percent_of_improper_answers_is_said(bad: int, said: int) -> None:
    reasons = ["nan", "unfinished"][:bad] + ["wrong"] * (100 - bad)
    its = Rows(table_of([row(f"i{place}", 0.0, reason=reason) for place, reason in enumerate(reasons)]))
    doubts = figures.doubts(figures.troubles("mine", its))
    assert len(doubts) == said
    if said:
        assert doubts == ["2.0% of the answers of mine are no proper answers (1 nan, 1 unfinished of 100)."]
