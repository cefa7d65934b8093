"""The page in a real browser: it runs under its own policy, asks for nothing, reads well on a phone and on paper."""

import itertools
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, Route, expect, sync_playwright

from speciate.records import Comparison
from speciate.reports.page import render_page

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from example_bases import beside_an_adapter, of_a_base  # pyright: ignore[reportMissingImports]
from example_comparisons import comparison, hostile  # pyright: ignore[reportMissingImports]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ADDRESS = "http://page.invalid/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The first browser on PATH; continuous integration has one."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        message = f"none of {', '.join(BROWSERS)} is on PATH"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        yield started
        started.close()


class Opened:
    """A page in a browser, and everything that it asked for or complained of."""

    def __init__(
        self, browser: Browser, html: str, *, width: int = 1200, dark: bool = False, script: bool = True
    ) -> None:
        self.asked: list[str] = []
        self.complaints: list[str] = []
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
        )
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._refuse)
        context.route("**/*", lambda route: self._answer(route, html))
        self.page.goto(ADDRESS)

    def _answer(self, route: Route, html: str) -> None:
        self.asked.append(route.request.url)
        if route.request.url == ADDRESS:
            route.fulfill(body=html, content_type="text/html; charset=utf-8")
        else:
            route.abort()

    def _refuse(self, dialog: Dialog) -> None:
        self.complaints.append(dialog.message)
        dialog.dismiss()

    def shown(self) -> int:
        """Flips that can be seen."""
        return self.page.locator(".flip:visible").count()

    def status(self) -> str:
        return self.page.locator("#shown").inner_text()


@pytest.fixture(scope="module")
def typical() -> str:
    return render_page(comparison())


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("of", [comparison(), comparison(1, 3, 1, 3, 20), hostile(), comparison(6, 80, 10, 30, 5000)])
def test_it_runs_without_complaint_and_asks_for_nothing(browser: Browser, of: Comparison, dark: bool) -> None:
    opened = Opened(browser, render_page(of), dark=dark)
    opened.page.get_by_label("Text").fill("theorem")
    assert opened.complaints == []
    assert opened.asked == [ADDRESS]
    assert opened.shown() == 12


def test_no_other_script_or_style_runs(browser: Browser, typical: str) -> None:
    smuggled = typical.replace("<main>", "<main><script>document.title='ran'</script><p id=x style='color:red'>x</p>")
    opened = Opened(browser, smuggled)
    assert opened.page.title() == "2 arms compared – speciate"
    assert opened.page.locator("#x").evaluate("x => getComputedStyle(x).color") != "rgb(255, 0, 0)"
    assert len(opened.complaints) == 2


def test_the_filter_narrows_by_text_arm_family_and_direction(browser: Browser, typical: str) -> None:
    opened = Opened(browser, typical)
    page = opened.page
    assert opened.status() == "Shown: 12, of 60 on this page and 180 in all."
    page.get_by_role("button", name="Show all").click()
    assert opened.shown() == 60
    expect(page.locator(".more")).to_be_hidden()

    page.get_by_label("Text").fill("P12 A")
    assert opened.shown() == 0
    page.get_by_label("Text").fill("T12 A D")
    assert opened.shown() == 1
    assert opened.status() == "Shown: 1 of 1 that match, of 60 on this page and 180 in all."
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#shown")).to_have_text("Shown: 12, of 60 on this page and 180 in all.")

    page.locator("#filter-arm").select_option(label="lora r=8")
    assert opened.status() == "Shown: 12 of 30 that match, of 60 on this page and 180 in all."
    page.locator("#filter-way").select_option("lost")
    assert opened.status() == "Shown: 10 of 10 that match, of 60 on this page and 180 in all."
    for head in page.locator(".flip:visible h3").all_inner_texts():
        assert "right → wrong" in head
        assert "lora r=8" in head
    page.locator("#filter-family").select_option(label="general/quantifiers")
    heads = page.locator(".flip:visible h3").all_inner_texts()
    assert heads
    assert all("general/quantifiers" in head for head in heads)


def test_more_are_shown_when_asked_for(browser: Browser, typical: str) -> None:
    opened = Opened(browser, typical)
    opened.page.get_by_role("button", name="Show more").click()
    assert opened.shown() == 60
    assert opened.status() == "Shown: 60, of 60 on this page and 180 in all."


