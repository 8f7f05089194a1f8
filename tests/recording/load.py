"""The load: producers, consumers and short-lived visitors, each a process driven through shared memory.

Every process reads its orders from `knobs` and counts what it did in `counters`: shared arrays of float64
that the recorder writes and reads without asking the process. So a client that is stopped (SIGSTOP) is simply
seen to stand still.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import multiprocessing
import os
import random
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from aestream.app.process import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import SpawnProcess
    from multiprocessing.sharedctypes import SynchronizedArray
    from typing import TypeAlias

    Shared: TypeAlias = SynchronizedArray[float]

SPAWN = multiprocessing.get_context("spawn")
DAY_SECONDS = 600.0
WIDTH = 8

# Knobs of a producer: records/s, factor on the record's size, oversized records/s, their bytes.
RATE, SIZE, OVERSIZED, OVERSIZED_BYTES = range(4)
# Knobs of a consumer: leak in MiB/s, pause in ms a poll, records that each partition is wound back a second.
LEAK, SLOW, REWIND = range(3)
# Knobs of the visitor: connections/s, seconds that each stays.
HOLD = 1
# Counters of a producer or a consumer; delays in ms.
RECORDS, BYTES, ERRORS, DELAY_SUM, DELAY_COUNT, POSITION = range(6)

POOL_BYTES = 4_000_000
# What goes wrong on any day: a record above the broker's limit, in records/s and bytes.
REJECTED_RATE, REJECTED_BYTES = 1 / 40, 1_100_000
CACHE_STEP_SECONDS = 4.0
MEBIBYTE = 1 << 20
LARGEST_CACHE = 48
MOST_VISITORS = 400


@dataclass(frozen=True)
class Stream:
    """A topic, its producer, its consumer group; `rate` in records/s at the day's mean, `size` in bytes."""

    topic: str
    group: str
    rate: float
    size: int
    linger_ms: int
    proxied: bool = False
    partitions: int = 2


STREAMS = (
    Stream("orders", "fulfilment", rate=200.0, size=700, linger_ms=20),
    Stream("clicks", "analytics", rate=310.0, size=260, linger_ms=40, proxied=True),
    Stream("payments", "ledger", rate=85.0, size=1500, linger_ms=10),
)


def day_curve(seconds: float, lag: float = 0.0) -> float:
    """Return the load's factor at a time of the compressed day: night, morning, lunch, evening; mean 1."""
    phase = 2.0 * math.pi * ((seconds - lag) % DAY_SECONDS) / DAY_SECONDS
    return 1.0 - 0.55 * math.cos(phase) - 0.22 * math.cos(2.0 * phase + 0.6) + 0.08 * math.sin(3.0 * phase)


class Jitter:
    """A random factor around 1 that changes slowly: exp of an AR(1) walk with standard deviation `size`."""

    def __init__(self, size: float, seed: int, memory: float = 0.95) -> None:
        """`memory`: the walk's correlation from one second to the next."""
        self._random = random.Random(seed)
        self._size, self._memory, self._state = size, memory, 0.0

    def step(self) -> float:
        """Return the next second's factor."""
        fresh = math.sqrt(1.0 - self._memory**2) * self._random.gauss(0.0, 1.0)
        self._state = self._memory * self._state + fresh
        return math.exp(self._size * self._state)


def shared() -> Shared:
    """Return WIDTH shared float64 zeros."""
    return SPAWN.Array("d", WIDTH)


def start(target: Callable[..., None], *arguments: object) -> SpawnProcess:
    """Run `target(*arguments)` in a process of its own that ends with this one."""
    process = SPAWN.Process(target=_bound, args=(target, arguments), daemon=True)
    process.start()
    return process


def _bound(target: Callable[..., None], arguments: tuple[object, ...]) -> None:
    die_with_parent()
    target(*arguments)


def produce(bootstrap: str, stream: Stream, knobs: Shared, counters: Shared, seed: int) -> None:
    """Send records of `stream` at the rate in `knobs` for ever, counting acknowledgements and their delay."""
    chance = random.Random(seed)
    pool = bytes(chance.choices(b'{"abcdefghijklmnopqrstuvwxyz":0123456789, }', k=POOL_BYTES))
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        linger_ms=stream.linger_ms,
        batch_size=32768,
        max_request_size=8_000_000,
        acks="all",
        enable_idempotence=False,  # one rejected record would end an idempotent producer for good
        reconnect_backoff_ms=50,
        reconnect_backoff_max_ms=500,
        retry_backoff_ms=50,
    )

    def done(sent: float) -> None:
        counters[RECORDS] += 1
        counters[DELAY_SUM] += 1000.0 * (time.monotonic() - sent)
        counters[DELAY_COUNT] += 1

    def failed(_: BaseException) -> None:
        counters[ERRORS] += 1

    def send(size: int) -> None:
        offset = chance.randrange(len(pool) - size)
        sent = time.monotonic()
        try:
            future = producer.send(stream.topic, pool[offset : offset + size])
        except KafkaError as error:
            failed(error)
            return
        future.add_callback(lambda _: done(sent))
        future.add_errback(failed)

    owed = 0.0
    before = time.monotonic()
    while True:
        time.sleep(0.025)
        now = time.monotonic()
        passed, before = now - before, now
        owed = min(owed + knobs[RATE] * passed, 2.0 * knobs[RATE])
        while owed >= 1.0:
            owed -= 1.0
            send(min(30_000, max(40, int(knobs[SIZE] * stream.size * chance.lognormvariate(-0.08, 0.4)))))
        if chance.random() < knobs[OVERSIZED] * passed:
            send(int(knobs[OVERSIZED_BYTES]))


