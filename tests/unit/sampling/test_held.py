"""What is said of the entities of a sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aestream.detector.detector import Detector
from aestream.features.schema import FeatureSchema
from aestream.inference.infer import Inference
from aestream.sampling.held import Held
from aestream.sampling.sample import Sample, fit

SCHEMA = FeatureSchema.of_names(["load", "latency"])


def sample(records: dict[str, int]) -> Sample:
    """So many records of each entity, one minute apart."""
    turns = [(step, key) for key, count in records.items() for step in range(count)]
    steps, keys = zip(*sorted(turns), strict=True)
    load = np.sin(np.array(steps) / 10) + 0.1 * np.random.default_rng(0).normal(size=len(steps))
    matrix = np.column_stack([load, 2 * load + 0.1 * np.random.default_rng(1).normal(size=len(steps))])
    return Sample(matrix, SCHEMA, Inference(), {}, {}, keys, times=60.0 * np.array(steps), remedy="wait")


@pytest.fixture(scope="module")
def detector() -> Detector:
    counts = {"a": 300, "b": 250, "c": 60, "d": 12}
    return fit(Detector(false_alarm_rate=0.01, steps=50, window=10), sample(counts))


def test_it_counts_entities_records_and_scalings(detector: Detector) -> None:
    held = Held.of(sample({"a": 300, "b": 250, "c": 60, "d": 12}), detector)
    assert held == Held(4, 155, 12, own=2, short=0, window=10, share=1.0, remedy="wait")
    assert held.warnings == []
    assert str(held) == (
        "4 entities (records of each: 155 in the median, at least 12), 2 of them with a scaling and a threshold of "
        "their own"
    )
    some = replace(held, entities=1234, share=0.031)
    assert str(some).startswith("1,234 entities, about 3.1 % of all (records of each: 155 in")


def test_most_entities_with_less_than_a_window_are_warned_of(detector: Detector) -> None:
    few = {f"k{i}": 3 for i in range(5)}
    held = Held.of(sample(few | {f"l{i}": 30 for i in range(4)}), detector)
    assert held is not None
    (warning,) = held.warnings
    assert warning == "5 of the 9 entities in the sample have fewer than 10 records, too few for a window: wait"
    enough = Held.of(sample(few | {f"l{i}": 30 for i in range(5)}), detector)
    assert enough is not None
    assert enough.warnings == []


def test_where_each_record_is_judged_alone_the_usual_window_counts() -> None:
    alone = Detector(false_alarm_rate=0.01, steps=50, window=1).fit(np.random.default_rng(0).normal(size=(300, 2)))
    held = Held.of(sample({"a": 3, "b": 5}), alone)
    assert held is not None
    assert (held.window, held.own, held.short) == (10, 0, 2)


def test_a_single_entity_is_not_worth_a_line(detector: Detector) -> None:
    assert Held.of(sample({"a": 300}), detector) is None
    assert Held.of(replace(sample({"a": 300}), keys=()), detector) is None
