"""What is remembered as messages, and back: whole, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from aestream.errors import DataError
from aestream.state.entries import KEY_BYTES, Address, Marker, Messages, Reader, Writer, format_of, sort_out
from aestream.state.partition import LAYOUT
from aestream.types import Key, Partition

TYPE = np.dtype([("count", "<i8"), *LAYOUT])
ADDRESS = Address("group", "in", "id-1", 3)
WRITER = Writer(ADDRESS, TYPE)


def values(*offsets: int, logged: int = 0) -> Any:
    found = np.zeros(len(offsets), TYPE)
    found["count"], found["offset"], found["logged"] = range(len(offsets)), offsets, logged
    return found


def marker(offset: int, epoch: int, *counted: int, **more: Any) -> Messages:
    born, models = more.pop("born", 1), more.pop("models", [(0, "m@1")])
    return WRITER.marker(Marker(offset, epoch, born, models, count=len(counted), total=sum(counted), **more))


def read(*messages: Messages, layout: Any = TYPE, address: Address = ADDRESS) -> Reader:
    reader = Reader(address, layout)
    for some in messages:
        sort_out({("group", address.part): reader}, some.keys, some.values)
    return reader


@pytest.mark.parametrize("key", ["web-1", "", "ü\n\U0001f600", 7, 2**63, None, ("a", 1, None), ("a", ("b",))])
def test_entries_come_back_as_they_were(key: Key) -> None:
    found = read(WRITER.entries([key, "other"], values(10, 20), 1), marker(20, 1, 10, 20)).found()
    assert found is not None
    assert list(found.keys) == [key, "other"]
    assert found.values["count"].tolist() == [0, 1]
    assert found.values["logged"].tolist() == found.values["offset"].tolist() == [10, 20]
    assert found.marker.next == 20


def test_nothing_is_nothing() -> None:
    assert read().found() is None


def test_entries_may_be_ahead_of_the_marker_by_one_write() -> None:
    written = [WRITER.entries(["a", "b"], values(10, 20), 1), marker(20, 1, 10, 20)]
    ahead = WRITER.entries(["a"], values(25, logged=10), 1)
    new = WRITER.entries(["c"], values(24), 1)
    found = read(*written, ahead, new).found()
    assert found is not None
    assert dict(zip(found.keys, found.values["offset"].tolist(), strict=True)) == {"a": 25, "b": 20, "c": 24}
    again = WRITER.entries(["a"], values(28, logged=25), 1)
    with pytest.raises(DataError, match="not all there"):  # the marker saw neither
        read(*written, ahead, again).found()


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        ([Messages(WRITER.keys(["a"]), [None])], "2 entries are not all there"),
        ([WRITER.entries(["a"], values(9), 1), marker(20, 1, 10, 20)], "2 entries are not all there"),
        ([Messages(WRITER.entries(["a"], values(1), 1).keys, [b"short"])], "has 5 bytes instead of"),
        ([Messages(marker(0, 1).keys, [b"{"])], "its marker cannot be read"),
        ([marker(0, 1, models=[])], "its marker names no version"),
        ([Messages(marker(0, 1).keys, [b'{"\xff"'])], "its marker cannot be read"),
        ([Messages(marker(0, 1).keys, [None])], "2 entries, and no marker"),
    ],
)
def test_what_is_not_whole_is_refused(harm: Sequence[Messages], why: str) -> None:
    reader = read(WRITER.entries(["a", "b"], values(10, 20), 1), marker(20, 1, 10, 20), *harm)
    with pytest.raises(DataError, match=why):
        reader.found()
    assert set(reader.entities) <= {"a", "b"}


def test_damage_that_was_repaired_is_none() -> None:
    entries = WRITER.entries(["a"], values(10), 1)
    assert read(Messages(entries.keys, [b"short"]), entries, marker(10, 1, 10)).found() is not None


def test_what_a_former_owner_writes_late_is_ignored() -> None:
    late = [WRITER.entries(["a"], values(12), 1), marker(12, 1, 12)]
    reader = read(WRITER.entries(["a"], values(10), 1), marker(10, 1, 10), marker(10, 2, 10), *late)
    found = reader.found()
    assert found is not None
    assert (found.marker.next, found.values["offset"].tolist()) == (10, [10])
    assert reader.next_epoch > 2


def test_entries_that_are_not_counted_are_left_out_and_can_be_deleted() -> None:
    reader = read(
        WRITER.entries(["unborn", "old", "b"], values(30, 5, 20), 1),
        WRITER.entries(["a"], values(10), 2),
        WRITER.entries(["b"], values(20), 2),
        marker(20, 2, 10, 20, born=2, horizon=5),
    )
    found = reader.found()
    assert found is not None
    assert sorted(map(str, found.keys)) == ["a", "b"]
    assert sorted(map(str, reader.entities)) == ["a", "b", "old", "unborn"]


def test_what_is_of_another_topic_or_layout_is_useless_until_it_is_deleted() -> None:
    other = Writer(ADDRESS._replace(topic_id="id-0"), TYPE)
    wider = Writer(ADDRESS, np.dtype([("more", "<i8"), *TYPE.descr]))
    first, second = other.entries(["a"], values(1), 1), wider.entries(["a"], values(1), 1)
    reader = read(first, second)
    assert reader.found() is None
    assert reader.useless == {*first.keys, *second.keys}
    assert read(first, second, Messages(other.keys(["a"]), [None])).useless == {*second.keys}
    assert format_of(TYPE) != format_of(np.dtype(LAYOUT))


def test_messages_of_others_are_passed_over() -> None:
    others = [Writer(ADDRESS._replace(group="else"), TYPE), Writer(ADDRESS._replace(partition=4), TYPE)]
    messages = [writer.entries(["a"], values(1), 1) for writer in others]
    strange = [None, b"", b"text", b"{}", b"[]", b'["group"]', b'["group",[],"id-1",{},1]', b"\xff", b'["\xff"]']
    reader = read(*messages, Messages(strange, [b"x"] * len(strange)))  # type: ignore[arg-type]
    assert reader.found() is None
    assert not reader.useless


def test_stretches_are_by_version_and_none_is_empty() -> None:
    made = Marker(100, 1, 1, [(50, "m@1"), (120, "m@2"), (120, "m@3"), (150, "m@1")])
    assert made.stretches(160) == [(100, 120, "m@1"), (120, 150, "m@3"), (150, 160, "m@1")]
    assert made.stretches(110) == [(100, 110, "m@1")]
    assert made.stretches(100) == []
    assert ADDRESS.part == Partition("in", 3)


def test_a_key_that_is_too_long_for_a_message_is_told() -> None:
    assert WRITER.fits("k" * (KEY_BYTES - 2))
    assert not WRITER.fits("k" * KEY_BYTES)
    assert not WRITER.fits(("a", "k" * KEY_BYTES))
