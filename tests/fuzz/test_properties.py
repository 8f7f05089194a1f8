"""Documents that hypothesis makes up: whatever they are, each is a score or a dead letter, by both ways of decoding."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aestream.codecs.json import JsonDecoder
from tests.fuzz.checks import judged
from tests.fuzz.inputs import written
from tests.fuzz.worlds import MAX_RECORD_BYTES, STEPS, record, trained, worlds

GOOD = record(STEPS, "web-1", random.Random(1))
RELIABLE = settings(derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))

texts = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
documents = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
# Records with some of a good one's fields, in which something else may stand.
records = st.builds(
    lambda dropped, changed, order: dict(
        order.sample(found := [*({n: v for n, v in GOOD.items() if n not in dropped} | changed).items()], len(found))
    ),
    st.sets(st.sampled_from(sorted(GOOD)), max_size=2),
    st.dictionaries(st.sampled_from(sorted(GOOD)) | texts, documents, max_size=3),
    st.randoms(use_true_random=False),
)
values = st.binary(max_size=200) | st.none() | (documents | records).map(written)


@settings(RELIABLE, max_examples=40)
@given(st.lists(values, min_size=1, max_size=12), st.sampled_from(list(worlds())), st.integers(0, 12))
def test_a_batch_of_anything_loses_nothing(some: list[bytes | None], world: Any, cut: int) -> None:
    rng = random.Random(0)
    batch = [world.message(STEPS, "quiet", rng), *some, world.message(STEPS + 30, "quiet", rng)]
    judged(world, batch, [0, len(batch) - 1], [min(cut, len(batch))])


@settings(RELIABLE, max_examples=150)
@given(st.lists(records.map(written) | documents.map(written), min_size=1, max_size=8))
def test_the_fast_way_and_the_slow_way_say_the_same(some: list[bytes]) -> None:
    schema = trained(windows=True, flat=False).schema
    fast, slow = (
        JsonDecoder(schema.paths, schema.columns, ["host", "at"], max_record_bytes=MAX_RECORD_BYTES) for _ in range(2)
    )
    slow._fast = ()
    first, second = fast.decode(some), slow.decode(some)
    assert first.rows.tolist() == second.rows.tolist()
    assert np.array_equal(first.matrix, second.matrix, equal_nan=True)
    assert list(first.invalid) == list(second.invalid)
    assert json.dumps(first.asides) == json.dumps(second.asides)
