import math
import random
from typing import Any

import numpy as np
import pytest

from aestream.errors import DataError, ModelError
from aestream.features.schema import FeatureSchema, LeftOut, infer_schema

RANDOM = random.Random(0)
NOISE = [RANDOM.gauss(50, 10) for _ in range(400)]


def records(**fields: Any) -> list[dict[str, Any]]:
    """400 records with a good feature `load`, and what each function of the row number gives."""
    return [
        {"load": NOISE[row], **{name: value(row) for name, value in fields.items() if value(row) is not ...}}
        for row in range(400)
    ]


def reason(name: str, left_out: list[LeftOut]) -> str:
    return next(item.reason for item in left_out if item.name == name)


def test_nested_numbers_are_features_by_path() -> None:
    sample = [{"host": {"cpu": {"user": NOISE[i], "sys": NOISE[-i]}}, "t": NOISE[i] + 1} for i in range(400)]
    schema, left_out = infer_schema(sample)
    assert schema.names == ("host.cpu.user", "host.cpu.sys", "t")
    assert schema.paths == (("host", "cpu", "user"), ("host", "cpu", "sys"), ("t",))
    assert left_out == []
    assert schema.matrix(sample[:2]).tolist() == [
        [NOISE[0], NOISE[0], NOISE[0] + 1],
        [NOISE[1], NOISE[-1], NOISE[1] + 1],
    ]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("city", lambda _: "Bern", "not numeric: text"),
        ("amount", lambda row: str(NOISE[row]), "not numeric: text"),
        ("ok", lambda row: row % 2 == 0, "not numeric: true/false"),
        ("tags", lambda _: [1, 2], "not numeric: a list"),
        ("mixed", lambda row: "n/a" if row % 4 == 0 else NOISE[row], "not numeric: text in 25 % of the records"),
        ("rare", lambda row: NOISE[row] if row % 2 else ..., "missing in 50 % of the records"),
        ("nullish", lambda row: NOISE[row] if row % 2 else None, "null or missing in 50 % of the records"),
        ("nan", lambda row: NOISE[row] if row % 2 else math.nan, "null or missing in 50 % of the records"),
        ("nothing", lambda _: None, "null or missing in 100 % of the records"),
        ("version", lambda _: 7, "constant: always 7"),
        ("user_id", lambda row: (row * 7919) % 100_003, "an identifier: whole numbers, nearly all different"),
        ("orderId", lambda row: (row * 7919) % 100_003, "an identifier: whole numbers, nearly all different"),
        ("seq", lambda row: 1000 + row, "ever rising: a counter or a clock"),
        ("bytes_total", lambda row: 10 * (row // 3), "ever rising: a counter or a clock"),
        ("cpu_seconds", lambda row: 0.1 + row * 0.37, "ever rising: a counter or a clock"),
        ("s", lambda row: 1_700_000_000 + row, "a timestamp: seconds since 1970"),
        ("at_ms", lambda row: 1_700_000_000_000 + 950 * row, "a timestamp: milliseconds since 1970"),
        ("event_time", lambda row: 1_700_000_000_000_000 + (row * 7919) % 1000, "a timestamp: microseconds since 1970"),
        ("ns", lambda row: 1_700_000_000_000_000_000 + 10**9 * row, "a timestamp: nanoseconds since 1970"),
    ],
)
def test_what_is_no_feature_is_left_out_with_the_reason(name: str, value: Any, expected: str) -> None:
    schema, left_out = infer_schema(records(**{name: value}))
    assert schema.names == ("load",)
    assert reason(name, left_out) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", lambda row: int(NOISE[row])),  # whole numbers that go up and down
        ("bytes", lambda row: 1_500_000_000 + int(NOISE[row] * 1e6)),  # in the range of epoch seconds, but a gauge
        ("huge", lambda row: (1 << 70) + int(NOISE[row] * 2**66)),
        ("level", lambda row: 5 if row < 200 else 6),  # a level that shifted once is no counter
        ("gappy", lambda row: ... if row == 7 else NOISE[row]),  # missing in 0.25 %
        ("width", lambda row: (row * 7919) % 100_003),  # all different, but not called an identifier
    ],
)
def test_what_only_looks_like_an_identifier_stays(name: str, value: Any) -> None:
    assert infer_schema(records(**{name: value}))[0].names == ("load", name)


