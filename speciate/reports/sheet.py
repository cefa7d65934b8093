"""A sheet to draw on, in pixels from its top left, and the scales and marks that all drawings share.

matplotlib's objects and its SVG backend do the drawing, nothing of pyplot, and its settings are put back; words are
left to the reader's browser, which has fonts for them. The same drawing always gives the same bytes. Knows nothing of
records.
"""

import threading
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from math import isfinite, nan
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from speciate.reports.svg import TEXT, Words, inline, placeholder

if TYPE_CHECKING:
    from matplotlib.artist import Artist

ARM_COLOURS = 8
MARKERS = ("D", "s", "^", "v", "P", "X", "p", "h", "*", "<", ">", "d")
"""Of arms, one after the other; the base is an open circle. Where colours repeat, shapes differ."""
WIDTH = 360
"""Pixels: what a phone shows unscaled, so that text keeps its size there."""

_LOCK = threading.Lock()
"""matplotlib's settings are those of the process."""
_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "speciate",
    "svg.id": None,
    "path.simplify": False,
}


class Mark(NamedTuple):
    """How something is drawn: its shape, its colour, and whether it is filled."""

    shape: str
    colour: str
    filled: bool = True


BASE = Mark("o", "base", filled=False)


def mark_of(arm: int) -> Mark:
    """The mark of the n-th arm."""
    return Mark(MARKERS[arm % len(MARKERS)], f"arm{arm % ARM_COLOURS}")


class Scale(NamedTuple):
    """Values from `low` to `high` lie between the pixels `start` and `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value; one beyond the ends lies at an end."""
        held = min(max(value, self.low), self.high)
        return self.start + (held - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values on the scale."""
        from matplotlib.ticker import MaxNLocator

        found = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        return [float(value) for value in found if self.low - 1e-9 <= value <= self.high + 1e-9]


def scale(values: Sequence[float], start: float, end: float, room: float = 0.06, least: float = 1e-3) -> Scale:
    """A scale that holds all values, with some room beside the outermost."""
    known = [value for value in values if isfinite(value) and abs(value) < 1e9] or [0.0]
    low, high = min(known), max(known)
    more = room * max(high - low, least)
    if high - low < least:
        more += (least - (high - low)) / 2
    return Scale(low - more, high + more, start, end)


class Sheet:
    """What is drawn, in pixels from the top left; later things lie above earlier ones, and words above all."""

    def __init__(self, height: float) -> None:
        self.height = height
        self._drawn: list[Callable[[], Artist]] = []
        self._words: list[Words] = []

    def strokes(
        self,
        lines: Iterable[Sequence[tuple[float, float]]],
        colour: str,
        width: float = 1.0,
        dashes: Sequence[float] = (),
    ) -> None:
        """Lines through points, all of them one path."""
        from matplotlib.lines import Line2D

        points = [point for line in lines for point in (*line, (nan, nan))]
        style = (0, tuple(dashes)) if dashes else "-"
        if points:
            xs, ys = zip(*points, strict=True)
            pen = placeholder(colour)
            self._drawn.append(lambda: Line2D(xs, ys, color=pen, linewidth=width, linestyle=style))

    def marks(self, points: Sequence[tuple[float, float]], mark: Mark, size: float = 7.0) -> None:
        """The mark at every point."""
        from matplotlib.lines import Line2D

        colour, paper = placeholder(mark.colour), placeholder("paper")
        look: dict[str, Any] = {
            "linestyle": "none",
            "marker": mark.shape,
            "markersize": size * (1.25 if mark.shape in "*PX" else 1.0),
            "markerfacecolor": colour if mark.filled else paper,
            "markeredgecolor": colour,
            "markeredgewidth": 0.0 if mark.filled else 1.5,
        }
        xs, ys = [x for x, _ in points], [y for _, y in points]
        self._drawn.append(lambda: Line2D(xs, ys, **look))

    def band(self, lows: Sequence[tuple[float, float]], highs: Sequence[tuple[float, float]], colour: str) -> None:
        """The area between two lines over the same places, lightly."""
        from matplotlib.patches import Polygon

        edge = [*lows, *reversed(highs)]
        fill = placeholder(colour)
        self._drawn.append(lambda: Polygon(edge, facecolor=fill, alpha=0.16, linewidth=0))

    def write(
        self,
        x: float,
        y: float,
        text: str,
        colour: str = "ink",
        size: float = TEXT,
        side: Literal["left", "center", "right"] = "left",
        bold: bool = False,
    ) -> None:
        """Text whose baseline is at `y`."""
        self._words.append(Words(x, y, text, colour, size, side, bold))

    def svg(self, name: str, title: str, description: str) -> str:
        """The drawing as it stands in a page, where `name` is unique; both texts are for those who cannot see it."""
        with _LOCK:
            raw = self._raw()
        return inline(raw, self._words, name, title, description)

    def _raw(self) -> bytes:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
        from matplotlib.transforms import Affine2D

        with matplotlib.rc_context(_SETTINGS):
            figure = Figure(figsize=(WIDTH / 72, self.height / 72), dpi=72, frameon=False)
            FigureCanvasSVG(figure)
            from_the_top = Affine2D().scale(1, -1).translate(0, self.height)
            # Without axes, which would take longer to make than all that is drawn in them.
            for order, draw in enumerate(self._drawn):
                artist = draw()
                artist.set_transform(from_the_top)
                artist.set_zorder(order)
                figure.add_artist(artist)
            written = BytesIO()
            figure.savefig(written, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        return written.getvalue()


def symbols() -> str:
    """The marks of arms for text: `<use href="#mark-3">`, twelve pixels wide; `mark-base` is the base's."""
    import numpy
    from matplotlib.markers import MarkerStyle

    drawn: list[str] = []
    for name, shape in (("base", "o"), *((str(number), shape) for number, shape in enumerate(MARKERS))):
        style = MarkerStyle(shape)
        path = style.get_path().transformed(style.get_transform())
        outline = numpy.asarray(path.to_polygons()[0])
        outline = 6 + outline * [5, -5] / abs(outline).max()
        drawn_at = (f"{x:.1f},{y:.1f}" for x, y in outline.tolist())
        shown = '<circle cx="6" cy="6" r="4"/>' if shape == "o" else f'<polygon points="{" ".join(drawn_at)}"/>'
        drawn.append(f'<symbol id="mark-{name}" viewBox="0 0 12 12">{shown}</symbol>')
    return f'<svg class="sprite" width="0" height="0" aria-hidden="true">{"".join(drawn)}</svg>'


def width_of(text: str, size: float = TEXT) -> float:
    """About how many pixels a text takes in a usual sans-serif font."""
    return size * sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.56 for letter in text)


def fitted(text: str, width: float, size: float = TEXT) -> str:
    """The text, cut where it would be wider."""
    if width_of(text, size) <= width:
        return text
    while text and width_of(text, size) > width - size:
        text = text[:-1]
    return text.rstrip() + "…"
