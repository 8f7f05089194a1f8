"""A sample of the records of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aestream.codecs.json import JsonCodec
from aestream.files.formats import CHUNK_ROWS
from aestream.sampling.file import FileSampler


@pytest.mark.parametrize(("rows", "remedy"), [(CHUNK_ROWS, "use a file"), (CHUNK_ROWS + 1, "raise `sample_records`")])
def test_what_to_do_about_a_small_sample_depends_on_whether_the_file_holds_more(
    tmp_path: Path, rows: int, remedy: str
) -> None:
    # The sample is as long as a chunk: that a next one follows must be found out.
    load = np.random.default_rng(0).normal(size=rows)
    pq.write_table(pa.table({"load": load}), tmp_path / "past.parquet")
    sampler = FileSampler(tmp_path / "past.parquet", JsonCodec(max_record_bytes=10_000), records=CHUNK_ROWS)
    found = sampler.sample(progress=lambda _seen, _wanted: None)
    assert len(found.matrix) == CHUNK_ROWS
    assert found.remedy.startswith(remedy)
