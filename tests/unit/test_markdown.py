"""Markdown that says what the page says, and in which nothing of a record is Markdown, HTML or a mention."""

import re

import pytest
from example_comparisons import HOSTILE, comparison, hostile
from markdown_it import MarkdownIt

from speciate.reports.markdown import escaped, render_markdown


def rendered(markdown: str) -> str:
    """As HTML, by the rules that model cards and pull requests are read by."""
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)


def cells(markdown: str) -> list[list[str]]:
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    return [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows]


def test_it_says_what_matters() -> None:
    made = render_markdown(comparison())
    for figure in (
        "## 2 arms compared",
        "**lora r=32: passed. It gains 63.4 points on the niche (95% interval 58.3 to 68.5)",
        "| **lora r=32** | ✓ passed | +63.4 (58.3 to 68.5) | +5.0 (-1.0 to 11.0) | +1.2 (0.4 to 2.0) |",
        "+0.0120 (+0.0090 to +0.0150)",
        "| lora r=8 − lora r=32 | niche | -8.4 (-12.4 to -4.4) | &lt;0.001 |",
        "<summary>Families (46)</summary>",
        "### 180 answers changed",
        "right→wrong 27, wrong→right 13, McNemar p 0.27",
        "| train.lora.r | 1 (lora r=32)<br>2 (lora r=8) |",
        "| base | data/base/tiny (ab12ab12) |",
        "212 of 1,700 rows of base without a proper answer: unfinished",
        "base intact: unchanged on disk and in memory",
    ):
        assert figure in made
    assert len(made) < 20_000


def test_every_row_of_a_table_has_its_cells() -> None:
    for made in (render_markdown(comparison()), render_markdown(hostile())):
        length = 0
        for row, above in zip(cells(made), [[], *cells(made)], strict=False):
            if row == [" --- "] * len(row):
                length = len(above)
            if length and above and above != row and above[0] == " --- ":
                assert len(row) == length


def test_hostile_text_is_only_text() -> None:
    html = rendered(render_markdown(hostile()))
    assert set(re.findall(r"<(\w+)", html)) <= {
        "h2", "h3", "p", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "br",
    }  # fmt: skip
    assert "&lt;script&gt;alert(1)" in html
    assert not re.search(r"[\x00\x1b\u202e\u2066]", html)
    assert "javascript:x" in html
    assert not re.search(r"@mention|#12|https://evil", html)


@pytest.mark.parametrize(
    "text",
    [
        "- a list", "+ a list", "1. a list", "12) a list", "# a heading", "> a quote", "---", "===", "| a | cell |",
        "`code`", "**bold**", "_emphasis_", "~~struck~~", "[a](https://b.c)", "![a](b)", "<b>x</b>", "&copy;", "a\\",
        "[ref]: https://x.y", "https://x.y/z", "www.evil.com", "a@b.c", "```", "    code", "<!-- x", "$x$",
    ],
)  # fmt: skip
def test_text_means_itself(text: str) -> None:
    html = rendered(f"- {escaped(text)}\n")
    shown = re.sub(r"</?(ul|li)>|\n", "", html).replace("\u200b", "")
    assert "<" not in shown
    plain = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    assert plain == " ".join(text.split())
    row = rendered(f"| a | b |\n| --- | --- |\n| {escaped(text)} | x |\n")
    assert row.count("<td>") == 2


@pytest.mark.parametrize("text", ["@user", "#1", "org/repo#1", "GH-12", "https://x.y", "www.x.y", "me@x.y"])
def test_mentions_references_and_bare_links_are_put_asunder(text: str) -> None:
    assert "&#8203;" in escaped(text)


def test_ordinary_names_are_left_as_they_are() -> None:
    for name in ("lora r=32", "case_splits", "general/list-induction", "train.lora.r", "2 arms: 5.0%", "a (b)"):
        assert escaped(name) == name


def test_a_single_run_and_one_of_little() -> None:
    made = render_markdown(comparison(1, 3, 1, 3, 5))
    assert made.startswith("## lora r=32\n")
    assert "front" not in made
    assert "Arm against arm" not in made
    assert "Where the recipes differ" not in made
    whole = comparison(1, 0, 0, 0, 0)
    nothing = dict.fromkeys(("gain", "transfer", "forgetting", "verdict", "spread", "intact", "contamination"))
    bare = whole.arms[0].model_copy(update=nothing | {"troubles": [], "gates": []})
    made = render_markdown(whole.model_copy(update={"arms": [bare], "verdict": [], "flips_total": 0}))
    assert "no gate | – | – | – | – |" in made
    assert "No verdict." in made


def test_much_stays_short() -> None:
    made = render_markdown(comparison(12, 100, 10, 40, 5000))
    assert len(made) < 65_000
    assert "families between the ends are left out" in made
    assert len(render_markdown(hostile(HOSTILE * 1000))) < 300_000
