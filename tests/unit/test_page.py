"""The page: all that a comparison says, in order, in one file that runs nothing and fetches nothing of others."""

import base64
import hashlib
import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from example_comparisons import HOSTILE, comparison, hostile
from example_records import family, intact

from speciate.records import Comparison, Flip
from speciate.reports import flips, page
from speciate.reports.page import LIMIT, render_page
from speciate.reports.plain import line, middle_cut, visible

DRAWN = {"svg", "symbol", "title", "desc", "defs", "path", "use", "polygon", "circle", "text", "g"}
VOID = {"meta", "link", "input"}


class Outline(HTMLParser):
    """Elements with their attributes, what is written in each, and whether all that were opened are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]][-1] += data

    def with_class(self, name: str) -> list[str]:
        return [tag for tag, attributes in self.elements if name in (attributes.get("class") or "").split()]


def words(html: str) -> str:
    """What a person reads, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.S)).split())


@pytest.fixture(scope="module")
def two() -> str:
    return render_page(comparison())


def test_it_says_everything_in_order(two: str) -> None:
    heads = re.findall(r"<h2[^>]*>(.*?)</h2>", two)
    assert heads == [
        "Verdict",
        "Gain and forgetting",
        "Family by family",
        "Arm against arm",
        "Training",
        "What flipped",
        "Where the recipes differ",
        "Provenance and cost",
        "What may cast doubt",
        "Words",
    ]
    text = words(two)
    for figure in (
        "lora r=32: passed. It gains 63.4 points on the niche (95% interval 58.3 to 68.5)",
        "+63.4 points 95% interval 58.3 to 68.5 pass@1 0.8% → 64.1% on 400 items",
        "lost 1.2 points 95% interval of the loss 0.4 to 2.0",
        "95% sure of at least +59.1; asked +45.0",
        "+0.0120 nats/token (95% interval +0.0090 to +0.0150), 64 documents; 0.912 → 0.916 bits/byte",
        "forward 1.83 (1.65 to 2.02), reverse 2.93 (2.57 to 3.3) nats/token",
        "standard deviation of accuracy between families",
        "180 answers changed between right and wrong. This page has 60 of them",
        "212 of 1,700 12.5%",
        "unchanged on disk and in memory",
        "0 items word for word and 3 by a run of 13 words",
    ):
        assert figure in text


def test_it_is_well_formed_and_its_identifiers_are_unique(two: str) -> None:
    outline = Outline(two)
    assert outline.open == []
    identifiers = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert [name for name, count in Counter(identifiers).items() if count > 1] == []
    for _, attributes in outline.elements:
        assert set((attributes.get("aria-labelledby") or "").split()) <= set(identifiers)
        target = attributes.get("href") or ""
        assert not target.startswith("#") or target.removeprefix("#") in identifiers


