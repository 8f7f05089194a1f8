"""The memory that a batch takes is in proportion to its bytes, whatever is in it."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Sequence

import pytest

from aestream.codecs.layouts import Layout
from tests.fuzz.checks import batch_of, results_of
from tests.fuzz.inputs import Raw, written
from tests.fuzz.worlds import STEPS, record, worlds

WORLDS = [world for world in worlds() if not world.windows]
GOOD = record(STEPS, "web-1", random.Random(1))
SIZE = 60_000
# A record of no field takes 3 bytes of JSON in an array, and 600 of memory until its message is a dead letter.
TIMES = 250
FIXED = 8 * 2**20


def filled(piece: bytes, before: bytes = b"[", after: bytes = b"]") -> bytes:
    """A piece of JSON again and again, up to a size."""
    return before + b",".join([piece] * (SIZE // (len(piece) + 1))) + after


def wide(count: int) -> bytes:
    """So many fields."""
    return b",".join(b'"f%d":1' % i for i in range(count))


def attributes(count: int) -> bytes:
    """So many attributes of a resource in OTLP."""
    found = (b'{"key":"k%d","value":{"boolValue":true}}' % i for i in range(count))
    return b'{"attributes":[' + b",".join(found) + b"]}"


def points(name: bytes, point: bytes, count: int) -> bytes:
    """So many points of a metric in OTLP."""
    return b'[{"metrics":[{"name":"%s","gauge":{"dataPoints":[%s]}}]}]' % (name, b",".join([point] * count))


ARRAY, OTLP, TELEGRAF = Layout(unpack="items"), Layout("opentelemetry"), Layout("telegraf")
COPIED = b'{"asInt":1,"attributes":[{"key":"a","value":{"intValue":1}}]}'
CASES: dict[str, tuple[Layout, Callable[[], Sequence[bytes | None]]]] = {
    "objects": (Layout(), lambda: [filled(b"{}")]),
    "numbers": (Layout(), lambda: [filled(b"1")]),
    "an array for a number": (Layout(), lambda: [written(GOOD | {"queue": Raw(filled(b"0"))})]),
    "digits": (Layout(), lambda: [written(GOOD | {"queue": Raw(b"1" * SIZE)})]),
    "half JSON": (Layout(), lambda: [b'{"a":' * (SIZE // 5)]),
    "many fields": (Layout(), lambda: [b"{" + wide(SIZE // 10) + b"}"]),
    "records without a field": (Layout(), lambda: [b"{}"] * 2000),
    "no values": (Layout(), lambda: [None] * 2000),
    "elements": (ARRAY, lambda: [b'{"items":' + filled(b"{}") + b"}"]),
    "elements and many fields beside them": (
        ARRAY,
        lambda: [b"{" + wide(4000) + b',"items":' + filled(b"{}") + b"}"],
    ),
    "metrics": (TELEGRAF, lambda: [b'{"metrics":' + filled(b'{"fields":{}}') + b"}"]),
    "points and many attributes": (
        OTLP,
        lambda: [
            b'{"resourceMetrics":[{"resource":%s,"scopeMetrics":%s}]}'
            % (attributes(1000), points(b"cpu", b'{"asInt":1}', 4000))
        ],
    ),
    "points of a long name": (
        OTLP,
        lambda: [b'{"resourceMetrics":[{"scopeMetrics":%s}]}' % points(b"n" * SIZE, COPIED, 2000)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_no_batch_takes_more_than_its_share(name: str) -> None:
    layout, values = CASES[name]
    batch, pipeline = batch_of(values()), next(w for w in WORLDS if w.layout == layout).pipeline()
    tracemalloc.start()
    try:
        results = results_of(pipeline, batch)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    held = sum(map(len, filter(None, batch.values))) + 100 * len(batch)
    assert peak < TIMES * held + FIXED, f"{peak / held:.0f} times"
    assert results.invalid or len(results.scored.rows) or results.passed
