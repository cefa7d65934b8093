"""Drawings: right places, nothing of the drawing library's own in them, the same bytes each time."""

import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from example_comparisons import HOSTILE, comparison
from example_records import family

from speciate.records import Arm
from speciate.reports import planes, plots
from speciate.reports.families import by_role, ends, shared
from speciate.reports.sheet import BASE, MARKERS, Sheet, fitted, mark_of, scale, symbols, width_of
from speciate.reports.svg import COLOURS, placeholder
from speciate.reports.tracks import Lane, Row, tracks


def drawings(arms: list[Arm]) -> dict[str, str]:
    found = comparison(len(arms)).contrasts
    drawn = {
        "plane": planes.plane(arms),
        "gains": plots.gains(arms),
        "losses": plots.losses(arms),
        "contrasts": plots.contrasts(found, arms),
        "spreads": plots.spreads(arms),
        "loss": planes.curves(arms, "loss", "loss", lambda point: point.loss),
        "dev": planes.curves(arms, "dev", "loss", lambda point: point.dev_loss),
        "profile": planes.profile(arms[0], 0),
        "changes": planes.changes(arms[0], 0),
        **{heading: drawing for drawing, heading in plots.families(arms[0], 0, 100)},
    }
    # One arm has no other to be compared with.
    return {name: drawing for name, drawing in drawn.items() if drawing or (name, len(arms)) != ("contrasts", 1)}


def parsed(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)


def texts(drawing: str) -> list[str]:
    return [element.text or "" for element in parsed(drawing).iter("text")]


@pytest.mark.parametrize("arms", [1, 2, 6, 12])
def test_drawings_bring_no_fonts_colours_or_styles_of_their_own(arms: int) -> None:
    for name, drawing in drawings(comparison(arms).arms).items():
        root = parsed(drawing)
        assert root.get("role") == "img", name
        assert [child.tag for child in root][:2] == ["title", "desc"]
        assert not re.search(r"#[0-9a-f]{6}|style=|font-family|DejaVu|matplotlib|clip", drawing), name
        assert {element.tag for element in root.iter()} <= {"svg", "title", "desc", "defs", "path", "use", "text", "g"}
        names = {part for element in root.iter() for part in element.get("class", "").split()} - {"chart"}
        assert names <= {f"{kind}-{colour}" for kind in "fs" for colour in COLOURS}


def test_the_same_records_give_the_same_bytes() -> None:
    assert drawings(comparison(3).arms) == drawings(comparison(3).arms)


def test_no_global_state_of_the_drawing_library_is_touched() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    drawings(comparison(2).arms)
    assert dict(matplotlib.rcParams) == before


