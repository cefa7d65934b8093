"""The rows of one model on disk and in columns: Parquet files that any data tool reads, written whole.

    <folder>/<model>.parquet        one row for each answer
    <folder>/<model>-texts.json     loss on each text
    <folder>/<model>-drift.json     divergence from the base on some items

Figures are made from columns, since a hundred thousand rows are too many to look at one by one.
"""

import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from speciate import __version__
from speciate.errors import StorageError
from speciate.records import ROLES, EvalRow, ItemDrift, TextLoss
from speciate.storage import digest_file, digest_json, read_json, write_bytes, write_json

if TYPE_CHECKING:
    # pyarrow has no types of its own.
    Table = Any

Line = TypeVar("Line", TextLoss, ItemDrift)

SCHEMA = "rows/1"
NUMBERS = {"sample": "int32", "score": "float64", "tokens": "int32", "ms": "float64"}
COMPRESSION = "zstd"


class Rows:
    """Rows of one model in columns, in the order in which they were asked."""

    def __init__(self, table: "Table") -> None:
        self.table = table

    def __len__(self) -> int:
        return self.table.num_rows

    def column(self, name: str) -> list[Any]:
        """One field of all rows."""
        return self.table.column(name).to_pylist()

    @cached_property
    def keys(self) -> list[tuple[str, str, int]]:
        """Role, item and sample of each row: what pairs it with another model's row."""
        return list(zip(self.column("role"), self.column("item"), self.column("sample"), strict=True))

    @cached_property
    def scores(self) -> list[float]:
        """The score of each row."""
        return self.column("score")

    def taken(self, places: Sequence[int]) -> "Rows":
        """The rows at these places, in their order."""
        import pyarrow as pa

        return Rows(self.table.take(pa.array(places, pa.int64())))

    def items_digest(self) -> str:
        """Digest of the items that were answered, whatever their order."""
        return digest_json(sorted({(role, item) for role, item, _ in self.keys}))


def table_of(rows: Sequence[EvalRow]) -> "Table":
    """Rows as a table."""
    import pyarrow as pa

    fields = [(name, NUMBERS.get(name, "string")) for name in EvalRow.model_fields]
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in fields])
    columns = {name: [getattr(row, name) for row in rows] for name, _ in fields}
    return pa.table(columns, schema=schema.with_metadata({"speciate": __version__, "schema": SCHEMA}))


def write_rows(folder: Path, model: str, table: "Table") -> None:
    """Write the rows of one model. Raises StorageError."""
    import pyarrow.parquet as pq

    content = io.BytesIO()
    pq.write_table(table, content, compression=COMPRESSION, write_page_checksum=True)
    write_bytes(folder / f"{model}.parquet", content.getvalue())


def read_rows(folder: Path, model: str) -> Rows:
    """The rows of one model. Raises StorageError where the file is missing, damaged, or of another kind."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / f"{model}.parquet"
    try:
        # Not read_table: it loads pandas.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"{str(path)!r} cannot be read: {str(error).splitlines()[0]}") from error
    kind = (table.schema.metadata or {}).get(b"schema", b"").decode(errors="replace")
    if kind != SCHEMA or missing_fields(table):
        raise StorageError(f"{str(path)!r} is no file of rows that this version can read: {kind or 'unknown'!r}")
    rows = Rows(table)
    if problem := wrong(rows):
        raise StorageError(f"{str(path)!r} is damaged: {problem}")
    return rows


def wrong(rows: Rows) -> str:
    """What is wrong with rows that no evaluation wrote; nothing where they can be trusted to be paired."""
    import pyarrow as pa

    table: Any = rows.table
    for name, kind in ((name, NUMBERS.get(name, "string")) for name in EvalRow.model_fields):
        if table.schema.field(name).type != pa.type_for_alias(kind) or table.column(name).null_count:
            return f"its column {name!r} has other values than {kind}"
    if len(rows) and not set(table.column("role").unique().to_pylist()) <= set(ROLES):
        return "a row has an unknown role"
    if not all(0 <= score <= 1 for score in rows.scores):
        return "a score is outside 0 to 1"
    if len(set(rows.keys)) < len(rows):
        return "an answer is there twice"
    return ""


def missing_fields(table: "Table") -> list[str]:
    """Fields of a row that the table does not have."""
    return [name for name in EvalRow.model_fields if name not in table.column_names]


def file_digests(folder: Path) -> dict[str, str]:
    """The digest of every file of rows, losses and divergences in a folder: what a record is bound to."""
    return {path.name: digest_file(path) for path in sorted(folder.glob("[!.]*")) if path.is_file()}


def check_files(folder: Path, expected: Mapping[str, str]) -> None:
    """Raises StorageError where a file is missing or not the one that the record was made from."""
    for name, digest in expected.items():
        path = folder / Path(name).name
        if not path.is_file():
            raise StorageError(f"{str(path)!r} is missing: the record of this evaluation was made from it")
        if digest_file(path) != digest:
            raise StorageError(
                f"{str(path)!r} was changed after it was measured: the record of this evaluation was made from {digest}"
            )


def write_texts(folder: Path, model: str, losses: Sequence[TextLoss]) -> None:
    """Write the losses of one model."""
    write_json(folder / f"{model}-texts.json", [loss.model_dump() for loss in losses])


def read_texts(folder: Path, model: str) -> list[TextLoss]:
    """The losses of one model; none where none were measured."""
    return _read_list(TextLoss, folder / f"{model}-texts.json")


def write_drift(folder: Path, model: str, drift: Sequence[ItemDrift]) -> None:
    """Write the divergence of one model from its base."""
    write_json(folder / f"{model}-drift.json", [one.model_dump() for one in drift])


def read_drift(folder: Path, model: str) -> list[ItemDrift]:
    """The divergence of one model from its base; none where it was not measured."""
    return _read_list(ItemDrift, folder / f"{model}-drift.json")


def _read_list(kind: type[Line], path: Path) -> list[Line]:
    """Raises StorageError where the file is damaged."""
    if not path.exists():
        return []
    try:
        return [kind.model_validate(one) for one in read_json(path)]
    except (ValidationError, TypeError) as error:
        raise StorageError(f"{str(path)!r} is damaged: {' '.join(str(error).split()):.200}") from error
