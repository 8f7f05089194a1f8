"""Sending dead letters back, in memory: what is due, where it goes, how progress is told."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pytest

from aestream.service.redelivery import Redelivery, plan
from aestream.transport.base import TransactionalSink
from aestream.transport.memory import MemoryBroker, MemoryHistory, MemoryTopics, MemoryTransactionalSink, Message
from aestream.types import Partition, Reason

REASONS = [str(reason) for reason in Reason][:3]


@dataclass
class Marks:
    """Bookmarks within this process; each move may be the last one."""

    places: dict[Partition, tuple[int, str]] = field(default_factory=dict)
    moves: int = 10**9

    def read(self, partitions: Collection[Partition]) -> Mapping[Partition, tuple[int, str]]:
        return {part: self.places[part] for part in partitions if part in self.places}

    def move(self, places: Mapping[Partition, tuple[int, str]], within: TransactionalSink) -> None:
        if not self.moves:
            raise InterruptedError
        self.moves -= 1
        within.commit(None, None)
        self.places |= places


def letter(broker: MemoryBroker, number: int, reason: str, *, partition: int = 0, size: int = 1) -> None:
    told = {"topic": "in", "partition": str(partition), "offset": str(number), "error_type": reason}
    headers = [(f"aestream.dlq.{name}", text.encode()) for name, text in told.items()]
    broker.append("dead", Message(b"%d " % number + b"x" * size, b"k", headers), number % 2)


def run(broker: MemoryBroker, marks: Marks, reason: str | None = None) -> Redelivery:
    history, topics = MemoryHistory(broker, ["dead"]), MemoryTopics(broker)
    found = plan("dead", topics, history, marks, reason, "create it")
    work = Redelivery(found, history, topics, max_bytes=10**6, refused=lambda *_: None, progress=lambda _: None)
    work.send(MemoryTransactionalSink(broker), marks)
    return work


def sent(broker: MemoryBroker) -> list[int]:
    return [int((message.value or b"").split()[0]) for part in broker.of(["in"]) for message in broker.log[part]]


@pytest.mark.parametrize("seed", range(10))
def test_any_order_of_reasons_and_interruptions_sends_each_once(seed: int) -> None:
    rng, broker, marks, count = random.Random(seed), MemoryBroker({"dead": 2, "in": 2}), Marks(), 0
    for _ in range(20):
        for _ in range(rng.randint(0, 40)):
            letter(broker, count, rng.choice([*REASONS, "of another version"]), size=rng.choice([1, 500_000]))
            count += 1
        marks.moves = rng.choice([0, 1, 2, 10**9])
        try:
            run(broker, marks, rng.choice([None, *REASONS]))
        except InterruptedError:
            continue
    marks.moves = 10**9
    run(broker, marks)
    assert Counter(sent(broker)) == Counter(range(count))
    assert run(broker, marks).outcome.sent.total() == 0
    assert set(marks.places.values()) == {(len(broker.log[part]), "{}") for part in broker.of(["dead"])}


def test_one_reason_leaves_the_others_due() -> None:
    broker, marks = MemoryBroker({"dead": 2, "in": 1}), Marks()
    for number in range(9):
        letter(broker, number, REASONS[number % 3])
    assert run(broker, marks, REASONS[1]).outcome.sent == {("in", REASONS[1]): 3}
    assert {offset for offset, _ in marks.places.values()} == {0}
    assert sorted(sent(broker)) == [1, 4, 7]
    run(broker, marks)
    assert sorted(sent(broker)) == list(range(9))


def test_a_record_keeps_its_partition_as_long_as_there_is_one() -> None:
    broker = MemoryBroker({"dead": 2, "in": 2})
    for number, partition in enumerate((1, 1, 7)):
        letter(broker, number, REASONS[0], partition=partition)
    run(broker, Marks())
    kept = [int((message.value or b"").split()[0]) for message in broker.log[Partition("in", 1)]]
    assert [number for number in kept if number != 2] == [0, 1]
    assert sorted(sent(broker)) == [0, 1, 2]


@pytest.mark.parametrize("note", ["", "{", "[]", '{"bad_json": "x"}', '{"bad_json": 99}', '{"empty": -5}'])
def test_notes_of_somebody_else_do_no_harm(note: str) -> None:
    broker, marks = MemoryBroker({"dead": 1, "in": 1}), Marks({Partition("dead", 0): (99, note)})
    broker.append("dead", Message(b"foreign"), 0)
    assert run(broker, marks).outcome.refused == 1  # 99 is behind the end: of a former topic