def test_without_scripts_everything_is_there(browser: Browser, typical: str) -> None:
    opened = Opened(browser, typical, script=False)
    assert opened.shown() == 60
    expect(opened.page.locator("#filter")).to_be_hidden()
    assert opened.status() == "Shown: 60 of 180."


def test_light_and_dark_are_both_easy_to_read(browser: Browser, typical: str) -> None:
    for dark in (False, True):
        page = Opened(browser, typical, dark=dark).page
        back = luminance(page, "body", "backgroundColor")
        assert (back < 0.1) == dark
        for selector, style, least in (
            ("body", "color", 12),
            (".note", "color", 4.5),
            ("nav a", "color", 4.5),
            (".f-soft", "fill", 4.5),
            *((f".f-arm{number}", "fill", 3) for number in range(2)),
            (".s-base", "stroke", 3),
        ):
            assert contrast(back, luminance(page, selector, style)) >= least, (selector, dark)
        for kind in ("passed", "failed", "undecided", "none"):
            page.locator(".badge").first.evaluate("(badge, kind) => { badge.className = `badge ${kind}`; }", kind)
            pair = (luminance(page, ".badge", style) for style in ("backgroundColor", "color"))
            assert contrast(*pair) >= 4.5, (kind, dark)


@pytest.mark.parametrize("of", [comparison(), comparison(1, 3, 1, 3, 20), hostile(), comparison(6, 80, 10, 30, 500)])
@pytest.mark.parametrize("width", [320, 360, 768])
def test_a_narrow_page_never_scrolls_sideways(browser: Browser, of: Comparison, width: int) -> None:
    page = Opened(browser, render_page(of), width=width).page
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    page.get_by_role("button", name="Show all").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.locator("svg.chart").evaluate_all("all => all.map(one => one.getBoundingClientRect().width / 360)")
    assert min(sizes) * 11.5 >= 9 if width == 320 else min(sizes) * 11.5 >= 10


@pytest.mark.parametrize("of", [of_a_base(), beside_an_adapter()])
@pytest.mark.parametrize("width", [320, 1200])
def test_a_base_by_itself_fits_its_page(browser: Browser, of: Comparison, width: int) -> None:
    opened = Opened(browser, render_page(of), width=width)
    opened.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.complaints == []
    assert opened.page.get_by_text("97.1%").first.is_visible()
    for drawing in opened.page.locator("figure").all():
        assert drawing.locator("svg.chart use").count() > 0, "no plot is empty"


def test_paper_shows_everything_but_the_controls(browser: Browser, typical: str) -> None:
    opened = Opened(browser, typical, dark=True)
    page = opened.page
    page.emulate_media(media="print", color_scheme="dark")
    assert opened.shown() == 60
    for selector in ("nav", "#filter", ".more"):
        expect(page.locator(selector)).to_be_hidden()
    assert luminance(page, "body", "backgroundColor") == 1.0
    table = page.locator("details table").first
    assert table.evaluate("one => one.getBoundingClientRect().height") > 300
    assert page.pdf(format="A4")[:5] == b"%PDF-"


def test_paper_has_a_limit_and_a_filter_holds_on_it(browser: Browser) -> None:
    opened = Opened(browser, render_page(comparison(2, flips=500)))
    opened.page.emulate_media(media="print")
    assert opened.shown() == 100
    opened.page.emulate_media(media="screen")
    opened.page.get_by_label("Text").fill("p0 a")
    opened.page.emulate_media(media="print")
    assert opened.shown() == 1


def test_screenshots_are_taken(browser: Browser, typical: str, tmp_path: Path) -> None:
    for name, width, dark in (("light", 1200, False), ("dark", 1200, True), ("phone", 360, False)):
        path = tmp_path / f"{name}.png"
        Opened(browser, typical, width=width, dark=dark).page.screenshot(path=path, full_page=True)
        assert path.stat().st_size > 50_000


def test_it_can_be_used_with_the_keyboard_and_read_aloud(browser: Browser, typical: str) -> None:
    page = Opened(browser, typical).page
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("details").first).to_have_attribute("open", "")
    tree = page.locator("body").aria_snapshot()
    assert "Gain and forgetting of each arm, with 95% intervals" in tree
    assert re.search(r'search "?Flips', tree)
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def luminance(page: Page, selector: str, style: str) -> float:
    """Relative luminance, as the Web Content Accessibility Guidelines define it."""
    colour = page.locator(selector).first.evaluate("(one, style) => getComputedStyle(one)[style]", style)
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: float, other: float) -> float:
    """From 1, the same, to 21, black on white."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
