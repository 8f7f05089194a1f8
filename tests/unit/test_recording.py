"""The pure parts of the recording: the load's course, rates out of counters, labels, the npz."""

from __future__ import annotations

import csv
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from aestream.errors import DataError
from tests.recording import load, metrics
from tests.recording.faults import FAULTS, Fault, Stage
from tests.recording.finish import LEFT_OUT, finish, labels_of, trailing_mean
from tests.recording.incidents import CALM_ROWS, RECOVERY_LIMIT, Injector, Limits, schedule

NOBODY = cast("Stage", None)


def test_a_day_has_a_quiet_night_a_lunch_dip_and_a_mean_of_one() -> None:
    day = np.array([load.day_curve(float(second)) for second in range(int(load.DAY_SECONDS))])
    assert day.mean() == pytest.approx(1.0, abs=0.01)
    assert 0.15 < day.min() < 0.35
    assert 1.3 < day.max() < 1.8
    peaks = np.flatnonzero((day > np.roll(day, 1)) & (day > np.roll(day, -1)))
    assert len(peaks) == 2  # before lunch and after it


def test_every_day_is_like_the_other_and_topics_can_lag() -> None:
    assert load.day_curve(37.0) == pytest.approx(load.day_curve(37.0 + 5 * load.DAY_SECONDS))
    assert load.day_curve(137.0, lag=100.0) == pytest.approx(load.day_curve(37.0))


def test_jitter_keeps_to_its_size_and_comes_again_from_its_seed() -> None:
    first, second = load.Jitter(0.1, seed=5), load.Jitter(0.1, seed=5)
    walk = np.log([first.step() for _ in range(20_000)])
    assert walk.std() == pytest.approx(0.1, rel=0.15)
    assert [second.step() for _ in range(3)] == pytest.approx(list(np.exp(walk[:3])))


def test_rates_come_of_counters_and_of_the_time_between() -> None:
    rates = metrics.Rates()
    assert rates.rate("messages", 1000.0, now=50.0) == 0.0
    assert rates.rate("messages", 1300.0, now=52.0) == 150.0
    # A second that could not be read: the next one spreads over both.
    assert rates.rate("messages", 1400.0, now=56.0) == 25.0


def test_a_counter_that_starts_again_is_no_negative_rate() -> None:
    rates = metrics.Rates()
    rates.rate("messages", 1000.0, now=1.0)
    assert rates.rate("messages", 10.0, now=2.0) == 0.0


def test_a_mean_is_that_of_the_second_and_repeats_when_nothing_came() -> None:
    rates = metrics.Rates()
    rates.mean("time", count=100.0, total=1000.0)
    assert rates.mean("time", count=110.0, total=1050.0) == 5.0
    assert rates.mean("time", count=110.0, total=1050.0) == 5.0


def test_the_exporters_text_is_summed_over_its_labels() -> None:
    samples = metrics.parse(
        "# HELP connections all of them\n"
        'socket_connection_count{listener="A",processor="0"} 3.0\n'
        'socket_connection_count{listener="A",processor="1"} 4.0\n'
        'jvm_memory_used_bytes{area="heap"} 1.5E7\n'
        "topic_messagesinpersec 12\n",
    )
    assert samples == {
        "socket_connection_count": 7.0,
        "jvm_memory_used_bytes|heap": 1.5e7,
        "topic_messagesinpersec": 12.0,
    }


def test_the_faults_are_many_of_many_kinds_and_the_last_stays() -> None:
    assert len(FAULTS) >= 16
    assert len({fault.kind for fault in FAULTS}) >= 12
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    plan = schedule(2400, FAULTS)
    for (begin, length, _), (following, _, _) in pairwise(plan):
        assert begin + length + RECOVERY_LIMIT < following
    assert plan[-1][0] + plan[-1][1] == 2400
    assert plan[-1][2].kind == "config change"


def follow(injector: Injector, lags: list[float]) -> list[int]:
    labels = []
    for row, lag in enumerate(lags):
        injector.before(row)
        labels.append(injector.after(row, {"consumer_lag_records_orders": lag, "other": 1.0}))
    return labels


@pytest.fixture
def limits() -> Limits:
    limits = Limits()
    for lag in range(100):
        limits.learn({"consumer_lag_records_orders": float(lag), "other": 0.0})
    return limits


def fault(calls: list[str], **options: Any) -> Fault:
    return Fault(
        "a fault",
        "a kind",
        "small",
        3,
        ("consumer_lag",),
        start=lambda _: calls.append("start"),
        stop=lambda _: calls.append("stop"),
        tick=lambda _, second: calls.append(f"tick {second}"),
        **options,
    )


def test_a_label_lasts_until_the_lag_is_back_to_normal(limits: Limits) -> None:
    calls: list[str] = []
    injector = Injector([(2, 3, fault(calls))], NOBODY, limits)
    labels = follow(injector, [5, 5, 500, 900, 900, 700, 300, 50, 20, 5, 5, 5, 5])
    assert calls == ["start", "tick 0", "tick 1", "tick 2", "stop"]
    assert labels == [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]  # CALM_ROWS rows of calm close it
    (incident,) = injector.incidents
    assert (incident.start, incident.injected_until, incident.end) == (2, 4, 6 + CALM_ROWS)
    assert incident.shows == ["consumer_lag_records_orders"]


def test_a_label_ends_even_when_calm_never_comes(limits: Limits) -> None:
    injector = Injector([(0, 3, fault([]))], NOBODY, limits)
    assert sum(follow(injector, [900.0] * 100)) == 3 + RECOVERY_LIMIT