def test_nothing_runs_and_nothing_is_fetched_but_what_the_policy_names(two: str) -> None:
    outline = Outline(two)
    (script,), (style,) = outline.texts["script"], outline.texts["style"]
    policy = next(a["content"] for _, a in outline.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    for name, source in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert directives[name] == f"'sha256-{digest}'"
    for _, attributes in outline.elements:
        assert not any(key.startswith("on") or key in ("style", "src", "srcset", "action") for key in attributes)
        assert re.match(r"#|data:image/svg", attributes.get("href") or "#")
    assert "http://" not in style + script
    assert "https:" not in two
    assert "@import" not in style
    assert "url(" not in style


def test_every_colour_of_a_drawing_has_a_value_in_light_and_in_dark(two: str) -> None:
    outline = Outline(two)
    (style,) = outline.texts["style"]
    used = {name for _, a in outline.elements for name in re.findall(r"\b[fs]-\w+", a.get("class") or "")}
    assert {"f-ink", "s-line", "s-base", "f-arm0", "f-arm1"} <= used
    for name in used:
        assert f".{name} {{" in style
    light, dark = style.split("prefers-color-scheme: dark", 1)
    for number in range(8):
        assert f"--arm{number}:" in light
        assert f"--arm{number}:" in dark.split("}", 1)[0]


def test_a_drawing_speaks_to_those_who_cannot_see_it(two: str) -> None:
    drawings = [a for tag, a in Outline(two).elements if tag == "svg" and "chart" in (a.get("class") or "")]
    assert len(drawings) > 8
    assert all(a["role"] == "img" and a["aria-labelledby"] for a in drawings)
    assert "lora r=32: gains +63.4 (58.3 to 68.5), lost 1.2 points (0.4 to 2.0), on the front" in two


def test_the_same_comparison_gives_the_same_bytes(two: str) -> None:
    assert render_page(comparison()) == two


def test_hostile_text_stays_text() -> None:
    made = render_page(hostile())
    outline = Outline(made)
    assert outline.open == []
    tags = {tag for tag, _ in outline.elements}
    harmless = render_page(comparison(3, 5))
    assert tags <= {tag for tag, _ in Outline(harmless).elements}
    assert len(outline.texts["script"]) == len(outline.texts["style"]) == 1
    assert made.count("</script") == made.count("</style") == 1
    assert "&lt;script&gt;alert(1)" in made
    assert "{{7*7}}" in made
    assert "49" not in re.findall(r"\{\{.*?\}\}|\b49\b", words(made).split("{{7*7}}", 1)[0])
    for _, attributes in outline.elements:
        assert not any(key.startswith("on") or key in ("style", "src") for key in attributes)
        assert "javascript:" not in (attributes.get("href") or "")
        assert "url(" not in (attributes.get("class") or "")


def test_what_cannot_be_seen_is_made_visible() -> None:
    made = render_page(hostile())
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ud800-\udfff]", made)
    for shown in ("␀␛[31m", "⟨U+202E⟩", "⟨U+2066⟩", "⟨U+D800⟩"):
        assert shown in made
    made.encode()


def test_lines_of_answers_are_kept(two: str) -> None:
    assert "have u&#39; : u := h2 d&#39;\nexact ⟨d&#39;, u&#39;⟩</pre>" in two
    first = comparison(flips=1).flips[0].model_copy(update={"adapter_output": "\n  two lines\r\nand\rmore\t."})
    assert "<pre>\n\n  two lines\nand␍more\t.</pre>" in render_page(with_flips([first]))


@pytest.mark.parametrize("most", [10, 1500])
def test_a_long_text_keeps_its_head_and_its_tail(most: int) -> None:
    head, left_out, tail = middle_cut("a" * 5000 + "z" * 5000, most)
    assert (set(head), set(tail)) == ({"a"}, {"z"})
    assert len(head) + left_out + len(tail) == 10_000
    assert len(head) + len(tail) == most


def test_invisible_characters() -> None:
    assert visible("a\u200db\u00ad\ufeff") == "a⟨U+200D⟩b⟨U+00AD⟩⟨U+FEFF⟩"
    assert visible("naïve 漢字 é\u00a0∀\n\tx") == "naïve 漢字 é\u00a0∀\n\tx"
    assert line("two\nlines\x00", 80) == "two lines␀"
    assert line("x" * 200, 10) == "x" * 9 + "…"
    assert len(line("\u202e" * 1_000_000, 40)) == 40


def with_flips(many: list[Flip]) -> Comparison:
    return comparison().model_copy(update={"flips": many, "flips_total": len(many)})


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_page_has_its_size_however_much_is_given(size: int) -> None:
    one = comparison(flips=12).flips
    long = [flip.model_copy(update={"prompt": "<" * size, "adapter_output": "\x00" * size}) for flip in one]
    made = render_page(with_flips(long * 100))
    assert len(made.encode()) < 2_500_000
    assert 100 < made.count('class="flip"') <= 1200
    assert ("characters left out" in made) == (size > 10)
    assert "1,200 answers changed" in made


def test_a_hundred_thousand_flips() -> None:
    made = render_page(comparison(flips=100_000))
    assert 1_000_000 < len(made.encode()) < LIMIT
    assert "300,000 answers changed" in made


def test_whatever_comes_in_the_page_keeps_its_limit() -> None:
    many = hostile(HOSTILE * 4, arms=26, niche=160, flips=500)
    made = render_page(many)
    assert len(made.encode()) <= LIMIT
    assert "2 more arms are not on this page" in made
    assert "families between the ends are left out" in made


