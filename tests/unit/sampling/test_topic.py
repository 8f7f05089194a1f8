"""The sample: which records teach the features, and the order they come in."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aestream.codecs.json import JsonCodec
from aestream.codecs.layouts import Layout
from aestream.errors import DataError
from aestream.features.roles import NO_ROLES
from aestream.inference.documents import Documents
from aestream.inference.infer import Inference, infer
from aestream.inference.selection import Selection
from aestream.sampling import topic
from aestream.sampling.file import FileSampler
from aestream.sampling.topic import TopicSampler
from aestream.transport.memory import MemoryBroker, MemoryHistory, Message

NOON = 1_700_000_000_000  # milliseconds


def sampler(broker: MemoryBroker, *, records: int = 200_000) -> TopicSampler:
    return TopicSampler(
        MemoryHistory(broker, ["in"]),
        JsonCodec(max_record_bytes=10_000),
        records=records,
        period=None,
        roles=NO_ROLES,
    )


def place(i: int) -> float:
    return i * 377 % 1000 + 0.5


def filled(count: int, *, bad: int = 0) -> MemoryBroker:
    """Records whose feature `place` tells their timestamp, over three partitions out of order."""
    broker = MemoryBroker({"in": 3})
    rng = random.Random(0)
    for i in range(count):
        value = json.dumps({"place": place(i), "id": i, "level": rng.random(), "seldom": float(i == 90)})
        broker.append("in", Message(value.encode(), key=f"k{i}".encode(), timestamp=NOON + i), i % 7 % 3)
    for i in range(bad):
        broker.append("in", Message(b"[]" if i % 2 else b"{", timestamp=NOON + i), 0)
    return broker


def test_rows_are_in_the_order_of_time_and_the_bad_ones_counted() -> None:
    found = sampler(filled(600, bad=4)).sample(progress=lambda _read, _wanted: None)
    assert found.schema.names == ("place", "level", "seldom")
    assert {note.name for note in found.inference.notes if not note.used} == {"id"}
    assert found.matrix[:, 0].tolist() == [place(i) for i in range(600)]
    assert list(found.keys) == [f"k{i}" for i in range(600)]
    assert (found.timestamps - NOON).tolist() == list(range(600))
    assert found.invalid == {"bad_json": 2, "wrong_shape": 2}
    assert found.origin["period_ms"] == [NOON, NOON + 599]
    assert sum(last - first + 1 for first, last in found.origin["offsets"].values()) == 604


def test_a_short_past_teaches_with_all_of_its_records() -> None:
    # 600 records where 200,000 are wanted: the one that tells `seldom` from a constant must be among those looked at
    assert "seldom" in sampler(filled(600)).sample(progress=lambda _read, _wanted: None).schema.names


def test_a_long_past_teaches_by_records_spread_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic, "_INFERRED_FROM_RECORDS", 100)
    taught: list[list[int]] = []

    def spy(documents: Documents) -> Inference:
        taught.append([record["id"] for record in documents.records])
        raise DataError("seen enough")

    with pytest.raises(DataError, match="seen enough"):
        replace(sampler(filled(3000)), choose=spy).sample(progress=lambda _read, _wanted: None)
    (ids,) = taught
    assert 40 <= len(ids) <= 100
    assert ids == sorted(ids)
    assert min(ids) < 200
    assert max(ids) > 2800


def test_a_long_past_teaches_by_all_records_of_some_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic, "_INFERRED_FROM_RECORDS", 400)
    broker = MemoryBroker({"in": 2})
    for i in range(20_000):
        broker.append("in", Message(b'{"i": %d}' % i, b"k%d" % (i % 10_000), timestamp=NOON + i), i % 2)
    found = sampler(broker).documents()
    assert 200 <= len(found) <= 400
    numbers = [record["i"] for record in found.records]
    assert numbers == sorted(numbers)
    assert (found.timestamps - NOON).tolist() == numbers
    assert list(found.keys) == [f"k{i % 10_000}" for i in numbers]
    pairs = set(numbers[: len(numbers) // 2]) & {i - 10_000 for i in numbers}
    assert len(pairs) > 60


def with_stamps(stamps: list[int]) -> MemoryBroker:
    broker = MemoryBroker({"in": 1})
    for i, stamp in enumerate(stamps):
        broker.append("in", Message(b'{"i": %f}' % (i * 37 % 101 + 0.5), timestamp=stamp))
    return broker


def test_timestamps_in_another_unit_are_converted_and_told() -> None:
    for divided, unit in ((1000, "seconds"), (1, "milliseconds")):
        found = sampler(with_stamps([(NOON + 5000 * i) // divided for i in range(200)])).sample(progress=print)
        assert (found.timestamps - NOON).tolist() == [5000 * i for i in range(200)]
        assert any(unit in warning for warning in found.warnings) == (unit == "seconds")


@pytest.mark.parametrize("odd", [0, -1, 86_400_000, 9 * 10**18])
def test_timestamps_that_tell_no_time_leave_the_records_in_the_order_of_reading(odd: int) -> None:
    made = sampler(with_stamps([NOON + i if i % 10 else odd for i in range(200)]))
    found = made.sample(progress=print)
    assert found.matrix[:, 0].tolist() == [i * 37 % 101 + 0.5 for i in range(200)]
    assert not len(found.timestamps)
    assert found.origin["period_ms"] == []
    assert len(found.keys) == 200
    assert "10% of the Kafka timestamps are not times" in found.warnings[0]
    assert not len(made.documents().timestamps)


def test_timestamps_that_are_all_the_same_tell_no_time() -> None:
    broker = MemoryBroker({"in": 1})
    for i in range(300):
        broker.append("in", Message(json.dumps({"place": place(i)}).encode(), timestamp=NOON), 0)
    found = sampler(broker).sample(progress=lambda _read, _wanted: None)
    assert found.times is None
    assert found.matrix[:, 0].tolist() == [place(i) for i in range(300)]


def test_a_stray_timestamp_takes_the_one_before() -> None:
    stamps = [NOON + 1000 * i for i in range(300)]
    stamps[0], stamps[7] = 0, 9 * 10**18
    found = sampler(with_stamps(stamps)).sample(progress=print)
    assert found.matrix[:, 0].tolist() == [i * 37 % 101 + 0.5 for i in range(300)]
    assert (found.timestamps - NOON)[[0, 1, 6, 7, 8]].tolist() == [1000, 1000, 6000, 6000, 8000]
    assert not [warning for warning in found.warnings if "timestamps" in warning]


@pytest.mark.parametrize(
    ("records", "period", "remedy"),
    [
        (600, None, "2 days at this rate are 48,000 records: set `sample_period=2d` and `sample_records=48000`"),
        (200_000, 2200.0, "2 days at this rate are 48,000 records: set `sample_period=2d` and `sample_records=48000`"),
        (200_000, 86_400.0, "There are no older ones yet: let it run on for 2 days, then train again"),
        (200_000, None, "There are no older ones yet: let it run on for 2 days, then train again"),
    ],
)
def test_a_sample_of_an_hour_says_so_and_what_to_set(records: int, period: float | None, remedy: str) -> None:
    now = int(time.time() * 1000)
    broker = with_stamps([now - 3600 * i for i in range(1000, 0, -1)])
    found = replace(sampler(broker, records=records), period=period).sample(progress=print)
    (warning,) = found.warnings
    assert warning.startswith(f"the sample covers {found.covered}, so")
    assert warning.endswith(remedy)
    assert "minutes, from 20" in found.covered


def test_a_field_that_tells_the_time_says_what_records_cover_that_were_loaded_at_once() -> None:
    broker = MemoryBroker({"in": 1})
    for i in range(300):
        value = {"at": NOON // 1000 + 60 * i, "i": i * 37 % 101 + 0.5}
        broker.append("in", Message(json.dumps(value).encode(), timestamp=NOON))
    by_kafka = sampler(broker).sample(progress=print)
    assert by_kafka.covered.startswith("0 seconds")
    assert "in `time`" in by_kafka.warnings[0]
    timed = replace(sampler(broker), choose=lambda documents: infer(documents, Selection(time="at")))
    found = timed.sample(progress=print)
    assert found.covered.startswith("5.0 hours, from 2023-11-14 22:13 to 2023-11-15 03:12")
    (warning,) = found.warnings
    assert "`time`" not in warning
    assert "let it run on" in warning


def test_a_sample_of_days_has_no_warning() -> None:
    found = sampler(with_stamps([NOON + 600_000 * i for i in range(600)])).sample(progress=print)
    assert not found.warnings
    assert found.covered.startswith("4.2 days, from 2023-11-14 22:13 to 2023-11-19")


def test_progress_and_bounds() -> None:
    heard: list[tuple[int, int]] = []
    alone = replace(sampler(filled(900), records=300), roles=None)
    found = alone.sample(progress=lambda read, wanted: heard.append((read, wanted)))
    assert len(found.matrix) <= 300
    assert heard[-1] == (len(found.matrix), 300)


def test_it_can_be_ended_while_the_features_are_inferred() -> None:
    def end(_read: int, _wanted: int) -> None:
        raise KeyboardInterrupt

    def infer(_documents: Documents) -> Inference:
        raise AssertionError("the records were read to the end")

    with pytest.raises(KeyboardInterrupt):
        replace(sampler(filled(900)), choose=infer).sample(progress=end)


def test_nothing_to_learn_from_is_one_line() -> None:
    with pytest.raises(DataError, match="no records to train on"):
        sampler(MemoryBroker({"in": 2})).sample(progress=lambda _read, _wanted: None)
    with pytest.raises(DataError, match="none of the 10 records"):
        sampler(filled(0, bad=10)).sample(progress=lambda _read, _wanted: None)


def several(count: int, **more: Any) -> MemoryBroker:
    """Messages with two records each."""
    broker, rng = MemoryBroker({"in": 1}), random.Random(0)
    for i in range(count):
        items = [{"place": place(i), "level": rng.random()}, {"place": -place(i), "level": rng.random()}]
        broker.append("in", Message(json.dumps({"items": items, **more}).encode(), b"k", timestamp=NOON + i), 0)
    return broker


def unpacking(broker: MemoryBroker, **layout: Any) -> TopicSampler:
    return replace(sampler(broker), codec=JsonCodec(10_000, Layout(unpack="items", **layout)))


def test_each_record_of_a_message_is_learnt_from_and_the_newest_are_enough() -> None:
    found = unpacking(several(300)).sample(progress=lambda _read, _wanted: None)
    assert found.matrix[:, 0].tolist() == [sign * place(i) for i in range(300) for sign in (1, -1)]
    assert (found.timestamps - NOON).tolist() == [i for i in range(300) for _ in range(2)]
    assert list(found.keys) == ["k"] * 600
    fewer = replace(unpacking(several(300)), records=200).sample(progress=lambda _read, _wanted: None)
    assert fewer.matrix[:, 0].tolist() == [sign * place(i) for i in range(200, 300) for sign in (1, -1)]
    assert len(fewer.keys) == len(fewer.timestamps) == 200


def test_why_there_is_nothing_to_learn_from_is_said() -> None:
    arrays = MemoryBroker({"in": 1})
    arrays.append("in", Message(b"[{},{}]", timestamp=NOON), 0)
    with pytest.raises(DataError, match=r"can be read: an array of 2 records: set `unpack`=\.; or check"):
        sampler(arrays).documents()
    with pytest.raises(DataError, match="all of the 3 records in the input topic are passed over: check `where`"):
        unpacking(several(3), where={"name": "cpu"}).documents()
    assert len(unpacking(several(3, name="cpu"), where={"name": "cpu"}).documents()) == 6


def test_records_of_a_file_have_neither_keys_nor_timestamps(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"place": place(i)}) + "\n" for i in range(100)) + "{\n")
    sampler = FileSampler(file, JsonCodec(max_record_bytes=10_000), records=1000)
    found = sampler.sample(progress=lambda _read, _wanted: None)
    assert found.matrix[:, 0].tolist() == [place(i) for i in range(100)]
    assert found.invalid == {"unusable": 1}
    assert len(found.keys) == len(found.timestamps) == 0
    assert found.covered == ""
    (warning,) = found.warnings
    assert warning.startswith("1 of the 101 records cannot be used, the first (row 100) because not JSON")