class Cache:
    """A consumer's memory: a cache that grows with its traffic up to a limit, and what it leaks."""

    def __init__(self, seed: str) -> None:
        self._chance = random.Random(seed)
        self._blocks: list[mmap.mmap] = []
        self._sized, self._counted, self._kept, self._leaked = time.monotonic(), 0.0, 4, 0.0

    def follow(self, records: float, leak: float, passed: float) -> None:
        """Take or free memory: `records` read so far, `leak` in MiB/s (0: all that leaked is freed)."""
        self._leaked = self._leaked + leak * passed if leak else 0.0
        elapsed = time.monotonic() - self._sized
        if elapsed > CACHE_STEP_SECONDS:
            rate = (records - self._counted) / elapsed
            wanted = min(LARGEST_CACHE, 4 + int(rate / 12.0)) + self._chance.randrange(3)
            self._kept = round((wanted + self._kept) / 2)
            self._sized, self._counted = time.monotonic(), records
        while len(self._blocks) < self._kept + self._leaked:
            block = mmap.mmap(-1, MEBIBYTE)  # returns to the system when closed; malloc does not promise that
            block.write(os.urandom(MEBIBYTE))
            self._blocks.append(block)
        while len(self._blocks) > self._kept + self._leaked + 1.0:
            self._blocks.pop().close()


def consume(bootstrap: str, stream: Stream, knobs: Shared, counters: Shared) -> None:
    """Read `stream` for ever, counting records, their age on arrival, and the sum of the positions."""
    consumer = KafkaConsumer(
        stream.topic,
        bootstrap_servers=bootstrap,
        group_id=stream.group,
        auto_offset_reset="earliest",
        fetch_min_bytes=2048,
        fetch_max_wait_ms=200,
        session_timeout_ms=90_000,  # longer than any fault stops it
        heartbeat_interval_ms=3_000,
        auto_commit_interval_ms=5_000,
        max_poll_records=500,
        reconnect_backoff_ms=50,
        reconnect_backoff_max_ms=500,
    )
    cache = Cache(stream.topic)
    position: dict[int, int] = {}
    rewound = before = time.monotonic()
    while True:
        try:
            batches = consumer.poll(timeout_ms=250)
        except KafkaError:
            counters[ERRORS] += 1
            continue
        now_ms = 1000.0 * time.time()
        for partition, records in batches.items():
            counters[RECORDS] += len(records)
            counters[BYTES] += sum(len(record.value) for record in records)
            counters[DELAY_SUM] += sum(now_ms - record.timestamp for record in records)
            counters[DELAY_COUNT] += len(records)
            position[partition.partition] = records[-1].offset + 1
        counters[POSITION] = sum(position.values())
        passed, before = time.monotonic() - before, time.monotonic()
        cache.follow(counters[RECORDS], knobs[LEAK], passed)
        if knobs[SLOW]:
            time.sleep(knobs[SLOW] / 1000.0)
        if knobs[REWIND] and before - rewound > 1.0:
            rewound = before
            for number, offset in position.items():
                back = TopicPartition(stream.topic, number)
                consumer.seek(back, max(0, offset - int(knobs[REWIND])))


def visit(port: int, knobs: Shared, seed: int) -> None:
    """Open connections at the rate in `knobs`, greet as a Kafka client (ApiVersions), hold each, close it."""
    chance = random.Random(seed)
    greeting = struct.pack(">hhih", 18, 0, 1, 4) + b"look"
    held: list[tuple[float, socket.socket]] = []
    while True:
        rate = knobs[RATE]
        time.sleep(min(0.5, chance.expovariate(rate)) if rate > 0.0 else 0.5)
        now = time.monotonic()
        for entry in [entry for entry in held if entry[0] <= now]:
            entry[1].close()
            held.remove(entry)
        if rate <= 0.0 or len(held) > MOST_VISITORS:
            continue
        with contextlib.suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", port), timeout=1.0)
            connection.sendall(struct.pack(">i", len(greeting)) + greeting)
            held.append((now + chance.expovariate(1.0 / max(knobs[HOLD], 0.05)), connection))
