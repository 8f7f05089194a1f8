import math
from typing import Any

import numpy as np
import pytest

from aestream.artefact import FieldNote
from aestream.columns import Column, Kind
from aestream.errors import DataError
from aestream.features.schema import FeatureSchema
from aestream.inference.documents import Documents
from aestream.inference.infer import infer
from aestream.inference.selection import Selection, imputes

NOISE: list[float] = np.random.default_rng(0).normal(50, 10, 400).tolist()


def records(**fields: Any) -> list[dict[str, Any]]:
    """400 records with a good feature `load`, and what each function of the row number gives."""
    return [
        {"load": NOISE[row], **{name: value(row) for name, value in fields.items() if value(row) is not ...}}
        for row in range(400)
    ]


def infer_schema(sample: list[dict[str, Any]], **selection: Any) -> tuple[FeatureSchema, list[FieldNote]]:
    found = infer(Documents(sample), Selection(**selection))
    return found.schema(), [note for note in found.notes if not note.used]


def reason(name: str, left_out: list[FieldNote]) -> str:
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
        ("city", lambda _: "Bern", "constant: always 'Bern'"),
        ("odd", lambda row: "off" if row % 4 == 0 else NOISE[row], "not numeric: text in 25 % of the records"),
        ("message", lambda row: f"took {NOISE[row]} ms", "free text or names: 400 different values in 400 records"),
        ("customer", lambda row: f"c{row % 40}", "free text or names: 40 different values in 400 records"),
        ("session_id", lambda row: f"{row:08x}-x", "an identifier: text, nearly all different"),
        ("at", lambda row: f"2026-01-01T00:00:{row % 60:02}Z", "a date or a time as text"),
        ("flags", lambda row: row % 2 == 0 if row % 4 else "no", "not true/false: text in 25 % of the records"),
        ("tags", lambda _: [1, 2], "not numeric: a list"),
        ("items", lambda _: [{"a": 1}], "a list of objects"),
        ("mixed", lambda row: "n/a" if row % 4 == 0 else NOISE[row], "null or missing in 25 % of the records"),
        ("rare", lambda row: NOISE[row] if row % 2 else ..., "missing in 50 % of the records"),
        ("nullish", lambda row: NOISE[row] if row % 2 else None, "null or missing in 50 % of the records"),
        ("nan", lambda row: NOISE[row] if row % 2 else math.nan, "null or missing in 50 % of the records"),
        ("nothing", lambda _: None, "null or missing in 100 % of the records"),
        ("user_id", lambda row: (row * 7919) % 100_003, "an identifier: whole numbers, many of them different"),
        ("orderId", lambda row: (row * 7919) % 100_003, "an identifier: whole numbers, many of them different"),
        ("customer_id", lambda row: (row * 7919) % 103, "an identifier: whole numbers, many of them different"),
        ("shipped", lambda row: f"2026-01-{row % 28 + 1:02}" if row % 3 else None, "a date or a time as text"),
        ("seq", lambda row: 1000 + row, "a counter: only rises"),
        ("bytes_total", lambda row: 10 * (row // 3), "a counter: only rises"),
        ("cpu_seconds", lambda row: 0.1 + row * 0.37, "a counter: only rises"),
        ("s", lambda row: 1_700_000_000 + row, "a timestamp: seconds since 1970"),
        ("at_ms", lambda row: 1_700_000_000_000 + 950 * row, "a timestamp: milliseconds since 1970"),
        (
            "event_time",
            lambda row: 1_700_000_000_000_000 + 200 * row + (row * 7919) % 1000,
            "a timestamp: microseconds since 1970",
        ),
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
        ("paid", lambda row: (row * 7919) % 103),
        ("zone_id", lambda row: (row * 7919) % 7),
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
    sample = records(city=lambda _: "Bern", seq=lambda row: row)
    assert infer_schema(sample, include=["load", "city", "seq"])[0].names == ("load", "city", "seq")
    assert infer_schema(sample, include=["*", "city"])[0].names == ("load", "city")


def test_a_constant_number_or_flag_is_a_feature_that_may_not_move() -> None:
    schema, left_out = infer_schema(records(errors=lambda _: 0, up=lambda _: True))
    assert schema.columns[1:] == (Column(imputed=True, steady=True), Column(Kind.BOOLEAN, imputed=True, steady=True))
    assert left_out == []


def test_a_rounding_error_does_not_make_a_constant_move() -> None:
    schema = infer_schema(records(limit=lambda row: 0.1 + 0.2 if row % 2 else 0.3))[0]
    assert schema.columns[1:] == (Column(imputed=True, steady=True),)


def test_numbers_in_quotes_are_numbers_and_words_for_nothing_are_missing() -> None:
    schema, _ = infer_schema(records(amount=lambda row: "N/A" if row == 7 else f"{NOISE[row]:.3f}"))
    assert schema.columns == (Column(), Column(quoted=True))
    schema, _ = infer_schema(records(amount=lambda row: "-" if row == 7 else NOISE[row]))
    assert schema.columns == (Column(), Column())


def test_numbers_with_decimal_commas_are_told() -> None:
    left_out = infer_schema(records(amount=lambda row: f"{NOISE[row]:.3f}".replace(".", ",")))[1]
    assert reason("amount", left_out) == "numbers with commas, such as '51,257': write them with a point"


def test_units_of_a_counter_are_read_and_it_is_left_out() -> None:
    left_out = infer_schema(records(sent=lambda row: f"{row * 3} kB"), units=["sent"])[1]
    assert reason("sent", left_out) == "a counter: only rises"


@pytest.mark.parametrize("name", ["a,b", " a", "x[*]", "line\nbreak", 'req{path="/a,b"}', "say `hi`"])
def test_the_remedy_finds_a_field_of_any_name(name: str) -> None:
    sample = records(**{name: lambda row: -row * 3})
    (note,) = infer_schema(sample)[1]
    option, _, wanted = note.remedy.strip("`").partition("=")
    assert option == "include"
    assert infer_schema(sample, include=wanted.split(","))[0].names == ("load", name)


def test_what_cannot_be_forced_in_is_an_error() -> None:
    with pytest.raises(DataError, match="'name' is named in `include`, but cannot be used: free text"):
        infer_schema(records(name=lambda row: f"n{row}"), include=["name"])
    with pytest.raises(DataError, match="'lod' is named in `include`, but no record"):
        infer_schema(records(), include=["lod"])


def test_nothing_left_is_an_error_that_says_what_was_found() -> None:
    with pytest.raises(DataError, match="city: constant: always 'Bern'"):
        infer_schema([{"city": "Bern"}] * 50)
    with pytest.raises(DataError, match="no records"):
        infer_schema([])
    with pytest.raises(DataError, match="no fields at all"):
        infer_schema([{}] * 50)


def test_a_key_with_a_dot_is_not_a_path() -> None:
    schema, _ = infer_schema([{"a.b": NOISE[i]} for i in range(400)])
    assert schema.paths == (("a.b",),)
    both, left_out = infer_schema([{"a.b": NOISE[i], "a": {"b": NOISE[-i]}} for i in range(400)])
    assert both.paths == (("a.b",),)
    assert reason("a.b", left_out) == "another field has the same name: rename one of them"


def test_few_records_do_not_make_a_rising_number_a_counter() -> None:
    assert infer_schema([{"x": i} for i in range(20)])[0].names == ("x",)


@pytest.mark.parametrize(
    ("name", "value", "column"),
    [
        ("region", lambda row: f"eu-{row % 3}", Column(Kind.CATEGORICAL, ("eu-0", "eu-1", "eu-2"))),
        ("ok", lambda row: row % 50 != 0, Column(Kind.BOOLEAN)),
    ],
)
def test_few_different_texts_and_booleans_are_features(name: str, value: Any, column: Column) -> None:
    schema, left_out = infer_schema(records(**{name: value}))
    assert schema.names == ("load", name)
    assert schema.columns == (Column(), column)
    assert left_out == []


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (lambda row: f"2026-01-01T{row % 24:02}:00:00Z", "text"),
        (lambda row: f"2026-01-{row % 28 + 1:02}", "text"),
        (lambda row: 1_700_000_000 + row, "s"),
        (lambda row: 1_700_000_000_000_000_000 + 10**9 * row, "ns"),
    ],
)
def test_a_timestamp_is_a_feature_when_asked_for_by_name(value: Any, unit: str) -> None:
    sample = records(at=value)
    assert infer_schema(sample)[0].names == ("load",)
    schema, _ = infer_schema(sample, timestamps=["at"], include=["load"])
    assert schema.columns == (Column(), Column(Kind.TIMESTAMP, unit=unit))
    with pytest.raises(DataError, match="'load' is named in `timestamps`, but cannot be used: neither ISO 8601"):
        infer_schema(sample, timestamps=["load"])


