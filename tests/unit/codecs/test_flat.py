"""The decoder in C: which records it reads, and to which it leaves all others."""

from __future__ import annotations

import json
import logging
import struct
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from aestream.codecs import flat
from aestream.codecs.flat import FlatRows
from aestream.codecs.json import JsonDecoder
from aestream.columns import TEXT, Column, Kind
from aestream.types import Reason

LIMIT = 300
PATHS = (("load",), ("é",), ("up",), ("at",))
COLUMNS = (Column(), Column(imputed=True), Column(Kind.BOOLEAN), Column(Kind.TIMESTAMP, unit="ms"))
GOOD = b'{"load":1.5,"\xc3\xa9":-2,"up":true,"at":5}'


@pytest.fixture
def rows(decoder_in_c: ModuleType, monkeypatch: pytest.MonkeyPatch) -> FlatRows:
    monkeypatch.setattr(flat, "aestream_speedups", decoder_in_c)
    made = FlatRows.of(PATHS, COLUMNS, (), max_record_bytes=LIMIT)
    assert made is not None
    return made


def read(rows: FlatRows, *values: bytes | None) -> list[list[float]]:
    """What is read of values, all of which are as expected."""
    decoded, others = rows.read(list(values), range(len(values)))
    assert not others
    found: list[list[float]] = decoded.matrix.tolist()
    return found


@pytest.mark.parametrize(
    "value",
    [
        GOOD,
        b' \n{ "at" : 5 ,\t"load":1.5,"up":true,"\xc3\xa9":-2 }\r\n ',
        b'{"x":null,"load":15e-1,"y":{"load":[1,{"up":2}],"":"\\"\\\\"},"\xc3\xa9":-2.0,"up":true,"at":5,"z":"\xe2\x82\xac\\u20aC"}',
    ],
    ids=["plain", "another order, with spaces", "with other fields"],
)
def test_the_fields_are_read_by_their_names(rows: FlatRows, value: bytes) -> None:
    assert read(rows, value) == [[1.5, -2.0, 1.0, 0.005]]


@pytest.mark.parametrize("value", [GOOD.replace(b"-2", b"null"), GOOD.replace(b'"\xc3\xa9":-2,', b"")])
def test_a_missing_value_is_nan_where_the_column_is_imputed(rows: FlatRows, value: bytes) -> None:
    assert np.array_equal(read(rows, value), [[1.5, np.nan, 1.0, 0.005]], equal_nan=True)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{}",
        b"[]",
        GOOD[:-1],
        GOOD + b"x",
        GOOD + GOOD,
        b"\xef\xbb\xbf" + GOOD,
        GOOD + b" " * LIMIT,
        GOOD.replace(b"}", b",}"),
        GOOD.replace(b"}", b',"load":1.5}'),
        GOOD.replace(b'"load"', b'"lo\\u0061d"'),
        GOOD.replace(b"1.5", b'"1.5"'),
        GOOD.replace(b"1.5", b"null"),
        GOOD.replace(b"1.5", b"[1.5]"),
        GOOD.replace(b"1.5", b"true"),
        GOOD.replace(b"true", b"1"),
        GOOD.replace(b"true", b"truer"),
        *(GOOD.replace(b"1.5", text) for text in (b"NaN", b"-", b"01", b"1.", b".5", b"1e", b"+1", b"1e999", b"0x1")),
        GOOD.replace(b"1.5", b"1." + b"3" * 99),
        GOOD.replace(b"1.5", b"0." + b"0" * 99 + b"1e99"),
        GOOD.replace(b"1.5", b"1e308" + b"0" * 3),
        GOOD.replace(b"1.5", b"-0"),
        *(
            GOOD.replace(b"}", b',"x":' + text + b"}")
            for text in (b'"\xff"', b'"\n"', b'"\\x"', b'"\\ud800"', b"tru", b"[1,]")
        ),
        GOOD.replace(b"}", b',"x":' + b"[" * 50 + b"]" * 50 + b"}"),
    ],
    ids=repr,
)
def test_what_is_not_sure_is_left(rows: FlatRows, value: bytes | None) -> None:
    decoded, others = rows.read([GOOD, value, GOOD], range(3))
    assert list(others) == [1]
    assert decoded.rows.tolist() == [0, 2]
    assert decoded.matrix.tolist() == [[1.5, -2.0, 1.0, 0.005]] * 2


