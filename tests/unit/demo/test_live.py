"""The live view and the plain lines."""

from __future__ import annotations

import msgspec
import numpy as np
from rich.console import Console

from aestream.demo.live import LiveView, PlainView, Progress, Rate, strip
from aestream.messages.scores import FeatureShare, Origin, Score

FEATURES = [FeatureShare(f"metric_{i}", 2.0 + i, 1.0, 0.5 / (i + 1)) for i in range(5)]
ANOMALY = Score(3.5, True, 1.0, 0.3, 0.001, "scored", "m@1", Origin("in", 0, 1, 1), None, features=FEATURES)


def progress(scored: int) -> Progress:
    level = np.concatenate([np.full(scored, 0.2), np.full(100 - scored, np.nan)])
    return Progress(sent=50, total=100, scored=scored, dead=1, anomalies=2, lag=7, score=level)


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
    with console.capture() as capture, PlainView(console, clock=lambda: now[0]) as view:
        for now[0] in (0.5, 1.0, 2.0, 2.5, 4.5):
            view.update(progress(int(now[0] * 10)))
        for row in range(100):
            view.anomaly(row, ANOMALY)
    lines = capture.get().splitlines()
    assert [line for line in lines if "sent" in line] == [
        "50 of 100 sent, 20 scored, 10 records/s, lag 7, 2 anomalies, 1 dead letters",
        "50 of 100 sent, 45 scored, 10 records/s, lag 7, 2 anomalies, 1 dead letters",
    ]
    assert sum(line.startswith("anomaly in row") for line in lines) == 40
    assert lines[2] == (
        "anomaly in row 0, score 3.50: metric_0 2, expected 1 (50%); metric_1 3, expected 1 (25%); "
        "metric_2 4, expected 1 (17%)"
    )
    assert lines[-1] == "further anomalies are only counted"


def test_a_plain_line_names_the_entity() -> None:
    console = Console(width=200, color_system=None)
    with console.capture() as capture, PlainView(console) as view:
        view.anomaly(7, msgspec.structs.replace(ANOMALY, entity={"host": "web-1"}))
    assert capture.get().startswith("anomaly in row 7, host=web-1, score 3.50: metric_0 2, ")


def test_the_live_view_shows_numbers_and_the_last_anomalies_and_fits_the_screen() -> None:
    console = Console(width=100, height=24, color_system=None, force_terminal=True)
    view = LiveView(console)
    for row in range(20):
        view.anomaly(row, ANOMALY)
    with console.capture() as capture:
        console.print(view.draw(progress(40), 123.4))
    text = capture.get()
    assert "123 records/s" in text
    assert "lag 7" in text
    assert "40 of 100 scored" in text
    assert "metric_2" in text
    assert "metric_3" not in text
    assert "│ 19 " in text
    assert "│ 5 " not in text
    assert len(text.splitlines()) <= 24


def test_the_strip_keeps_every_peak() -> None:
    score = np.full(1000, 0.1)
    score[500] = 20.0
    score[:100] = np.nan
    drawn = strip(score, 10)
    assert drawn.plain == " ▁▁▁▁█▁▁▁▁"
    assert [drawn.plain[span.start] for span in drawn.spans if "red" in str(span.style)] == ["█"]
    assert strip(score[:0], 10).plain == ""
