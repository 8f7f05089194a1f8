"""The records of a stretch: of topics with their keys and times, of a file after a cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aestream.backtest import stretch
from aestream.codecs.json import JsonCodec
from aestream.features.roles import Roles
from aestream.features.schema import FeatureSchema
from aestream.files.rows import Rows, count_rows, read_rows
from aestream.transport.memory import MemoryBroker, MemoryHistory, Message

NOON = 1_700_000_000
CODEC = JsonCodec(max_record_bytes=10_000)
SCHEMA = FeatureSchema.of_names(["x"])


def of_topic(roles: Roles, *messages: Message) -> Rows:
    broker = MemoryBroker({"in": 1})
    for message in messages:
        broker.append("in", message, 0)
    history = MemoryHistory(broker, ["in"])
    (rows,) = stretch.of_topic(history, CODEC.decoder(SCHEMA, roles.names), roles, records=100, period=None)
    return rows


def test_records_of_a_topic_have_their_kafka_keys_and_timestamps() -> None:
    rows = of_topic(
        Roles(),
        Message(b'{"x": 1}', key=b"web-1", timestamp=NOON * 1000),
        Message(b"{", key=b"web-1", timestamp=NOON * 1000),
        Message(b'{"x": 2}', key=b"\xff", timestamp=NOON * 1000 + 500),
        Message(b'{"x": 3}', key=None, timestamp=-1),
    )
    assert rows.marks.keys == ["web-1", r"\xff", None]
    assert rows.marks.times is not None
    np.testing.assert_array_equal(rows.marks.times, [NOON, NOON + 0.5, np.nan])
    assert [place for place, _ in rows.problems] == [1]


def test_fields_come_before_keys_and_timestamps() -> None:
    values = [b'{"x": 1, "at": "2023-11-14T22:13:20Z", "host": "a", "bad": 1}', b'{"x": 2, "at": null, "host": "b"}']
    messages = [Message(value, key=b"k", timestamp=NOON) for value in values]
    marks = of_topic(Roles(["host"], "at", "bad"), *messages).marks
    assert marks.keys == ["a", "b"]
    assert marks.times is not None
    np.testing.assert_array_equal(marks.times, [NOON, NOON])
    assert marks.labels is not None
    assert marks.labels.tolist() == [True, False]


def test_a_file_is_cut_after_so_many_records_or_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = (f"{row if row % 7 else 'bad'},{NOON + row}" for row in range(50))
    path.write_text("x,at\n" + "\n".join(lines) + "\n")
    assert count_rows(path) == 50

    def rows() -> list[Rows]:
        return list(read_rows(path, SCHEMA, CODEC, roles=Roles(time="at")))

    (cut,) = stretch.after(iter(rows()), 20)
    assert cut.matrix[:, 0].tolist() == [row for row in range(20, 50) if row % 7]
    assert [place for place, _ in cut.problems] == [21, 28, 35, 42, 49]
    assert not list(stretch.after(iter(rows()), 50))
    (cut,) = stretch.between(iter(rows()), NOON + 10, NOON + 13)
    assert cut.matrix[:, 0].tolist() == [10, 11, 12]


def test_a_record_without_a_time_stands_with_the_one_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,at\n0,\n1,10\n2,\n3,20\n4,\n5,30\n6,\n")
    (rows,) = read_rows(path, SCHEMA, CODEC, roles=Roles(time="at"))
    assert rows.between(-np.inf, 20).matrix[:, 0].tolist() == [0, 1, 2]
    assert rows.between(20, 30).matrix[:, 0].tolist() == [3, 4]
    assert rows.between(30, np.inf).matrix[:, 0].tolist() == [5, 6]
