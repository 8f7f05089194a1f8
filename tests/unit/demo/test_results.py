"""What comes back is counted once each, and judged against the labels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from aestream.demo import plot, summary
from aestream.demo.feed import Feed
from aestream.demo.results import Results
from aestream.demo.verdict import Finding, Summary, judge
from aestream.errors import DataError
from aestream.messages.episodes import Episode
from aestream.types import Level
from tests.unit.demo.runs import TOPICS, batch, feed, message, recording

FIRST = 100
ISSUE = [
    "records_in", "scores_out", "dead_letters", "incidents_total", "incidents_found", "false_alarm_rate", "precision",
    "auroc", "auprc", "records_per_second", "latency_p50_ms", "latency_p99_ms", "seconds", "entities",
    "delay_p50_records", "episodes", "episodes_outside", "episodes_per_day", "entities_moved", "entities_held",
]  # fmt: skip


def score(row: int, value: float, *, top: str | None = None) -> bytes:
    return message(FIRST + row, value, top=top)


def one() -> Feed:
    return Feed.of("test.npz", {"web-1": recording()})


def filled() -> Results:
    """Ten records: 2, 3 and 5 flagged, 9 a dead letter."""
    results = Results(one().test.owner, first=FIRST, topics=TOPICS)
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
    verdict, findings = judge(one(), filled(), sent=10, seconds=12.5)
    assert [(f.delay, f.feature, f.named_a_cause) for f in findings] == [(0, "cpu", True), (None, None, None)]
    assert (verdict.records_in, verdict.scores_out, verdict.dead_letters, verdict.lost) == (10, 9, 1, 0)
    assert (verdict.incidents_found, verdict.incidents_total) == (1, 2)
    assert verdict.false_alarm_rate == pytest.approx(1 / 7)
    assert verdict.precision == pytest.approx(2 / 3)
    assert verdict.latency_p50_ms == pytest.approx(500 + 9 * 4)  # published 10 ms apart, taken 1 ms apart
    assert verdict.records_per_second == pytest.approx(9 / 0.58)
    assert verdict.auroc is not None
    assert 0.5 < verdict.auroc < 1


def test_records_without_an_answer_are_lost() -> None:
    results = Results(one().test.owner, first=FIRST, topics=TOPICS)
    results.add(batch("out", [score(row, 0.1) for row in range(4)]))
    verdict, _ = judge(one(), results, sent=10, seconds=1.0)
    assert verdict.lost == 6
    assert verdict.precision is None


def told(row: int, value: float, number: int, state: str) -> bytes:
    return message(row, value, top="cpu", episode=Episode(f"web/{number}", state, 0, max(value, 1.5), []))


def test_episodes_are_followed_from_their_first_anomaly_to_their_end() -> None:
    results = Results(feed(20).test.owner, first=0, topics=TOPICS)
    values = [
        told(4, 1.5, 1, "opened"),
        told(6, 1.2, 1, "ongoing"),
        told(12, 0.2, 1, "closed"),
        told(15, 3.0, 2, "opened"),
    ]
    news = results.add(batch("bad", values)) + results.add(batch("bad", values))
    assert [(new.what, new.row) for new in news] == [("opened", 4), ("ongoing", 6), ("closed", 12), ("opened", 15)]
    first, second = results.episodes.values()
    assert (first.rows, first.worst.score, first.closed) == ([4, 6], 1.5, 12)
    assert (second.rows, second.closed) == ([15], None)
    verdict, findings = judge(feed(20), results, sent=20, seconds=1.0)
    assert (verdict.entities, verdict.episodes, verdict.episodes_outside) == (2, 2, 0)
    assert len(findings) == 2


def test_a_level_is_told_once_until_the_usual_one_returns() -> None:
    results = Results(feed(40).test.owner, first=0, topics=TOPICS)
    levels = {0: "held", 2: "moved", 4: "held", 6: "moved", 8: None, 10: "held", 12: "moved"}
    news = results.add(batch("out", [message(row, 0.2, level=level) for row, level in levels.items()]))
    assert [(new.what, new.row) for new in news] == [
        ("held", 0), ("moved", 2), ("usual", 8), ("held", 10), ("moved", 12),
    ]  # fmt: skip
    assert results.level[[2, 4, 8]].tolist() == [Level.MOVED, Level.HELD, Level.USUAL]
    results.add(batch("out", [message(1, 0.2, level="held")]))
    verdict, _ = judge(feed(40), results, sent=40, seconds=1.0)
    assert (verdict.entities_moved, verdict.entities_held) == (1, 1)


def printed(verdict: Summary, findings: list[Finding]) -> str:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        summary.show(console, one(), verdict, findings)
    return capture.get()


def test_the_summary_says_what_a_person_asks() -> None:
    verdict, findings = judge(one(), filled(), sent=10, seconds=12.5)
    text = printed(verdict, findings)
    assert "10 in, 9 scored, 1 dead letters, none lost" in text
    assert "1 of 2" in text
    assert "14.29 % of the normal records" in text
    assert "a leak" in text
    assert "3 lost" in printed(replace(verdict, scores_out=6), findings)
    assert "3 for 10 records, 1 of them without" in printed(replace(verdict, episodes=3, episodes_outside=1), findings)


def test_the_json_has_the_promised_names(tmp_path: Path) -> None:
    verdict, _ = judge(one(), filled(), sent=10, seconds=12.5)
    summary.write(tmp_path / "new" / "s.json", replace(verdict, precision=None))
    found = json.loads((tmp_path / "new" / "s.json").read_text())
    assert list(found) == ISSUE
    assert found["precision"] is None
    with pytest.raises(DataError, match="--summary"):
        summary.write(tmp_path, verdict)


@pytest.mark.parametrize("answers", [True, False])
def test_the_picture_is_drawn_whatever_there_is_to_draw(tmp_path: Path, *, answers: bool) -> None:
    results = filled() if answers else Results(one().test.owner, first=FIRST, topics=TOPICS)
    verdict, findings = judge(one(), results, sent=10, seconds=1.0)
    path = tmp_path / "new" / "plot.png"
    plot.draw(path, one(), results, verdict, findings, model="m@1")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(DataError, match="--plot"):
        plot.draw(tmp_path, one(), results, verdict, findings, model="m@1")


def test_the_picture_shows_several_entities_with_episodes_and_levels(tmp_path: Path) -> None:
    results = Results(feed(40).test.owner, first=0, topics=TOPICS)
    results.add(batch("bad", [told(4, 1.5, 1, "opened")]))
    results.add(
        batch("out", [message(row, 1.5 if row == 4 else 0.3, level="moved" if row > 20 else None) for row in range(40)])
    )
    verdict, findings = judge(feed(40), results, sent=40, seconds=1.0)
    plot.draw(tmp_path / "plot.png", feed(40), results, verdict, findings, model="m@1")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
