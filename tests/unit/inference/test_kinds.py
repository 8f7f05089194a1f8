from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from aestream.inference.kinds import RecordKind, record_kinds

SEEDS = range(10)
Records = Sequence[Mapping[str, object]]


def kinds(records: Records) -> list[RecordKind]:
    rows: dict[str, list[int]] = {}
    for row, record in enumerate(records):
        for name in record:
            rows.setdefault(name, []).append(row)
    texts = {
        name: [value if isinstance(value := record.get(name), str) else None for record in records] for name in rows
    }
    return record_kinds(rows, {name: column for name, column in texts.items() if any(column)}, len(records))


def telegraf(row: int) -> dict[str, object]:
    common = {"name": ("cpu", "mem", "net")[row % 3], "host": f"web-{row % 2}", "timestamp": row}
    own: Sequence[dict[str, object]] = (
        {"cpu": "cpu-total", "idle": 1.0, "user": 2.0},
        {"used": 3.0},
        {"interface": "eth0", "received": row, "drops": 0},
    )
    return {**common, **own[row % 3]}


def test_kinds_with_a_name_each() -> None:
    assert kinds([telegraf(row) for row in range(1500)]) == [
        RecordKind("cpu", 1 / 3, ["cpu", "idle", "user"], "name=cpu"),
        RecordKind("mem", 1 / 3, ["used"], "name=mem"),
        RecordKind("net", 1 / 3, ["interface", "received", "drops"], "name=net"),
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_gaps_in_the_fields_of_a_kind_do_not_matter(seed: int) -> None:
    random = np.random.default_rng(seed)
    records = [telegraf(int(row)) for row in random.integers(0, 3000, 3000)]
    for record in records:
        for name in ("user", "drops", "timestamp"):
            if random.random() < 0.2:
                record.pop(name, None)
        if random.random() < 0.1:
            record["note"] = "x"
    found = kinds(records)
    assert {kind.where for kind in found} == {"name=cpu", "name=mem", "name=net"}
    assert {kind.name: set(kind.fields) for kind in found}["cpu"] == {"cpu", "idle", "user"}


def test_kinds_without_a_name() -> None:
    found = kinds([{"host": "a", **({"temperature": 20.0} if row % 4 else {"power": 3.0})} for row in range(400)])
    assert found == [
        RecordKind("with temperature", 0.75, ["temperature"], ""),
        RecordKind("with power", 0.25, ["power"], ""),
    ]


def test_what_has_none_of_the_fields_is_a_kind_too() -> None:
    own: Sequence[dict[str, object]] = ({"a": 1}, {"b": 1}, {})
    found = kinds([{"x": 1, **own[row % 3]} for row in range(300)])
    assert [(kind.name, kind.fields) for kind in found] == [("with a", ["a"]), ("with b", ["b"]), ("others", [])]


def test_several_fields_that_are_there_or_not_together_make_a_kind() -> None:
    found = kinds(
        [
            {"type": "full" if row % 5 else "short", "x": 1, **({"a": 1, "b": 2} if row % 5 else {})}
            for row in range(500)
        ]
    )
    assert found == [RecordKind("full", 0.8, ["a", "b"], "type=full"), RecordKind("short", 0.2, [], "type=short")]


def test_rare_kinds_are_found_beside_a_frequent_one() -> None:
    usual: dict[str, object] = {"load": 1.0, "free": 2.0}
    own: Sequence[dict[str, object]] = ({"boot": 1}, {"error": 1}, *[usual] * 48)
    found = kinds([{"host": "a", **own[row % 50]} for row in range(3000)])
    assert [(kind.share, kind.fields) for kind in found] == [
        (0.96, ["load", "free"]),
        (0.02, ["boot"]),
        (0.02, ["error"]),
    ]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("gaps", [0.0, 0.005, 0.012, 0.02, 0.05, 0.3, 0.7, 0.95])
def test_random_gaps_make_no_kinds(seed: int, gaps: float) -> None:
    random = np.random.default_rng(seed)
    records = [
        {"x": 1.0, "state": "on", **{f"f{field}": 1.0 for field in range(6) if random.random() >= gaps}}
        for _ in range(2000)
    ]
    assert kinds(records) == []


def test_one_optional_field_makes_no_kind() -> None:
    assert kinds([{"x": 1.0, **({"error": "timeout"} if row % 7 == 0 else {})} for row in range(700)]) == []


@pytest.mark.parametrize("records", [[], [{}], [{"x": 1}], [{"x": 1}] * 100])
def test_one_kind_is_none(records: Records) -> None:
    assert kinds(records) == []
