"""Entities that are spread over several partitions, in the newest records of a topic."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from aestream.app.partitions import find_splits
from aestream.codecs.json import JsonCodec
from aestream.features.roles import NO_ROLES, Roles
from aestream.transport.memory import MemoryBroker, MemoryHistory, Message

CODEC = JsonCodec(max_record_bytes=1000)


def look(sent: Sequence[tuple[int, str | None, object]], roles: Roles = NO_ROLES, *, keyless: bool = True) -> str:
    """What is said of messages, given with their partition, key and record."""
    made = MemoryBroker({"in": 3, "other": 1})
    for partition, key, record in sent:
        value = record if isinstance(record, bytes) else json.dumps(record).encode()
        made.append("in", Message(value, None if key is None else key.encode(), (), 1_700_000_000_000), partition)
    made.append("other", Message(b"{}", b"web-1", (), 1_700_000_000_000), 0)
    history = MemoryHistory(made, ["in", "other"])
    return find_splits(history, CODEC, roles, records=100, keyless=keyless) or ""


def test_each_key_in_one_partition_is_well() -> None:
    assert look([(0, "web-1", {}), (0, "web-1", {}), (1, "web-2", {}), (2, "web-3", {})]) == ""


def test_keys_in_several_are_counted_with_an_example_and_what_to_do() -> None:
    said = look([(0, "web-1", {}), (1, "web-1", {}), (1, "web-2", {}), (2, "web-2", {}), (2, "web-3", {})])
    # the other topic has its own
    assert said.startswith("2 of 4 entities in the newest records are spread over several partitions")
    assert "such as 'web-1' over in/0 and in/1: " in said
    assert "`key`" in said


@pytest.mark.parametrize("name", ["host", "at.host"])
def test_fields_tell_the_entity_where_they_are_named(name: str) -> None:
    def record(host: object) -> object:
        return {"at": {"host": host}} if "." in name else {"host": host}

    sent: list[tuple[int, str | None, object]] = [(n, f"k{n}", record("db")) for n in (0, 1)]
    sent += [(2, None, record(7)), (2, None, b"no JSON"), (2, None, {})]
    said = look(sent, Roles((name,)))
    assert said.startswith("1 of 4 entities")  # 7, and none in each topic
    assert "'db' over in/0 and in/1" in said
    assert "('db', None) over" in look(sent, Roles((name, "x")))


def test_records_without_a_key_are_one_entity_only_for_a_model_that_remembers() -> None:
    sent: list[tuple[int, str | None, object]] = [(0, None, {}), (1, None, {})]
    assert "records without a key over in/0 and in/1" in look(sent)
    assert look(sent, keyless=False) == ""