def test_a_fault_that_is_due_waits_for_the_one_before(limits: Limits) -> None:
    injector = Injector([(0, 3, fault([])), (4, 3, fault([]))], NOBODY, limits)
    follow(injector, [900.0] * 7 + [1.0] * 20)
    first, second = injector.incidents
    assert second.start == first.end + 1 == 7 + CALM_ROWS


def test_a_fault_that_fails_to_start_does_not_end_the_recording(
    limits: Limits, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Stage) -> None:
        raise OSError("no such process")

    injector = Injector([(1, 3, Fault("broken", "kind", "small", 3, (), start=broken))], NOBODY, limits)
    assert follow(injector, [1.0] * 12) == [0] + [1] * (3 + CALM_ROWS) + [0] * (11 - 3 - CALM_ROWS)
    assert "no such process" in capsys.readouterr().err


HEADER = ["time", "label", "messages", "constant", *LEFT_OUT, "lag"]
INCIDENT = {"name": "consumer stuck", "kind": "stuck consumer", "start": 4, "end": 5, "shows": ["lag"]}
ROWS, TRAIN_ROWS = 60, 10


def write_raw(path: Path, label: list[int], **log: Any) -> Path:
    others = [1.0] * len(LEFT_OUT)
    rows = [[1000.0 + row, at, float(row), 4.0, *others, row / 2] for row, at in enumerate(label)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    log = {"train_rows": TRAIN_ROWS, "incidents": [INCIDENT]} | log
    path.with_suffix(".incidents.json").write_text(json.dumps(log))
    return path


def labels(*rows: int) -> list[int]:
    return [int(row in rows) for row in range(ROWS)]


def test_the_bundle_holds_what_changes_with_labels_and_causes(tmp_path: Path) -> None:
    out = tmp_path / "bundle.npz"
    raw = write_raw(tmp_path / "raw.csv", labels(14, 15))
    assert finish(raw, out) == {"train": 10, "test": 50, "features": 2, "incidents": 1}
    with np.load(out, allow_pickle=False) as bundle:
        assert list(bundle["features"]) == ["messages", "lag"]
        assert bundle["train"].dtype == np.float32
        assert bundle["train"].shape == (10, 2)
        assert bundle["test"][1].tolist() == [9.0, 4.5]  # row 11, the mean of rows 7 to 11
        # The mean over WINDOW rows still holds some of the fault after its end.
        assert np.flatnonzero(bundle["label"]).tolist() == list(range(4, 10))
        assert str(bundle["causes"]) == "4-9:2"
        assert list(bundle["incidents"]) == ["consumer stuck (stuck consumer)"]
        assert bundle["timestamps_test"].tolist() == [1010.0 + row for row in range(50)]


def test_labels_that_contradict_the_incidents_are_refused(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw.csv", labels(14, 15, 16))
    with pytest.raises(DataError, match="do not agree"):
        finish(raw, tmp_path / "bundle.npz")


def test_a_value_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw.csv", labels(14, 15))
    raw.write_text(raw.read_text().replace(",12.0,", ",nan,"))
    with pytest.raises(DataError, match="not finite"):
        finish(raw, tmp_path / "bundle.npz")


def test_a_recording_that_ended_early_is_refused(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw.csv", labels()[:9], incidents=[])
    with pytest.raises(DataError, match="before the test part"):
        finish(raw, tmp_path / "bundle.npz")


def test_a_mean_over_the_last_rows_starts_with_what_is_there() -> None:
    assert trailing_mean(np.array([[2.0], [4.0], [6.0], [0.0]]), 3)[:, 0].tolist() == [2.0, 3.0, 4.0, 10.0 / 3.0]


def test_labels_of_causes_include_both_ends() -> None:
    assert labels_of(["1-2:4,5", "5-5:1"], 7).tolist() == [0, 1, 1, 0, 0, 1, 0]


BUNDLE = Path(__file__).parents[2] / "aestream" / "demo" / "data" / "broker-telemetry.npz"


def test_the_bundled_recording_is_whole_and_small() -> None:
    assert BUNDLE.stat().st_size < 2_000_000
    with np.load(BUNDLE, allow_pickle=False) as bundle:
        train, test, causes = bundle["train"], bundle["test"], str(bundle["causes"]).splitlines()
        assert np.isfinite(train).all()
        assert np.isfinite(test).all()
        assert len(train) + len(test) >= 90 * 60
        assert 30 <= len(bundle["features"]) == train.shape[1] <= 50
        assert len(causes) == len(bundle["incidents"]) >= 12
        assert bundle["label"].tolist() == labels_of(causes, len(test)).tolist()
        assert all(line.split(":")[1] for line in causes)
        for times in (bundle["timestamps_train"], bundle["timestamps_test"]):
            assert (np.diff(times) > 0.0).all()


def test_every_metric_and_every_fault_of_the_bundle_is_on_its_page() -> None:
    page = (BUNDLE.parents[3] / "docs" / "recording.md").read_text()
    with np.load(BUNDLE, allow_pickle=False) as bundle:
        for name in bundle["features"]:
            family = re.sub("_(orders|clicks|payments)$", "_*", name)
            assert f"`{family}`" in page, name
        for incident, line in zip(bundle["incidents"], str(bundle["causes"]).splitlines(), strict=True):
            fault = str(incident).rsplit(" (", 1)[0]
            assert f"| {line.split(':')[0]} | {fault} |" in page, fault