def test_missing_values_are_no_hindrance_where_they_may_be_imputed() -> None:
    sample = records(
        rare=lambda row: NOISE[row] if row % 2 else None,
        kind=lambda row: "ab"[row % 4 == 0] if row % 3 else ...,
        seldom=lambda row: 1.5 * row if row % 20 == 0 else ...,
    )
    assert infer_schema(sample)[0].names == ("load",)
    schema, left_out = infer_schema(sample, missing=["impute", "load=dead_letter"])
    assert schema.columns == (Column(), Column(imputed=True), Column(Kind.CATEGORICAL, ("a", "b"), imputed=True))
    assert reason("seldom", left_out) == "missing in 95 % of the records: too many to impute"
    assert infer_schema(sample, missing=["rare=impute"])[0].names == ("load", "rare")
    findings = infer(Documents(sample)).findings
    assert {found.name: found.missing for found in findings} == pytest.approx(
        {"load": 0, "rare": 0.5, "seldom": 0.95, "kind": 134 / 400}
    )


def test_the_last_policy_that_names_a_feature_wins() -> None:
    assert not imputes("a", [])
    assert imputes("a", ["impute"])
    assert not imputes("cpu.user", ["impute", "cpu.*=dead_letter"])
    assert imputes("a=b", ["a=b=impute"])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("extreme", [1e308, 1e-320])
def test_numbers_at_the_limits_of_a_double_are_judged_without_a_warning(extreme: float) -> None:
    random = np.random.default_rng(1)
    sample = records(far=lambda _: float(random.choice([-extreme, 0.0, extreme])))
    assert infer_schema(sample)[0].names == ("load", "far")
    assert infer(Documents(sample[:1], timestamps=np.array([2**62]))).stamps.tolist() == []


@pytest.mark.parametrize(("start", "dated"), [(0, False), (1_700_000_000, True)])
def test_times_order_the_records_from_whenever_they_count(start: int, *, dated: bool) -> None:
    newest_first = records(at=lambda row: start + 60 * row, served=lambda row: 500 * row + row % 7)[::-1]
    found = infer(Documents(newest_first), Selection(time="at", rates=True))
    served = next(finding for finding in found.findings if finding.name == "served")
    assert served.reason == "a counter: used by its increase per second"
    assert (len(found.stamps) > 0) is dated


def test_a_key_is_a_name_and_no_glob() -> None:
    sample = records(host=lambda row: f"h{row % 3}")
    with pytest.raises(DataError, match=r"the field 'hos\*' is named in `key`, but no record of the sample has it"):
        infer_schema(sample, key=["hos*"])
    assert infer_schema(sample, key=["host"])[0].names == ("load", "host")
