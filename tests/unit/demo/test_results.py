"""What comes back is counted once each, and judged against the labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from aestream.demo import plot, summary
from aestream.demo.dataset import Recording
from aestream.demo.incidents import Incident
from aestream.demo.results import Follower, Results
from aestream.demo.verdict import Finding, Summary, judge
from aestream.errors import DataError, TransportError
from aestream.messages.scores import FeatureShare, Origin, Score
from aestream.types import Batch, Partition, Span

FIRST = 100
TOPICS = {"input": "in", "scores": "out", "anomalies": "bad", "dead letters": "dead"}
ISSUE = [
    "records_in", "scores_out", "dead_letters", "incidents_total", "incidents_found", "false_alarm_rate", "precision",
    "auroc", "auprc", "records_per_second", "latency_p50_ms", "latency_p99_ms", "seconds",
]  # fmt: skip


def score(row: int, value: float, *, top: str | None = None) -> bytes:
    features = [FeatureShare(top, 9.0, 1.0, 0.8)] if top else None
    origin = Origin("in", 0, FIRST + row, 1_000 + row)
    return msgspec.json.encode(
        Score(value, value > 1, value / 2, 0.5, 0.1, "scored", "m@1", origin, None, features=features)
    )


def batch(topic: str, values: list[bytes], *, headers: list[tuple[tuple[str, bytes], ...]] | None = None) -> Batch:
    n = len(values)
    stamps = [1_500 + 10 * i for i in range(n)]
    return Batch([Span(Partition(topic, 0), 0, n)], range(n), stamps, [None] * n, values, headers or [()] * n)


def recording(rows: int = 10) -> Recording:
    label = np.zeros(rows, bool)
    label[[2, 3, 7]] = True
    incidents = (Incident("a leak", 2, 3, ("cpu",)), Incident("a freeze", 7, 7, ("disk",)))
    data = np.arange(2.0 * rows).reshape(rows, 2)
    return Recording("test.npz", ("cpu", "disk"), data, data, label, incidents)


def filled() -> Results:
    """Ten records: 2, 3 and 5 flagged, 9 a dead letter."""
    results = Results(10, first=FIRST, topics=TOPICS)
    values = {2: 1.5, 3: 4.0, 5: 1.2}
    results.add(batch("out", [score(row, values.get(row, 0.1)) for row in range(9)]))
    results.add(batch("bad", [score(2, 1.5, top="disk"), score(3, 4.0, top="cpu"), score(5, 1.2, top="cpu")]))
    results.add(batch("dead", [b"{"], headers=[(("aestream.dlq.offset", b"109"),)]))
    return results


def test_each_record_counts_once_whatever_comes_twice() -> None:
    results = filled()
    again = results.add(batch("bad", [score(2, 1.5, top="disk")]))
    results.add(batch("out", [score(0, 9.0), score(-5, 9.0), score(99, 9.0)]))
    assert again == []
    assert results.answered == 10
    assert results.score[0] == 0.1
    assert results.flagged.sum() == 3


def test_the_verdict() -> None:
    verdict, findings = judge(recording(), filled(), sent=10, seconds=12.5)
    assert [(f.first_flagged, f.feature, f.named_a_cause) for f in findings] == [(2, "cpu", True), (None, None, None)]
    assert (verdict.records_in, verdict.scores_out, verdict.dead_letters, verdict.lost) == (10, 9, 1, 0)
    assert (verdict.incidents_found, verdict.incidents_total) == (1, 2)
    assert verdict.false_alarm_rate == pytest.approx(1 / 7)
    assert verdict.precision == pytest.approx(2 / 3)
    assert verdict.latency_p50_ms == pytest.approx(500 + 9 * 4)  # published 10 ms apart, taken 1 ms apart
    assert verdict.records_per_second == pytest.approx(9 / 0.58)
    assert verdict.auroc is not None
    assert 0.5 < verdict.auroc < 1


def test_records_without_an_answer_are_lost() -> None:
    results = Results(10, first=FIRST, topics=TOPICS)
    results.add(batch("out", [score(row, 0.1) for row in range(4)]))
    verdict, _ = judge(recording(), results, sent=10, seconds=1.0)
    assert verdict.lost == 6
    assert verdict.precision is None


def printed(verdict: Summary, findings: list[Finding]) -> str:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        summary.show(console, verdict, findings)
    return capture.get()


def test_the_summary_says_what_a_person_asks() -> None:
    verdict, findings = judge(recording(), filled(), sent=10, seconds=12.5)
    text = printed(verdict, findings)
    assert "10 in, 9 scored, 1 dead letters, none lost" in text
    assert "1 of 2" in text
    assert "1428.6 per 10,000 normal records" in text
    assert "a leak" in text
    assert "3 lost" in printed(replace(verdict, scores_out=6), findings)


def test_the_json_has_the_promised_names(tmp_path: Path) -> None:
    verdict, _ = judge(recording(), filled(), sent=10, seconds=12.5)
    summary.write(tmp_path / "new" / "s.json", replace(verdict, precision=None))
    found = json.loads((tmp_path / "new" / "s.json").read_text())
    assert list(found) == ISSUE
    assert found["precision"] is None
    with pytest.raises(DataError, match="--summary"):
        summary.write(tmp_path, verdict)


@pytest.mark.parametrize("answers", [True, False])
def test_the_picture_is_drawn_whatever_there_is_to_draw(tmp_path: Path, *, answers: bool) -> None:
    results = filled() if answers else Results(10, first=FIRST, topics=TOPICS)
    verdict, findings = judge(recording(), results, sent=10, seconds=1.0)
    path = tmp_path / "new" / "plot.png"
    plot.draw(path, recording(), results, verdict, findings, model="m@1")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(DataError, match="--plot"):
        plot.draw(tmp_path, recording(), results, verdict, findings, model="m@1")


def test_the_follower_hands_over_batches_and_errors() -> None:
    def follow() -> Iterator[Batch]:
        yield Batch()
        yield batch("out", [score(0, 0.1)])
        raise TransportError("the broker is gone")

    follower = Follower(follow).start()
    follower.wait_until_reading()
    follower.close()
    taken = follower.take()
    assert len(next(taken)) == 1
    with pytest.raises(TransportError, match="gone"):
        next(taken)
