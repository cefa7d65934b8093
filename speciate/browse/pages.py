"""Templates filled in. Every value is escaped by Jinja and has no character that hides or turns text round; markup is
our own: templates, and drawings that an XML writer made.
"""

import hashlib
import math
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from speciate import __version__
from speciate.reports.plain import visible

if TYPE_CHECKING:
    from jinja2 import Environment

STATIC = {
    "browse.css": "text/css; charset=utf-8",
    "browse.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""What is served as a file: these and no other name."""


def page(template: str, **values: Any) -> str:
    """One whole page."""
    return environment().get_template(template).render(values)


@cache
def static(name: str) -> bytes:
    """A file of `STATIC`."""
    return (files("speciate") / "browse" / "static" / name).read_bytes()


def static_address(name: str) -> str:
    """Its address, which is another one when its content is."""
    return f"/static/{name}?{hashlib.sha256(static(name)).hexdigest()[:12]}"


@cache
def environment() -> "Environment":
    """Jinja, set up."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("speciate.browse"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    named: dict[str, Any] = {"static": static_address, "version": __version__}
    made.globals.update(named)
    made.filters["svg_place"] = _svg_place
    return made


def _svg_place(share: float) -> str:
    """Where a change of a share lies on a line from -1 to 1 that is 200 long."""
    return f"{100 + 100 * min(1.0, max(-1.0, share)):.1f}" if math.isfinite(share) else "100"


def _finalized(value: Any) -> Any:
    # Markup has `__html__`; what a template says by itself does not come here.
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