@pytest.mark.parametrize(
    "text",
    ["0", "-0.0", "1", "-17", "0.1", "2.2250738585072011e-308", "9007199254740993", "9007199254740993.0",
     "0.30000000000000004", "1234567890.123456789", "9999999999999999999", "18446744073709551615",
     "1.7976931348623157e308", "5e-324", "1e22", "1e23", "-1.7976931348623157e27", "8.41e21",
     "0.000001234567890123456", "7450580596923828125e-27", "9223372036854775807", "1E+5", "5e-7", "0e-999"],
)  # fmt: skip
def test_numbers_are_the_nearest_doubles(decoder_in_c: ModuleType, text: str) -> None:
    matrix, done = np.empty((1, 1)), np.empty(1, np.bool_)
    decoder_in_c.numbers([f'{{"load":{text}}}'.encode()], ("load",), bytes(1), LIMIT, matrix, done)
    assert done[0]
    assert struct.pack("d", matrix[0, 0]) == struct.pack("d", float(text))


def test_rows_keep_their_places(rows: FlatRows) -> None:
    values = [GOOD, None, GOOD.replace(b"1.5", b"2"), b"[]", GOOD.replace(b"1.5", b"3")]
    decoded, others = rows.read(values, [0, 2, 3, 4])
    assert decoded.rows.tolist() == [0, 2, 4]
    assert decoded.matrix[:, 0].tolist() == [1.5, 2.0, 3.0]
    assert list(others) == [3]


@pytest.mark.usefixtures("rows")
def test_the_rest_of_a_batch_is_decoded_as_without() -> None:
    decoder = JsonDecoder(PATHS, COLUMNS, max_record_bytes=LIMIT)
    odd = json.dumps({"load": "7", "up": False, "at": 1000}).encode()
    decoded = decoder.decode([GOOD, b"{", odd, GOOD, b'{"load":1}'])
    assert decoded.rows.tolist() == [0, 2, 3]
    assert decoded.matrix[:, 0].tolist() == [1.5, 7.0, 1.5]
    assert [(problem.row, problem.reason) for problem in decoded.invalid] == [
        (1, Reason.BAD_JSON),
        (4, Reason.MISSING_FEATURE),
    ]


@pytest.mark.parametrize(
    ("paths", "column"),
    [
        ([("cpu", "user")], Column()),
        ([("mode",)], Column(Kind.CATEGORICAL, ("a", "b"))),
        ([("at",)], Column(Kind.TIMESTAMP, unit=TEXT)),
        ([("load",)], Column(quoted=True)),
    ],
    ids=["nested", "category", "time as text", "numbers in quotes"],
)
def test_other_columns_are_not_for_it(rows: FlatRows, paths: list[tuple[str, ...]], column: Column) -> None:
    assert rows.of(paths, [column], (), max_record_bytes=LIMIT) is None


def test_fields_beside_the_features_are_not_for_it_and_the_log_says_so(
    rows: FlatRows, caplog: pytest.LogCaptureFixture
) -> None:
    flat._say.cache_clear()
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert rows.of(PATHS, COLUMNS, ["time"], max_record_bytes=LIMIT) is None
    (line,) = caplog.messages
    assert line.startswith("aestream-speedups is not used")


@pytest.mark.parametrize("module", [None, SimpleNamespace(INTERFACE=0)], ids=["not installed", "another interface"])
def test_without_the_decoder_records_are_read_all_the_same(
    monkeypatch: pytest.MonkeyPatch, module: SimpleNamespace | None
) -> None:
    monkeypatch.setattr(flat, "aestream_speedups", module)
    assert FlatRows.of(PATHS, COLUMNS, (), max_record_bytes=LIMIT) is None
    assert JsonDecoder(PATHS, COLUMNS, max_record_bytes=LIMIT).decode([GOOD]).matrix.tolist() == [
        [1.5, -2.0, 1.0, 0.005]
    ]


@pytest.mark.parametrize(
    ("names", "columns", "matrix", "done"),
    [
        (("a", "b"), 1, (1, 2), 1),
        (("a",), 1, (2, 1), 1),
        (("a",), 1, (1, 2), 1),
        (("a",), 1, (1, 1), 2),
        (("a", "a"), 2, (1, 2), 1),
        (('a"b',), 1, (1, 1), 1),
        (("a\\b",), 1, (1, 1), 1),
        (("\ud800",), 1, (1, 1), 1),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_an_error(
    decoder_in_c: ModuleType, names: tuple[str, ...], columns: int, matrix: tuple[int, int], done: int
) -> None:
    with pytest.raises(ValueError, match=r"fit|name|surrogates"):
        decoder_in_c.numbers([b"{}"], names, bytes(columns), LIMIT, np.empty(matrix), np.empty(done, np.bool_))
