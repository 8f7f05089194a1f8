from typing import Any

import numpy as np

from aestream.features.documents import Documents
from aestream.features.inference import infer
from aestream.features.review import Review

N = 1000
NOISE = np.random.default_rng(0).normal(size=(N, 4))


def review_of(records: list[dict[str, Any]]) -> Review:
    return infer(Documents(records)).review


def test_fields_with_the_same_warning_share_a_line() -> None:
    falling = np.linspace(4, 0, N)
    records = [
        {"a": falling[row] + NOISE[row, 0], "b": falling[row] + NOISE[row, 1], "c": NOISE[row, 2]} for row in range(N)
    ]
    assert review_of(records).warnings == [
        "a, b: each ends the sample at its minimum: if it moves on, all that follows is flagged"
    ]


def test_a_list_of_objects_is_left_out_with_the_option_that_reads_it() -> None:
    found = review_of([{"load": NOISE[row, 0], "parts": [{"load": 1.0}]} for row in range(N)])
    assert found.warnings == ["parts: a list of objects, left out; `unpack=parts` reads what is in it"]
    assert not found.refusal


def test_records_that_are_only_in_a_list_are_refused_with_the_option_that_reads_them() -> None:
    found = review_of([{"host": f"web-{row % 3}", "data": {"metrics": [{"load": NOISE[row, 0]}]}} for row in range(N)])
    assert found.refusal == (
        "no number that varies is left for a model to see (data.metrics: a list of objects); `unpack=data.metrics` "
        "reads what is in it; `force=true` trains all the same"
    )
    assert not found.warnings


def test_a_kind_without_fields_of_its_own_has_only_a_share() -> None:
    more: dict[str, Any] = {}
    records = [
        {"x": NOISE[row, 0], **({"a": NOISE[row, 1], "b": NOISE[row, 2]} if row % 4 == 0 else more)} for row in range(N)
    ]
    assert "2 kinds of record: others (75 %), with a (25 %: a, b); " in review_of(records).refusal