def test_include_and_exclude_are_patterns() -> None:
    sample = [{"cpu": {"user": NOISE[i], "sys": NOISE[-i]}, "disk": NOISE[i]} for i in range(400)]
    assert infer_schema(sample, include=["cpu.*"])[0].names == ("cpu.user", "cpu.sys")
    schema, left_out = infer_schema(sample, exclude=["*.sys"])
    assert schema.names == ("cpu.user", "disk")
    assert reason("cpu.sys", left_out) == "excluded by name"
    assert infer_schema(sample, include=["cpu.*"], exclude=["*.sys"])[0].names == ("cpu.user",)


def test_an_exact_name_forces_a_number_in() -> None:
    sample = records(version=lambda _: 7, seq=lambda row: row)
    assert infer_schema(sample, include=["load", "version", "seq"])[0].names == ("load", "version", "seq")
    assert infer_schema(sample, include=["*", "version"])[0].names == ("load", "version")


def test_what_cannot_be_forced_in_is_an_error() -> None:
    with pytest.raises(DataError, match="'city' is to be included, but cannot be: not numeric: text"):
        infer_schema(records(city=lambda _: "Bern"), include=["city"])
    with pytest.raises(DataError, match="'lod' is to be included, but no record"):
        infer_schema(records(), include=["lod"])


def test_nothing_left_is_an_error_that_says_what_was_found() -> None:
    with pytest.raises(DataError, match="city: not numeric: text"):
        infer_schema([{"city": "Bern"}] * 50)
    with pytest.raises(DataError, match="no records"):
        infer_schema([])
    with pytest.raises(DataError, match="no fields at all"):
        infer_schema([{}] * 50)


def test_a_key_with_a_dot_is_not_a_path() -> None:
    schema, _ = infer_schema([{"a.b": NOISE[i]} for i in range(400)])
    assert schema.paths == (("a.b",),)
    with pytest.raises(DataError, match=r"two features are called 'a\.b'"):
        infer_schema([{"a.b": NOISE[i], "a": {"b": NOISE[-i]}} for i in range(400)])


def test_few_records_do_not_make_a_rising_number_a_counter() -> None:
    assert infer_schema([{"x": i} for i in range(20)])[0].names == ("x",)


def test_the_hash_tells_schemas_apart() -> None:
    schema = FeatureSchema(("a.b", "c"), (("a", "b"), ("c",)))
    assert FeatureSchema.from_dict(schema.to_dict()) == schema
    assert len(schema.hash) == 64
    others = [
        FeatureSchema(("c", "a.b"), (("c",), ("a", "b"))),
        FeatureSchema(("a.b", "c"), (("a.b",), ("c",))),
        FeatureSchema.of_names(["a", "c"]),
    ]
    assert len({schema.hash, *(other.hash for other in others)}) == 4


@pytest.mark.parametrize("data", [{}, {"names": ["a"]}, {"names": ["a"], "paths": []}, {"names": 3, "paths": 4}])
def test_a_damaged_schema_is_a_model_error(data: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="feature schema"):
        FeatureSchema.from_dict(data)


@pytest.mark.parametrize(
    ("value", "what"),
    [(None, "null"), ("7", "text"), (True, "true/false"), (10**400, "too large"), (math.inf, "too large")],
)
def test_a_record_that_does_not_fit_is_named(value: Any, what: str) -> None:
    schema = FeatureSchema.of_names(["x", "y"])
    with pytest.raises(DataError, match=f"record 1: feature 'y' is .*{what}"):
        schema.matrix([{"x": 1, "y": 2}, {"x": 1, "y": value}])
    with pytest.raises(DataError, match="record 0: feature 'y' is missing"):
        schema.matrix([{"x": 1}])


def test_numpy_numbers_are_numbers() -> None:
    assert FeatureSchema.of_names(["x"]).matrix([{"x": np.int64(3)}, {"x": np.float32(0.5)}]).tolist() == [[3.0], [0.5]]
