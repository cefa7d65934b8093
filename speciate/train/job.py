"""What the processes of one training read: everything that decides it, and the rows as tokens.

`job.json` and Parquet files in a folder of the run. Each process builds the same adapter from it, which the digest of
the fresh adapter proves. Knows nothing of how processes are started.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from speciate.models.base import BaseSource, Compute
from speciate.models.shape import LoraShape
from speciate.recipe.hardware import Hardware
from speciate.storage import read_json, unreadable, write_bytes, write_json
from speciate.train.divergence import KlGuard
from speciate.train.encoding import Encoded
from speciate.train.sft import Sft
from speciate.train.token_losses import PLAIN, TokenLoss

if TYPE_CHECKING:
    # pyarrow has no types of its own.
    Table = Any

JOB = "job.json"
FILES = ("rows", "dev", "held", "niche", "general")


@dataclass(frozen=True)
class Job:
    """One training."""

    source: BaseSource
    compute: Compute
    quantization: str
    shape: LoraShape
    settings: Sft
    hardware: Hardware
    fresh: str
    """Digest of the adapter before its first step."""
    rows: Sequence[Encoded]
    dev: Sequence[Encoded]
    kl: KlGuard | None = None
    loss: TokenLoss = PLAIN
    names: tuple[str, ...] = ()
    """Of the rows, for messages."""
    niche: Sequence[Encoded] = ()
    """What an adapter begins from that looks at rows of the niche."""
    general: Sequence[Encoded] = ()
    """The same, of general rows."""

    def write(self, folder: Path) -> None:
        """Put it into `folder`; the rows go into files of their own."""
        held = self.kl.rows if self.kl else ()
        for name, rows in zip(FILES, (self.rows, self.dev, held, self.niche, self.general), strict=True):
            write_bytes(folder / f"{name}.parquet", packed(rows))
        bare = replace(self, rows=(), dev=(), niche=(), general=(), kl=self.kl and replace(self.kl, rows=()))
        write_json(folder / JOB, TypeAdapter(Job).dump_python(bare, mode="json"))


def read_job(folder: Path) -> Job:
    """What `Job.write` wrote. Raises Damaged."""
    try:
        bare = TypeAdapter(Job).validate_python(read_json(folder / JOB))
    except ValidationError as error:
        raise unreadable(folder / JOB, error) from error
    rows, dev, held, niche, general = (unpacked(folder / f"{name}.parquet") for name in FILES)
    return replace(bare, rows=rows, dev=dev, niche=niche, general=general, kl=bare.kl and replace(bare.kl, rows=held))


def packed(rows: Sequence[Encoded]) -> bytes:
    """Rows as the bytes of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = pa.list_(pa.int32())
    table = pa.table(
        {
            "input_ids": pa.array([row.input_ids for row in rows], numbers),
            "labels": pa.array([row.labels for row in rows], numbers),
        }
    )
    written = io.BytesIO()
    pq.write_table(table, written, compression="zstd")
    return written.getvalue()


def unpacked(path: Path) -> list[Encoded]:
    """The rows that `packed` wrote. Raises Damaged."""
    import pyarrow.parquet as pq

    try:
        table: Table = pq.read_table(path)
        columns = table.column("input_ids").to_pylist(), table.column("labels").to_pylist()
    except (OSError, ValueError, KeyError) as error:
        raise unreadable(path, error) from error
    return [Encoded(ids, labels) for ids, labels in zip(*columns, strict=True)]
