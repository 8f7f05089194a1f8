"""The live view and the plain lines."""

from __future__ import annotations

import msgspec
import numpy as np
from rich.console import Console

from aestream.demo.live import LiveView, PlainView, Progress, Rate, strip
from aestream.demo.results import News, Results
from aestream.messages.episodes import Episode, Part
from aestream.messages.scores import FeatureShare, Origin, Score
from tests.unit.demo.runs import TOPICS, batch, feed, message

FEATURES = [FeatureShare(f"metric_{i}", 2.0 + i, 1.0, 0.5 / (i + 1)) for i in range(5)]
ANOMALY = Score(3.5, True, 1.0, 0.3, 0.001, "scored", "m@1", Origin("in", 0, 1, 1), None, features=FEATURES)


def in_episode(state: str, *, anomaly: bool = True) -> Score:
    parts = [Part("metric_0", 0.7), Part("metric_1", 0.3)]
    return msgspec.structs.replace(ANOMALY, anomaly=anomaly, episode=Episode("web-2/1", state, 1000, 4.5, parts))


def results(rows: int = 100, *, scored: int = 0) -> Results:
    found = Results(feed(rows).test.owner, first=0, topics=TOPICS)
    found.add(batch("out", [message(row, 0.2) for row in range(scored)]))
    return found


def test_the_rate_is_that_of_the_last_seconds() -> None:
    now = [0.0]
    rate = Rate(clock=lambda: now[0], span=2.0)
    found = []
    for now[0], count in ((0.0, 0), (1.0, 100), (2.0, 200), (4.0, 220)):
        found.append(rate.update(count))
    assert found == [0.0, 100.0, 100.0, 10.0]


def test_plain_lines_come_every_two_seconds_and_a_bounded_number_of_anomalies() -> None:
    now = [0.0]
    console = Console(width=200, color_system=None)
    found = results()
    with console.capture() as capture, PlainView(console, feed(100), found, clock=lambda: now[0]) as view:
        for now[0] in (0.5, 1.0, 2.0, 2.5, 4.5):
            found.add(batch("out", [message(row, 0.2) for row in range(int(now[0] * 10))]))
            view.update(Progress(50, 7))
        for row in range(100):
            view.tell(News("anomaly", row, ANOMALY))
            view.tell(News("anomaly", row, ANOMALY))
    lines = capture.get().splitlines()
    assert [line for line in lines if "sent" in line] == [
        "50 of 100 sent, 20 scored, 10 records/s, lag 7, 0 episodes open, 0 so far, 0 dead letters",
        "50 of 100 sent, 45 scored, 10 records/s, lag 7, 0 episodes open, 0 so far, 0 dead letters",
    ]
    assert sum("anomaly, score" in line for line in lines) == 120
    assert lines[2] == (
        "web-1 record 0: anomaly, score 3.50: metric_0 2, expected 1 (50%); metric_1 3, expected 1 (25%)"
    )
    assert lines[-1] == "further ones are only counted"


def test_plain_lines_tell_of_episodes_and_of_a_level_that_moved() -> None:
    console = Console(width=200, color_system=None)
    found = results()
    with console.capture() as capture, PlainView(console, feed(100), found) as view:
        for row, state in ((3, "opened"), (5, "ongoing"), (67, "closed")):
            told = msgspec.structs.replace(in_episode(state, anomaly=row < 67), source=Origin("in", 0, row, 1))
            for news in found.add(batch("bad", [msgspec.json.encode(told)])):
                view.tell(news)
        view.tell(News("held", 71, ANOMALY))
        view.tell(News("moved", 81, ANOMALY))
    assert capture.get().splitlines() == [
        "web-2 record 1: episode opened, score 3.50: metric_0 2, expected 1 (50%); metric_1 3, expected 1 (25%)",
        "web-2 record 33: episode closed, 2 anomalies, at worst 4.50: metric_0 (70%), metric_1 (30%)",
        "web-2 record 40: its level has moved for good: train again",
    ]


def drawn(view: LiveView, console: Console) -> str:
    with console.capture() as capture:
        console.print(view.draw(Progress(50, 7), 123.4))
    return capture.get()


def test_the_live_view_shows_each_entity_and_the_episodes_and_fits_the_screen() -> None:
    console = Console(width=140, height=24, color_system=None, force_terminal=True)
    found = results(scored=40)
    view = LiveView(console, feed(100), found)
    for row in range(0, 80, 2):
        episode = Episode(f"web-1/{row}", "opened", 1000, 4.5, [])
        told = msgspec.structs.replace(ANOMALY, source=Origin("in", 0, row, 1), episode=episode)
        found.add(batch("bad", [msgspec.json.encode(told)]))
    text = drawn(view, console)
    for words in (
        "123 records/s",
        "lag 7",
        "40 of 100 scored",
        "40 episodes open, 40 so far",
        "metric_1 3, expected 1",
    ):
        assert words in text
    assert "metric_2" not in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith("web-")] == ["web-1", "web-2"]
    assert "web-1 record 39" in text
    assert "web-1 record 0 " not in text
    assert len(text.splitlines()) <= 24


def test_the_live_view_shows_anomalies_where_records_are_judged_alone() -> None:
    console = Console(width=140, height=24, color_system=None, force_terminal=True)
    view = LiveView(console, feed(100), results(scored=40))
    view.tell(News("anomaly", 7, ANOMALY))
    assert "web-2 record 3" in drawn(view, console)


def test_the_strip_keeps_every_peak() -> None:
    score = np.full(1000, 0.1)
    score[500] = 20.0
    score[:100] = np.nan
    drawn = strip(score, 10)
    assert drawn.plain == " ▁▁▁▁█▁▁▁▁"
    assert [drawn.plain[span.start] for span in drawn.spans if "red" in str(span.style)] == ["█"]
    assert strip(score[:0], 10).plain == ""
