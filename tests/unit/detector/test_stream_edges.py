"""What a detector that remembers must not stumble over: units, kinds of features, wrong calls, clocks that lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aestream import Detector
from aestream.errors import DataError
from aestream.types import Flags, Matrix, Places, Vector

ROWS = 3000
OWNER: Places = np.arange(ROWS) % 2
KEYS = [f"h{owner}" for owner in OWNER]
TIMES: Vector = 1.7e9 + 10.0 * np.arange(float(ROWS))
SIZE = np.where(OWNER, 1000.0, 1.0)  # the second host's values are a thousand times as large
PAST, LATER = slice(2000), slice(2000, None)


def two_hosts() -> Matrix:
    """(n, 3) rows of two hosts that take turns: two waves and their sum, around ten times their height."""
    random = np.random.default_rng(0)
    slow, fast = np.sin(np.arange(ROWS) / 40), np.cos(np.arange(ROWS) / 60)
    waves = np.stack([slow, fast, slow + fast], axis=1) + 0.02 * random.standard_normal((ROWS, 3))
    return (waves + 10) * SIZE[:, None]


def records(matrix: Matrix) -> list[dict[str, Any]]:
    modes = np.where(matrix[:, 0] > 10 * SIZE, "busy", "idle")
    columns = zip(KEYS, TIMES.tolist(), modes.tolist(), matrix.tolist(), strict=True)
    return [{"host": host, "at": at, "mode": mode, "a": a, "b": b, "c": c} for host, at, mode, (a, b, c) in columns]


def fitted(matrix: Matrix, **options: Any) -> Detector:
    asked = {"window": 5, "steps": 200, "false_alarm_rate": 0.02, **options}
    return Detector(**asked).fit(matrix[PAST], keys=KEYS[PAST], times=TIMES[PAST])


@pytest.fixture(scope="module")
def rows() -> Matrix:
    return two_hosts()


@pytest.fixture(scope="module")
def detector(rows: Matrix) -> Detector:
    return fitted(rows)


def spiked(rows: Matrix, detector: Detector, host: int, size: float) -> Vector:
    """The score of a record whose first value is larger by `size`."""
    later, place = rows[LATER].copy(), 500 + host
    later[place, 0] += size
    score: Vector = detector.score(later, keys=KEYS[LATER], times=TIMES[LATER])[place]
    return score


def test_a_least_deviation_is_in_the_units_of_the_entity(rows: Matrix, tmp_path: Any) -> None:
    made = fitted(rows, min_abs_deviation={"feature_0": 50.0})
    made.save(tmp_path / "m")
    for detector in (made, Detector.load(tmp_path / "m")):
        assert spiked(rows, detector, 0, 5.0) < 1.0
        assert spiked(rows, detector, 0, 60.0) > 1.0
        assert spiked(rows, detector, 1, 400.0) > 1.0


def test_a_least_share_is_one_of_what_the_entity_shows(rows: Matrix) -> None:
    detector = fitted(rows, min_rel_deviation={"feature_0": 0.2})
    for host, size in ((0, 1.0), (1, 1000.0)):
        assert spiked(rows, detector, host, size) < 1.0
        assert spiked(rows, detector, host, 10 * size) > 1.0


def test_tolerances_go_with_categories(rows: Matrix) -> None:
    found = records(rows)
    detector = Detector(window=5, steps=20, false_alarm_rate=0.02, direction={"a": "up"})
    detector.fit(found[PAST], keys="host", times="at")
    assert np.isfinite(detector.detect(found[LATER], explain=True).score).all()


def test_what_was_encoded_is_decoded_in_the_units_of_its_entity(rows: Matrix, detector: Detector) -> None:
    codes = detector.encode(rows[LATER], keys=KEYS[LATER], times=TIMES[LATER])
    decoded = detector.decode(codes, keys=KEYS[LATER])
    assert decoded.shape == rows[LATER].shape
    ratio = decoded / SIZE[LATER, None]
    assert ratio.min() > 5
    assert ratio.max() < 15
    assert detector.decode(codes).shape == decoded.shape


def test_windows_of_categories_are_decoded(rows: Matrix) -> None:
    found = records(rows)
    detector = Detector(window=5, steps=20, false_alarm_rate=0.02).fit(found[PAST], keys="host", times="at")
    assert detector.decode(detector.encode(found[LATER])).shape == (1000, 4)


def test_without_adaptation_the_threshold_is_that_of_the_training(rows: Matrix) -> None:
    one = Detector(window=5, steps=50, false_alarm_rate=0.002, adaptation="off").fit(rows[PAST][::2])
    found = one.detect(rows[LATER][::2])
    np.testing.assert_array_equal(found.threshold, one.threshold)
    np.testing.assert_array_equal(found.anomaly, found.score > 1)
    assert (found.p_value[found.anomaly] <= 0.002).all()
    assert (found.p_value[found.score < 0.999] > 0.002).all()


@pytest.mark.parametrize("explain", [np.ones(3, bool), np.array([1, 2]), "all"], ids=range(3))
def test_what_to_explain_is_said_of_each_row(rows: Matrix, detector: Detector, explain: Flags) -> None:
    with pytest.raises(DataError, match="`explain`"):
        detector.detect(rows[LATER], keys=KEYS[LATER], times=TIMES[LATER], explain=explain)


def test_what_is_no_snapshot_is_refused(detector: Detector) -> None:
    stream = detector.stream()
    for wrong in (b"", b"snapshot", stream.snapshot()[:-1], "text"):
        with pytest.raises(DataError, match="snapshot"):
            stream.restore(wrong)  # type: ignore[arg-type]


def test_no_rows_cannot_be_learnt_from() -> None:
    with pytest.raises(DataError, match="too few"):
        Detector().fit(np.empty((0, 3)), keys=[], times=[])


def test_the_unit_of_a_time_does_not_depend_on_the_piece(rows: Matrix) -> None:
    detector = Detector(window=5, steps=20, false_alarm_rate=0.02)
    detector.fit(rows[PAST], keys=KEYS[PAST], times=1000 * TIMES[PAST])
    times = 1000 * TIMES[2000:2100]
    times[50] *= 1000  # microseconds among milliseconds
    times[60] = 0.0
    whole = detector.stream().detect(rows[2000:2100], keys=KEYS[2000:2100], times=times)
    stream = detector.stream()
    status = [
        stream.detect(rows[2000 + at : 2001 + at], keys=[KEYS[at]], times=times[at : at + 1]).status
        for at in range(100)
    ]
    np.testing.assert_array_equal(np.concatenate(status), whole.status)
    assert np.flatnonzero(whole.status).tolist() == [60]


def test_one_record_years_ahead_silences_nobody_for_good(rows: Matrix, detector: Detector) -> None:
    later, times = rows[LATER].copy(), TIMES[LATER].copy()
    times[100] += 1e9
    later[900:920] += 5 * SIZE[2900:2920, None]
    found = detector.detect(later, keys=KEYS[LATER], times=times)
    lied, other = np.arange(0, 1000, 2), np.arange(1, 1000, 2)
    assert np.flatnonzero(found.status[lied]).tolist() == list(range(50, 64))
    assert not found.status[other].any()
    assert not found.anomaly[lied[50:64]].any()
    assert found.anomaly[900]
    assert found.anomaly[901]
    stream, pieces = detector.stream(), np.split(np.arange(1000), [90, 105, 113, 119, 121, 500])
    parts = [stream.detect(later[at], keys=[KEYS[row] for row in at], times=times[at]) for at in pieces]
    np.testing.assert_array_equal(np.concatenate([part.status for part in parts]), found.status)
    np.testing.assert_allclose(np.concatenate([part.score for part in parts]), found.score, rtol=1e-5)
