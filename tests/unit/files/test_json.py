"""Files of JSON: lines, arrays, records over several lines; and what is none of these."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from aestream.errors import DataError
from aestream.files import json as files
from aestream.files import source
from aestream.files.json import read_records
from tests.unit.files import documents, numbers, problems, write

RECORDS = [{"a": i / 4, "note": 'x, ]} "\\ €', "b": {"c": [i]}} for i in range(300)]
LINES = "\n".join(map(json.dumps, RECORDS))
SHAPES = {
    "lines": LINES,
    "one line": "".join(map(json.dumps, RECORDS)),
    "commas": ", ".join(map(json.dumps, RECORDS)),
    "array": json.dumps(RECORDS),
    "array of lines": "[\n" + ",\n".join(map(json.dumps, RECORDS)) + "\n]\n",
    "pretty array": json.dumps(RECORDS, indent=2),
    "pretty records": "\n".join(json.dumps(record, indent=4, ensure_ascii=False) for record in RECORDS),
    "two arrays": json.dumps(RECORDS[:100], indent=1) + "\n" + json.dumps(RECORDS[100:], indent=1),
    "empty lines": "\n\n  " + LINES.replace("\n", "\r\n\r\n  "),
}


@pytest.mark.parametrize("chunk", [7, 500, 2**20])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_records_in_any_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str, chunk: int) -> None:
    # A file's first chunk tells its shape, and holds at least the beginning of the first record.
    monkeypatch.setattr(source, "CHUNK_BYTES", chunk)
    monkeypatch.setattr(files, "_CHUNK_RECORDS", 70)
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        if chunk > 100:
            path = write(tmp_path / "a.json", SHAPES[shape].encode(encoding))
            assert documents(path) == RECORDS
            assert numbers(path, "a") == [[record["a"]] for record in RECORDS]
    found = read_records(write(tmp_path / "b.json", SHAPES[shape]), None)
    if chunk > 100:
        assert [json.loads(line) for lines in found for line in lines] == RECORDS


def test_a_compressed_file(tmp_path: Path) -> None:
    assert documents(write(tmp_path / "a.jsonl.gz", gzip.compress(LINES.encode()))) == RECORDS


def test_a_bad_line_costs_itself_wherever_it_is(tmp_path: Path) -> None:
    for row, bad in ((0, "{"), (0, '{"a": 1'), (150, "}"), (299, '{"a": ')):
        lines = LINES.split("\n")
        lines[row] = bad
        path = write(tmp_path / "a.jsonl", "\n".join(lines))
        assert len(documents(path)) == 299
        assert [place for place, _ in problems(path, "a")] == [row]


def test_arrays_on_lines_stay_single_records(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '[{"a": 1}]\n[{"a": 2}, {"a": 3}]\n')
    assert [len(chunk) for chunk in read_records(path, None)] == [2]
    with pytest.raises(DataError, match=r"none of the 2 records in .*: an array of 1 record: set `unpack`"):
        documents(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "holds no records"),
        (" \n\n", "holds no records"),
        ("[]", "holds no records"),
        (json.dumps(RECORDS, indent=1)[:-30], "cannot be read after 299 records: it is not JSON"),
        (json.dumps(RECORDS)[:-1], "cannot be read after 300 records: it is not JSON: it ends within an array"),
        (json.dumps(RECORDS, indent=1).replace('"b"', "b", 1), "cannot be read after 0 records"),
        ("7", "none of the 1 records"),
        ("[" * 100_000, "none of the 1 records"),
        ("[\n", "it ends within an array"),
        ('{"a":' * 100_000, "none of the 1 records"),
        (b"\0" * 100, "holds no text"),
    ],
    ids=range(11),
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, content: str | bytes, words: str) -> None:
    path = write(tmp_path / "a.json", content)
    with pytest.raises(DataError) as caught:
        documents(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(files, "_LONGEST_LINE", 5000)
    with pytest.raises(DataError, match="a line of more than 5000 bytes"):
        documents(write(tmp_path / "a.json", '{"a": 1}\n' + "x" * 10_000))
