"""What must hold for every batch, whatever is in it."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest

from aestream.messages.dead_letters import PREFIX
from aestream.pipeline import Pipeline, Results
from aestream.types import Batch, Partition, Reason, Span
from tests.fuzz.worlds import World

MAX_BYTES = 1_000_000
PARTITION = Partition("in", 0)
# What Python says, and people should not have to read.
_PYTHON = re.compile(
    r"Traceback|object at 0x|<class|NoneType|\b(Type|Key|Value|Attribute|Index|Overflow|Recursion|Msgspec\w*|Decode|"
    r"Unicode\w*|Validation)Error\b|\bnot (iterable|subscriptable|callable)\b|unhashable"
)


@dataclass(frozen=True)
class Told:
    """What became of each value of a batch: its scores, its dead letter, or that it was passed over."""

    scores: dict[int, list[dict[str, Any]]]
    letters: dict[int, tuple[str, str]]  # reason and message
    passed: int

    def of(self, row: int) -> tuple[list[Any], tuple[str, str] | None]:
        """What became of one value; figures as pytest compares them."""
        figures = [
            (
                one["source"].get("element"),
                one["status"],
                pytest.approx(one["score"], rel=1e-5, abs=1e-9),
                pytest.approx(one["error"], rel=1e-5, abs=1e-9),
                pytest.approx(one["p_value"], abs=0.01),  # a share of counted errors, which goes in steps
            )
            for one in self.scores.get(row, ())
        ]
        return figures, self.letters.get(row)


def batch_of(
    values: Sequence[bytes | None],
    first: int = 0,
    keys: Sequence[bytes | None] | None = None,
    headers: Sequence[Any] | None = None,
) -> Batch:
    """These values as they come from one partition, a second apart."""
    n = len(values)
    offsets = range(first, first + n)
    stamps = [1_793_500_000_000 + 1000 * offset for offset in offsets]
    return Batch([Span(PARTITION, 0, n)] if n else [], offsets, stamps, keys or [None] * n, values, headers or [()] * n)


def told(pipeline: Pipeline, values: Sequence[bytes | None], cuts: Sequence[int] = (), **more: Sequence[Any]) -> Told:
    """What a pipeline makes of values, cut into batches at some places."""
    scores: dict[int, list[dict[str, Any]]] = defaultdict(list)
    letters: dict[int, tuple[str, str]] = {}
    passed: Counter[Any] = Counter()
    edges = [0, *sorted(cuts), len(values)]
    for start, stop in itertools.pairwise(edges):
        batch = batch_of(values[start:stop], start, **more)
        results = results_of(pipeline, batch)
        passed.update(results.passed)
        assert all(len(problem.message) < 1000 for problem in results.invalid)
        for messages in results.messages:
            assert len(messages.values) == len(messages.keys) == len(messages.sources)
            for place, value in enumerate(messages.values):
                if messages.topic == "dead":
                    row, letter = _letter(messages.headers[place], value, values)
                    assert row not in letters, "two dead letters"
                    letters[row] = letter
                else:
                    score = _score(value)
                    if messages.topic == "scores":
                        scores[score["source"]["offset"]].append(score)
                for _, content in messages.headers[place] if messages.headers else ():
                    assert isinstance(content, bytes)
    return Told(dict(scores), letters, passed.total())


def results_of(pipeline: Pipeline, batch: Batch) -> Results:
    """What a worker does with a batch."""
    decoded = pipeline.decode(batch)
    return pipeline.results(batch, decoded, pipeline.score(batch, decoded), lambda _topic: MAX_BYTES)


def _letter(headers: Any, value: bytes | None, values: Sequence[bytes | None]) -> tuple[int, tuple[str, str]]:
    found = {name.removeprefix(PREFIX): content.decode() for name, content in headers if name.startswith(PREFIX)}
    row, reason, message = int(found["offset"]), found["error_type"], found["error"]
    original = values[row] or b""
    assert reason in set(Reason)
    assert len(message) > 8, message
    assert "\n" not in message, message
    assert not _PYTHON.search(message), message
    if "truncated" in found:
        assert original.startswith(value or b"")
        assert int(found["truncated"]) == len(original)
    else:
        assert (value or b"") == original
    return row, (reason, message)


def _score(value: bytes | None) -> dict[str, Any]:
    """The JSON of a score, strictly: UTF-8, no NaN, finite figures."""

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} in {value!r}")

    score: dict[str, Any] = json.loads((value or b"").decode(), parse_constant=refuse)
    if "score" not in score:
        return score  # the end of an episode
    for name in ("score", "error", "threshold", "p_value"):
        assert isinstance(score[name], int | float), score
        assert math.isfinite(score[name]), score
    assert score["anomaly"] in {True, False}
    assert score["status"] in {"scored", "warming", "late"}
    return score


def judged(world: World, values: Sequence[bytes | None], good: Sequence[int], cuts: Sequence[int]) -> Told:
    """Check all that must hold for a batch whose places `good` hold good messages of an entity of their own."""
    whole = told(world.pipeline(), values)
    # every value is a score, a dead letter, or passed over, and nothing else
    silent = [row for row in range(len(values)) if row not in whole.scores and row not in whole.letters]
    assert len(silent) <= whole.passed
    if world.layout.plain:
        assert not silent
        assert not whole.scores.keys() & whole.letters.keys()
        assert all(len(scores) == 1 for scores in whole.scores.values())
    # however the batch is cut
    apart = told(world.pipeline(), values, cuts)
    for row in range(len(values)):
        assert apart.of(row) == whole.of(row), (row, values[row])
    # whatever the neighbours are
    alone = told(world.pipeline(), [values[row] for row in good])
    for place, row in enumerate(good):
        assert whole.of(row)[1] is None
        assert alone.of(place)[0] == whole.of(row)[0], row
    return whole
