"""The registry in a terminal: a list, an entry, a phylogeny and what is wrong with it."""

import re
from pathlib import Path

from example_records import DIGEST, card
from rich.console import Console, RenderableType

from speciate.records import Branch, Fault, Kin, Listed, Phylogeny, UnmeasuredCard, Verification
from speciate.registry.index import summary_of
from speciate.reports.registry import render_entry, render_list, render_tree, render_verification


def shown(renderable: RenderableType, width: int = 120) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def short(species: str = "lean-prover", version: int = 1, digest: str = DIGEST, **changed: object) -> Listed:
    return Listed.model_validate(summary_of(card(species, version, digest, **changed)))


def unmeasured() -> UnmeasuredCard:
    return UnmeasuredCard(
        species="stranger", version=3, digest=DIGEST, created="2026-11-25T00:00:00Z", origin="imported from a folder",
        base={"name": "org/base", "revision": "unknown", "digest": "unknown"}, parents=[], shape={"r": 8},
        claims={"tags": ["lean"], "datasets": ["org/proofs", "org/more"]},
    )  # fmt: skip


def test_the_list_has_a_line_for_each_entry_and_for_each_problem() -> None:
    entries = [
        short().model_copy(update={"aliases": ["best"]}),
        short(version=2, verdict="undecided"),
        Listed.model_validate(summary_of(unmeasured())),
    ]
    text = shown(render_list(entries, 40, ["'x/card.json' is damaged"]))
    assert re.search(r"lean-prover@1 @best +passed +\+63.4 \(58.1 to 68.4\) +<0.9 +ab12ab12 +2026-11-23", text)
    assert re.search(r"lean-prover@2 +undecided", text)
    assert re.search(r"stranger@3 +unknown +- +- ", text)
    assert "damaged: 'x/card.json' is damaged" in text
    assert "3 of 40 shown, --limit 0 shows all" in text
    assert "speciate train" in shown(render_list([], 0))
    assert "40 entries are like that, and --offset leaves out as many" in shown(render_list([], 40))
    assert "No entry is like that; 3 are registered.\n" in shown(render_list([], 0, [], 3))
    assert "1 is registered. Did you mean lean for niche?" in shown(render_list([], 0, [], 1, {"niche": "lean"}))


def test_an_entry_shows_its_ancestry_and_how_to_load_it() -> None:
    text = shown(render_entry(card(), Path("/entries/ab12ab12"), ["best"]))
    assert re.search(r"Descent +trained from ab12ab12", text)
    assert re.search(r"Known as +lean-prover@best", text)
    assert re.search(r"Base +data/base/tiny \(ab12ab12\)", text)
    assert 'PeftModel.from_pretrained(base, "/entries/ab12ab12")' in text
    assert re.search(r"Cost +6m52s · peak memory 2\.7 GiB", text)
    assert DIGEST in text


def test_an_adapter_from_elsewhere_is_not_given_figures() -> None:
    text = shown(render_entry(unmeasured(), Path("/entries/ab12ab12")))
    assert "NOT MEASURED" in text
    assert re.search(r"Origin +imported from a folder", text)
    assert re.search(r"Next +speciate eval stranger@3", text)
    assert "Gain" not in text
    assert "tags: lean; datasets: org/proofs, org/more (by its makers; not checked)" in " ".join(text.split())


def test_a_tree_shows_who_came_from_whom_and_what_changed() -> None:
    base, first, second, merged = (f"sha256:{letter * 64}" for letter in "abcd")
    one, two = short(digest=first), short(version=2, digest=second, verdict="failed")
    three = Listed.model_validate(summary_of(unmeasured()) | {"digest": merged})
    names = {first: one, second: two, merged: three}
    kin = [
        Kin(digest=base, what="base", name="data/base/tiny"),
        *(Kin(digest=digest, what="entry", name=f"{e.species}@{e.version}", entry=e) for digest, e in names.items()),
    ]
    recipe = ["seed: 0 -> 1", "train.lora.r: 8 -> 16", "train.epochs: 1 -> 2", "train.warmup: 0 -> 1"]
    branches = [
        Branch(parent=base, child=first, kind="trained-from"),
        Branch(parent=first, child=second, kind="continued", recipe=recipe),
        Branch(parent=second, child=merged, kind="merged"),
        Branch(parent=first, child=merged, kind="merged"),
    ]
    lines = shown(render_tree(Phylogeny(kin=kin, branches=branches, left_out=7))).splitlines()
    assert lines[0].startswith("data/base/tiny  base aaaaaaaa")
    assert "trained from lean-prover@1  passed  +63.4 gained, lost 0.4 points (<0.9)" in lines[1]
    assert lines[1].index("trained") < lines[2].index("continued")
    assert "seed: 0 -> 1; train.lora.r: 8 -> 16; train.epochs: 1 -> 2 and 1 more" in lines[3]
    assert "merged stranger@3  unknown  not measured; and from lean-prover@1" in lines[4]
    assert "7 older entries are left out" in lines[5]


def test_a_verification_is_told_in_words() -> None:
    assert "3 entries read again: all is as it was written" in shown(
        render_verification(Verification(entries=3, faults=[]))
    )
    found = Verification(entries=3, faults=[Fault(where="entries/ab", what="card.json is missing")])
    assert "entries/ab: card.json is missing" in shown(render_verification(found))
