"""What every record has in common: frozen, strict, and written with its schema name."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from speciate import __version__, storage
from speciate.errors import Damaged

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

    @classmethod
    def read(cls, path: Path) -> Self:
        """The document in a file. Raises Damaged where it is missing, damaged or of another version of speciate."""
        try:
            found = storage.read_json(path)
            # Every number of it can be written again: none is NaN, and none too large for a float.
            storage.canonical_json(found)
            return cls.model_validate(found)
        except FileNotFoundError as error:
            raise Damaged(f"{str(path)!r} is missing") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            at = ".".join(map(str, first["loc"])) or "the whole"
            value = f"{first['input']!r:.60}"
            raise Damaged(
                f"{str(path)!r} is damaged, or of another version of speciate: {at}: {first['msg']}, not {value}"
            ) from error
        except Damaged:
            raise
        except ValueError as error:
            raise storage.unreadable(path, error) from error
