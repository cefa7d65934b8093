"""What a page or the API can be asked: filters, order and pages, read from a query and never trusted.

A form sends every field, empty where nothing is asked for.
"""

from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, Field

from speciate.registry import query

PAGE = 50
"""Entries of one page."""
MOST = 1000
"""Entries of one answer of the API, and nodes of one tree."""

Verdict = Literal["passed", "failed", "undecided", "unknown"]
Reference = Annotated[str, Field(min_length=1, max_length=160)]
"""`species`, `species@2`, `species@best`, a digest or its beginning; never a path."""


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


Text = Annotated[str, Field(max_length=200)]
_Number = Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)]
Points = Annotated[_Number | None, BeforeValidator(_none_if_empty)]
Day = Annotated[date | None, BeforeValidator(_none_if_empty)]


class Filters(BaseModel):
    """Which entries."""

    species: Text = ""
    niche: Text = ""
    base: Text = Field(default="", description="Its name, the end of its name after a slash, or its digest.")
    verdict: Annotated[Verdict | None, BeforeValidator(_none_if_empty)] = None
    min_gain: Points = Field(default=None, description="Points that were gained at least.")
    max_forgetting: Points = Field(default=None, description="Points that, 95% sure, were not lost.")
    since: Day = None
    until: Day = None
    text: Text = Field(default="", description="Words that all occur, as `speciate registry search` finds them.")

    def wanted(self) -> query.Wanted:
        """The same as the registry asks for it."""
        return query.Wanted(
            self.species, self.niche, self.base, self.verdict or "",
            None if self.min_gain is None else self.min_gain / 100,
            None if self.max_forgetting is None else self.max_forgetting / 100,
            self.since.isoformat() if self.since else "", self.until.isoformat() if self.until else "",
            self.text.strip(),
        )  # fmt: skip

    def query(self, **changed: Any) -> str:
        """All that was asked for beside what is the rule, as the end of a link; `changed` says what differs there."""
        asked = self.model_dump(mode="json", exclude_defaults=True) | changed
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        kept = {name: value for name, value in asked.items() if value != defaults.get(name)}
        return urlencode({name: str(value).lower() if value is True else value for name, value in kept.items()})


class Ordered(Filters):
    """And in which order."""

    sort: query.Order = "created"
    reverse: bool = False


class Paged(Ordered):
    """One page of the list."""

    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class Slice(Ordered):
    """A part of the list, for programs."""

    limit: Annotated[int, Field(ge=1, le=MOST)] = 100
    offset: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
