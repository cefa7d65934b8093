"""The registry's pages in a real browser, from the real command: they run under their policy, and can be used."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from speciate.records import Card
from speciate.storage import read_json, write_json

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from example_registry import hostile, phylogeny  # pyright: ignore[reportMissingImports]
from test_comparison import made as run_made  # pyright: ignore[reportMissingImports]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
SPECIATE = Path(sys.executable).with_name("speciate")


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


class Server:
    """`speciate registry browse` as a process."""

    def __init__(self, home: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [SPECIATE, "registry", "browse", "--port", "0", "--json", *options],
            env={**os.environ, "SPECIATE_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        document = ""
        while not document.endswith("}\n"):
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            document += line
        self.said = json.loads(document)
        self.url = str(self.said["url"])

    def stopped(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        self.process.send_signal(number)
        rest, errors = self.process.communicate(timeout=30)
        return self.process.returncode, rest, errors


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Card]]:
    """A home with a phylogeny, and the runs of two of its entries."""
    folder = tmp_path_factory.mktemp("browser")
    home = folder / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPECIATE_HOME", str(home))
        made = phylogeny(folder / "adapters")
        hostile(folder / "adapters")
    for number, name in enumerate(("lean-prover@1", "lean-prover@2")):
        card = made[name]
        run = Path(run_made(home, f"lean-prover-{number}", niche=0.6 + 0.2 * number, general=0.9, rate=0.1 + number))
        record = read_json(run / "run.json") | {"adapter_digest": card.digest}
        write_json(run / "run.json", record)
    return home, made


@pytest.fixture(scope="module")
def server(registry: tuple[Path, dict[str, Card]]) -> Iterator[Server]:
    started = Server(registry[0])
    yield started
    status, rest, errors = started.stopped()
    assert (status, rest, errors) == (0, "", ""), "one document, and a clean end after Ctrl-C"


class Opened:
    """A page, with all that it complained of and all that it asked another host for."""

    def __init__(
        self, browser: Browser, url: str, *, width: int = 1200, dark: bool = False, script: bool = True
    ) -> None:
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            device_scale_factor=2 if width < 500 else 1,
        )
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url, url))
        self.page.goto(url)

    def _asked(self, address: str, own: str) -> None:
        if not address.startswith(re.sub(r"(https?://[^/]*/).*", r"\1", own)):
            self.elsewhere.append(address)

    def plane(self) -> int:
        """Points that were drawn."""
        expect(self.page.locator("canvas")).to_have_attribute("data-points", re.compile(r"\d+"))
        return int(self.page.locator("canvas").get_attribute("data-points") or -1)

    def is_quiet(self) -> None:
        assert self.complaints == []
        assert self.elsewhere == []


PATHS = ("", "entry/lean-prover@2", "entry/hostile", "entry/found", "tree", "tree/lean-prover@1", "compare",
         "compare?a=both&b=sql-writer", "compare?a=hostile&b=both",
         "compare?a=lean-prover@1&b=lean-prover@2")  # fmt: skip


@pytest.mark.parametrize(("width", "dark"), [(360, False), (1200, True)])
@pytest.mark.parametrize("path", PATHS)
def test_every_page_runs_without_complaint_and_fits_a_phone(
    browser: Browser, server: Server, path: str, width: int, dark: bool
) -> None:
    opened = Opened(browser, server.url + path, width=width, dark=dark)
    if path == "":
        opened.plane()
    opened.is_quiet()
    assert opened.page.title() != "ran"
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.context.close()


def test_no_other_script_or_style_runs(browser: Browser, server: Server) -> None:
    opened = Opened(browser, server.url)
    opened.page.evaluate("""() => {
        const script = document.createElement('script'); script.textContent = "document.title = 'ran'";
        document.body.append(script); document.body.setAttribute('onclick', "document.title = 'ran'");
        document.body.click();
    }""")
    assert opened.page.title() == "Species – speciate"
    assert len(opened.complaints) >= 2


def test_the_filter_narrows_the_list_and_the_plane_and_can_be_shared(browser: Browser, server: Server) -> None:
    opened = Opened(browser, server.url)
    page = opened.page
    assert opened.plane() == 7
    expect(page.locator("#list-head")).to_have_text("8 entries")
    page.get_by_label("Species").fill("sql-writer")
    page.get_by_label("Gained at least").fill("40")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#list-head")).to_have_text("1 entry")
    assert opened.plane() == 1
    shared = Opened(browser, page.url)
    expect(shared.page.locator("#list-head")).to_have_text("1 entry")
    assert shared.page.get_by_label("Species").input_value() == "sql-writer"
    page.get_by_role("link", name="Show all").first.click()
    expect(page.locator("#list-head")).to_have_text("8 entries")
    opened.is_quiet()


@pytest.mark.parametrize("values", [[], [0, 0, 0], [0.02, -0.01], [63.4, -2.0], [5.0]])
def test_ticks_are_written_differently(browser: Browser, server: Server, values: list[float]) -> None:
    opened = Opened(browser, server.url)
    for most in (4, 12, 20):
        asked = f"ticks(range({values}), {most}).map((value) => signed(value, 0))"
        shown: list[str] = opened.page.evaluate(asked)
        assert len(set(shown)) == len(shown) >= 2
        assert "0" in shown
        assert not {"+0.0", "−0.0", "0.0"} & set(shown)
    opened.context.close()


def test_a_point_tells_what_it_is_and_opens_its_entry(browser: Browser, server: Server) -> None:
    opened = Opened(browser, server.url + "?species=both")
    page = opened.page
    assert opened.plane() == 1
    box = page.locator("canvas").bounding_box()
    assert box
    # Zero and the only point are at the ends of the axis of gain, with a twentieth of room. 0.2 points lost are less
    # than an axis spans, which has as much room on both sides as makes it 2, and a twentieth of that.
    inner = {"left": 52, "right": 14, "top": 14, "bottom": 40}
    wide, high = box["width"] - inner["left"] - inner["right"], box["height"] - inner["top"] - inner["bottom"]
    place = (box["x"] + inner["left"] + wide * 1.2 / 2.2, box["y"] + inner["top"] + high * 0.05 / 1.1)
    page.mouse.move(*place)
    expect(page.locator("#plane-hint")).to_contain_text(
        "both@1, passed: gain +66.0 points, 95% interval from +62.0; lost 0.2, 95% sure to be less than 1.0"
    )
    page.mouse.click(*place)
    expect(page.locator("h1")).to_have_text("both@1")
    opened.is_quiet()


def test_the_plane_can_be_walked_with_the_keyboard_and_read_as_a_list(browser: Browser, server: Server) -> None:
    opened = Opened(browser, server.url)
    page = opened.page
    opened.plane()
    hint = page.locator("#plane-hint")
    expect(hint).to_have_text("7 entries, 4 on the front; 1 more without figures.")
    page.locator("canvas").focus()
    page.keyboard.press("ArrowLeft")
    expect(hint).to_contain_text("lean-prover@3, failed: gain +80.0")
    page.keyboard.press("ArrowLeft")
    expect(hint).to_contain_text("lean-prover@2, undecided")
    page.get_by_text("The front as a list").click()
    assert page.locator("#front li").count() == 4
    page.locator("canvas").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("lean-prover@2")
    opened.is_quiet()


def test_the_tree_is_walked_by_its_links(browser: Browser, server: Server) -> None:
    opened = Opened(browser, server.url + "tree")
    page = opened.page
    assert page.locator("svg.tree a.node").count() == 8 + 1, "every entry, and the base that has a digest"
    assert "train.lora.r: 8 -> 32" in "".join(page.locator("svg.tree .edge title").all_text_contents())
    page.get_by_role("link", name=re.compile(r"^both@1, passed")).click()
    expect(page.locator("h1")).to_have_text("both@1")
    expect(page.locator("svg.tree .here")).to_have_count(1)
    page.get_by_role("link", name="The whole phylogeny").click()
    expect(page.locator("h1")).to_have_text("Phylogeny of both@1")
    opened.is_quiet()


def test_two_entries_are_chosen_and_their_runs_are_compared(browser: Browser, server: Server) -> None:
    opened = Opened(browser, server.url + "?species=lean-prover&sort=species&reverse=true")
    page = opened.page
    for name in ("Compare lean-prover@1", "Compare lean-prover@2"):
        page.get_by_label(name).check()
    page.get_by_role("button", name="Compare two").click()
    expect(page).to_have_title("2 arms compared – speciate")
    assert page.locator(".flip:visible").count() > 0, "the report's own script runs under its own policy"
    page.get_by_label("Text").fill("niche-1")
    opened.is_quiet()


def test_without_scripts_the_list_and_the_tree_are_there(browser: Browser, server: Server) -> None:
    opened = Opened(browser, server.url, script=False)
    assert opened.page.locator("tbody tr").count() == 8
    assert opened.page.get_by_text("The drawing needs the page's script").is_visible()
    opened.page.goto(server.url + "tree")
    assert opened.page.locator("svg.tree a.node").count() == 9


def test_screenshots_are_taken(browser: Browser, server: Server, tmp_path: Path) -> None:
    folder = Path(os.environ.get("SPECIATE_SCREENSHOTS") or tmp_path)
    for path, name in (("", "list"), ("entry/lean-prover@2", "entry"), ("tree", "tree"),
                       ("compare?a=both&b=sql-writer", "compare"), ("entry/hostile", "hostile")):  # fmt: skip
        for way, width, dark in (("light", 1200, False), ("dark", 1200, True), ("phone", 390, False)):
            opened = Opened(browser, server.url + path, width=width, dark=dark)
            if not path:
                opened.plane()
            file = folder / f"{name}-{way}.png"
            opened.page.screenshot(path=file, full_page=True)
            assert file.stat().st_size > 10_000
            opened.context.close()


def test_where_others_can_reach_it_the_link_is_needed_once(
    browser: Browser, registry: tuple[Path, dict[str, Card]]
) -> None:
    server = Server(registry[0], "--host", "0.0.0.0")  # noqa: S104
    try:
        token, port = server.said["token"], server.said["port"]
        plain = f"http://127.0.0.1:{port}/"
        opened = Opened(browser, plain)
        expect(opened.page.locator("h1")).to_have_text("This page is not open to everybody")
        opened.page.goto(f"{plain}?token={token}&niche=sql")
        expect(opened.page.locator("#list-head")).to_have_text("2 entries")
        assert token not in opened.page.url
        assert opened.plane() == 2
        assert opened.page.evaluate("document.cookie") == ""
        opened.page.goto(f"{plain}tree")
        expect(opened.page.locator("h1")).to_have_text("Phylogeny")
    finally:
        status, _, errors = server.stopped(signal.SIGTERM)
    assert (status, errors) == (0, "")