def test_only_what_draws_is_loaded() -> None:
    program = (
        "import sys; from speciate.reports import page, planes, plots; from speciate.reports.sheet import Sheet\n"
        "assert not {'matplotlib', 'jinja2', 'rich', 'torch', 'scipy'} & set(sys.modules)\n"
        "sheet = Sheet(9); sheet.strokes([[(0, 0), (1, 1)]], 'ink'); sheet.svg('a', 'b', 'c')\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_everything_lies_on_the_sheet() -> None:
    for name, drawing in drawings(comparison(6).arms).items():
        root = parsed(drawing)
        _, _, width, height = map(float, root.get("viewBox", "").split())
        for element in root.iter("text"):
            size = float(element.get("font-size", root.get("font-size", "0")))
            x, y = float(element.get("x", "")), float(element.get("y", ""))
            taken = width_of(element.text or "", size)
            left = x - {"middle": taken / 2, "end": taken}.get(element.get("text-anchor", ""), 0.0)
            assert left >= -3, (name, element.text)
            assert left + taken <= width + 14, (name, element.text)
            assert size * 0.6 <= y <= height, (name, element.text)
        for use in root.iter("use"):
            assert 0 <= float(use.get("x", "")) <= width
            assert 0 <= float(use.get("y", "")) <= height


def test_words_of_a_record_are_escaped_and_cut() -> None:
    arm = comparison(2).arms[0].model_copy(update={"label": HOSTILE})
    for drawing in (planes.plane([arm]), plots.gains([arm])):
        parsed(drawing)
        assert "<script" not in drawing
        assert "\u202e" not in drawing
    assert "$x$ & <b>" in texts(plots.gains([arm.model_copy(update={"label": "$x$ & <b>"})]))


def test_names_too_long_for_their_place_end_with_a_mark() -> None:
    assert fitted("short", 100) == "short"
    cut = fitted("a-family-with-a-very-long-name", 80)
    assert cut.endswith("…")
    assert width_of(cut) <= 80
    assert width_of("漢字") > 1.5 * width_of("ab")


def test_an_interval_lies_where_it_should() -> None:
    row = Row("one", "", (Lane(0.5, 0.25, 0.75, BASE),))
    drawing = parsed(tracks("name", "title", "what", [row], str, (0.0, 1.0)))
    (mark,) = drawing.iter("use")
    assert float(mark.get("x", "")) == 180
    line = next(e.get("d", "") for e in drawing.iter("path") if e.get("class") == "s-base" and "M" in e.get("d", ""))
    assert re.match(r"M 92 \S+ L 268 ", line)


def test_rows_without_a_figure_are_named_and_not_drawn() -> None:
    nan = float("nan")
    row = Row("one", "unknown", (Lane(nan, nan, nan, BASE),))
    drawing = tracks("name", "title", "what", [row], str)
    assert "one" in texts(drawing)
    assert not list(parsed(drawing).iter("use"))


def test_arms_differ_in_shape_where_they_share_a_colour() -> None:
    marks = [mark_of(number) for number in range(len(MARKERS))]
    assert len(set(marks)) == len(marks)
    assert len({mark.shape for mark in marks}) == len(marks)
    assert BASE.shape not in MARKERS
    for number in range(len(MARKERS)):
        assert f'id="mark-{number}"' in symbols()


def test_the_front_is_filled_and_joined() -> None:
    arms = comparison(6).arms
    filled = [arm.label for arm in arms if arm.on_front]
    assert filled
    assert len(filled) < 6
    root = parsed(planes.plane(arms))
    uses = [element.get("class", "") for element in root.iter("use")]
    assert sum("f-paper" in name for name in uses) == 6 - len(filled)
    assert any("stroke-dasharray" in element.attrib for element in root.iter("path"))
    assert {arm.label for arm in arms} <= set(texts(planes.plane(arms)))


def test_names_on_the_plane_do_not_cover_each_other() -> None:
    arms = comparison(6).arms
    names = {arm.label for arm in arms}
    boxes = [
        (float(e.get("x", "")), float(e.get("y", "")), width_of(e.text or ""))
        for e in parsed(planes.plane(arms)).iter("text")
        if e.text in names
    ]
    for at, (x, y, width) in enumerate(boxes):
        for other_x, other_y, other in boxes[at + 1 :]:
            assert abs(y - other_y) > 9 or x + width < other_x or other_x + other < x


def test_nothing_is_drawn_of_what_was_not_measured() -> None:
    nothing = dict.fromkeys(("gain", "transfer", "forgetting", "spread")) | {"curve": [], "families": [], "general": []}
    bare = comparison(1).arms[0].model_copy(update=nothing)
    assert planes.plane([bare]) == plots.gains([bare]) == plots.losses([bare]) == plots.spreads([bare]) == ""
    assert planes.curves([bare], "loss", "loss", lambda point: point.loss) == ""
    assert plots.families(bare, 0, 10) == []


def test_long_curves_are_thinned_and_keep_their_end() -> None:
    arm = comparison(1).arms[0]
    curve = [arm.curve[0].model_copy(update={"step": step, "loss": 1.0}) for step in range(1, 10_001)]
    drawing = planes.curves([arm.model_copy(update={"curve": curve})], "loss", "loss", lambda point: point.loss)
    assert len(drawing) < 20_000
    assert "at step 10,000" in drawing


def test_families_beyond_the_room_are_counted() -> None:
    arm = comparison(1, 80, 10, 30).arms[0]
    drawn = plots.families(arm, 0, 30)
    named = [text for drawing, _ in drawn for text in texts(drawing)]
    assert sum("between these" in text for text in named) == 3
    given = shared(arm, 30)
    assert sum(given.values()) == 30
    assert given["niche"] > given["general"] > given["transfer"] > 0
    assert shared(arm, 1000) == {role: len(some) for role, some in by_role(arm).items()}
    first, last, left_out = ends(range(10), 4)
    assert ([*first], [*last], left_out) == ([0, 1], [8, 9], 6)


def test_the_most_improved_family_comes_first_and_an_unknown_change_last() -> None:
    arm = comparison(1).arms[0]
    odd = family("odd", 4, 1, 1).model_copy(update={"delta": float("nan")})
    families = [family("worse", 4, 3, 1), odd, family("better", 4, 0, 4)]
    ordered = by_role(arm.model_copy(update={"families": families, "general": []}))["niche"]
    assert [score.family for score in ordered] == ["better", "worse", "odd"]


def test_a_scale_has_room_for_all_and_is_not_upset_by_what_is_no_figure() -> None:
    across = scale([0.0, 1.0, float("nan"), float("inf"), 1e300], 0, 100)
    assert 0 < across(0.0) < across(1.0) < 100
    assert across.ticks() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert across(1e300) == 100
    same = scale([0.3, 0.3], 0, 100)
    assert 0 < same(0.3) < 100
    assert scale([], 0, 1)(0.0) == 0.5


def test_a_sheet_puts_later_things_above_earlier_ones() -> None:
    sheet = Sheet(50)
    sheet.strokes([[(0, 0), (10, 10)]], "ink")
    sheet.band([(0, 0), (10, 0)], [(0, 5), (10, 5)], "base")
    sheet.strokes([[(0, 5), (10, 5)]], "soft", dashes=(2, 1))
    sheet.write(3, 20, "words", bold=True)
    root = parsed(sheet.svg("a", "title", "what"))
    drawn = [e.get("class") for e in root.iter() if e.tag in ("path", "use", "text") and e.get("class")]
    assert drawn == ["s-ink", "f-base", "s-soft", "f-ink"]
    assert placeholder("ink") != placeholder("soft")