def test_flips_are_shared_between_arms_directions_and_families() -> None:
    one = comparison(arms=1, flips=1).flips[0]
    many = [one.model_copy(update={"arm": "a", "family": "common", "lost": False}) for _ in range(500)]
    rare = [one.model_copy(update={"arm": arm, "family": name, "lost": lost}) for arm, name, lost in (
        ("a", "rare", False), ("a", "rare", True), ("b", "common", False), ("b", "rare", True),
    )]  # fmt: skip
    first = flips.fair([*many, *rare])[:8]
    assert {(flip.arm, flip.family, flip.lost) for flip in rare} <= {(f.arm, f.family, f.lost) for f in first}
    assert sorted(map(id, flips.fair([*many, *rare]))) == sorted(map(id, [*many, *rare]))


def test_a_report_of_one_run() -> None:
    made = render_page(comparison(1, 3, 1, 3, 20))
    text = words(made)
    assert "speciate report lora r=32" in text
    for absent in ("All arms", "Arm against arm", "Where the recipes differ", "on the front", "Jaggedness"):
        assert absent not in text
    assert 'id="filter-arm"' not in made
    assert "plane-title" not in made


def test_parts_that_were_not_measured_are_left_out() -> None:
    whole = comparison(2, 0, 0, 3, 0)
    bare = [
        arm.model_copy(
            update=dict.fromkeys(("gain", "transfer", "verdict", "spread", "hammer", "intact", "contamination"))
            | {"curve": [], "drift": [], "troubles": [], "cost": {}, "gates": [], "provenance": {}}
        )
        for arm in whole.arms
    ]
    left = whole.model_copy(update={"arms": bare, "contrasts": [], "recipe": [], "flips_total": 0, "verdict": []})
    text = words(render_page(left))
    assert "no gate" in text
    assert "lost 1.2 points" in text
    for absent in ("Gain on the niche", "Training", "Spread: how uneven", "Arm against arm", "Recipes"):
        assert absent not in text
    assert "No answer changed" in text
    nothing = [arm.model_copy(update={"forgetting": None, "general": []}) for arm in bare]
    assert "Verdict" in words(render_page(left.model_copy(update={"arms": nothing})))
    assert "Nothing compared" in words(render_page(left.model_copy(update={"arms": []})))


def test_an_altered_base_is_told_at_the_top() -> None:
    whole = comparison(2)
    arms = [whole.arms[0].model_copy(update={"intact": intact(holds=False)}), whole.arms[1]]
    text = words(render_page(whole.model_copy(update={"arms": arms})))
    assert text.index("base altered") < text.index("Gain and forgetting of each arm")
    assert "trust none of these figures" in text


def test_figures_that_are_none_do_not_stop_it() -> None:
    whole = comparison(2, 3, 1, 3)
    nan = float("nan")
    arm = whole.arms[0]
    assert arm.gain
    odd = arm.model_copy(
        update={
            "gain": arm.gain.model_copy(update={"delta": nan, "ci95": (-1e300, float("inf"))}),
            "families": [family("a", 4, 1, 2).model_copy(update={"delta": nan, "delta_ci95": (nan, nan), "base": nan})],
            "curve": [point.model_copy(update={"loss": nan}) for point in arm.curve],
            "cost": {"seconds": nan, "other": float("inf")},
        }
    )
    made = render_page(whole.model_copy(update={"arms": [odd, whole.arms[1]]}))
    assert "unknown" in words(made)
    assert "NaN" not in made


def test_items_that_not_all_answered_are_told() -> None:
    text = words(render_page(comparison(left_out={"niche": 12})))
    assert "left out of this comparison: 12 niche" in text


def test_many_families_are_drawn_as_a_profile_first() -> None:
    few, many = render_page(comparison(1, 10, 2, 8)), render_page(comparison(1, 80, 10, 30))
    assert "Each family, base and adapter" not in few
    assert "Each family, base and adapter" in many
    assert "changes-0-title" in many
    assert "changes-0-title" not in few
    assert len(re.findall("<figcaption>Niche: score in 80 families, continued<", many)) == 3


def test_templates_have_no_value_that_is_not_given() -> None:
    assert page.__doc__
    with pytest.raises(Exception, match="undefined"):
        page._environment().get_template("page.html").render()  # pyright: ignore[reportPrivateUsage]
