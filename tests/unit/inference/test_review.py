from typing import Any

import numpy as np

from aestream.inference.documents import Documents
from aestream.inference.infer import infer
from aestream.inference.review import Review

N = 1000
NOISE = np.random.default_rng(0).normal(size=(N, 4))
GAUGES: list[list[float]] = np.random.default_rng(0).normal(50, 10, (2000, 2)).tolist()


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
        "no number that varies is left for a model to see (data.metrics: a list of objects, `unpack=data.metrics` uses "
        "it; host: 3 different values, the most frequent 'web-0' (33.4 %)); `force=true` trains all the same"
    )
    assert not found.warnings


def test_a_kind_without_fields_of_its_own_has_only_a_share() -> None:
    more: dict[str, Any] = {}
    records = [
        {"x": NOISE[row, 0], **({"a": NOISE[row, 1], "b": NOISE[row, 2]} if row % 4 == 0 else more)} for row in range(N)
    ]
    assert "2 kinds of record: others (75 %), with a (25 %: a, b); " in review_of(records).refusal


def refusal(kinds: list[int]) -> str:
    """Why no model is trained on records of these kinds, each with two fields of its own."""
    records = [{f"a{kind}": first, f"b{kind}": second} for kind, (first, second) in zip(kinds, GAUGES, strict=True)]
    return infer(Documents(records)).review.refusal


def test_records_of_one_kind_are_not_refused() -> None:
    assert refusal([0] * 2000) == ""


def test_several_kinds_are_told_with_what_to_do() -> None:
    told = refusal([row % 3 for row in range(2000)])
    assert "6 of 6 numeric fields are missing in many records and left out; there are 3 kinds of record" in told
    assert "`missing=impute` makes one model of all, or `where=a0=*` makes a model of one kind" in told


def test_a_few_records_of_another_kind_do_not_matter() -> None:
    assert refusal([int(row % 500 == 3) for row in range(2000)]) == ""


def test_imputing_is_not_offered_where_it_would_not_help() -> None:
    told = refusal([row % 15 for row in range(2000)])
    assert "there are 15 kinds of record" in told
    assert "and 10 more; `where=" in told
    assert "impute" not in told


def test_what_could_be_read_is_named_where_nothing_is_a_number() -> None:
    records = [{"note": f"run {row}", "wait": f"{row % 7} ms", "hits": 3 * row} for row in range(400)]
    told = infer(Documents(records)).review.refusal
    assert "(wait: numbers with a unit, such as '0 ms', not read as seconds, `units=wait` uses it; hits: a" in told
    assert "hits: a counter: only rises, `window=auto` uses it; note: free text" in told


def test_records_within_a_field_are_told() -> None:
    told = infer(Documents([{"data": [{"a": 1.0}, {"a": 2.5}]}])).review.refusal
    assert "data: a list of objects, `unpack=data` uses it" in told
