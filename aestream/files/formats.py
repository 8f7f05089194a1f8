"""The formats of files, by their names, and their records: as lines of JSON, or as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.parquet

from aestream.errors import ConfigurationError, DataError
from aestream.features.arrow import Problems, repeated
from aestream.features.schema import FeatureSchema
from aestream.files.csv import read_csv
from aestream.files.source import readable

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]

CHUNK_ROWS = 10_000
_FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".lz4": "lz4"}


def format_of(path: Path) -> Format:
    """`csv`, `jsonl` or `parquet`, by the suffix, or by that before .gz and the like. Raises ConfigurationError."""
    suffix = path.suffix.lower()
    inner = Path(path.stem).suffix.lower()
    found = _FORMATS.get(inner if suffix in COMPRESSIONS else suffix)
    if found is None or (found == "parquet" and suffix in COMPRESSIONS):
        known, compressed = ", ".join(_FORMATS), ", ".join(COMPRESSIONS)
        raise ConfigurationError(
            f"{path} has an unknown format: give a file whose name ends in {known}; {compressed} may follow, except "
            "for Parquet"
        )
    return found


def read_tables(
    path: Path, schema: FeatureSchema | None = None, encoding: str | None = None, beside: Sequence[str] = ()
) -> Iterator[tuple[pa.Table, Problems]]:
    """A CSV or Parquet file as tables, and what is wrong with rows that cannot be read, by their place in the table.

    With a schema, columns that it does not need may be left out, but for those `beside` it. Raises DataError when the
    file is not what its name says.
    """
    if format_of(path) == "csv":
        yield from read_csv(path, encoding, schema, beside)
        return
    with readable(path), pyarrow.parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if twice := repeated(names):
            raise DataError(f"{path} has two columns called {twice!r}: rename one")
        for batch in file.iter_batches(batch_size=CHUNK_ROWS):
            yield pa.Table.from_batches([batch]), {}
