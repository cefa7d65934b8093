"""What every record has in common: frozen, strict, and written with its schema name."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from speciate import __version__

Outcome = Literal["passed", "failed", "undecided"]


class Record(BaseModel):
    """Frozen, and an unknown field is an error: a record is read by the code that knows it, or not at all."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="null")


class Document(Record):
    """A record that is a file or a `--json` answer by itself."""

    speciate: str = __version__
    """Version of speciate that wrote it."""

    def document(self) -> dict[str, Any]:
        """JSON values, with the field `schema` under its public name."""
        return self.model_dump(mode="json", by_alias=True)
