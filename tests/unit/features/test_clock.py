import datetime
import sys

import numpy as np
import pytest

from aestream.errors import ConfigurationError
from aestream.features import clock
from aestream.features.clock import DAY, WEEK, Clock

MONDAY = datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC).timestamp()
CHRISTMAS = datetime.datetime(2026, 12, 25, 12, tzinfo=datetime.UTC).timestamp()


def test_the_day_and_the_week_are_circles() -> None:
    quarters = MONDAY + np.array([0, 0.25, 0.5]) * DAY
    np.testing.assert_allclose(Clock(day=True).inputs(quarters), [[0, 1], [1, 0], [0, -1]], atol=1e-6)
    np.testing.assert_allclose(Clock(week=True).inputs(MONDAY + np.array([0, WEEK / 4])), [[0, 1], [1, 0]], atol=1e-6)
    both = Clock(day=True, week=True)
    assert both.inputs(quarters).shape == (3, len(both)) == (3, 4)
    np.testing.assert_allclose(both.inputs(quarters), both.inputs(quarters + WEEK), atol=1e-6)


def test_without_a_time_the_inputs_are_0_and_without_a_clock_there_are_none() -> None:
    assert Clock(day=True).inputs(np.array([np.nan])).tolist() == [[0, 0]]
    assert Clock().inputs(np.array([MONDAY, np.nan])).shape == (2, len(Clock())) == (2, 0)


@pytest.mark.parametrize("made", [Clock(), Clock(day=True), Clock(True, True, "US-CA")])
def test_a_clock_is_kept_as_arrays(made: Clock) -> None:
    assert Clock.from_arrays(made.arrays()) == made


def test_holidays_of_a_country_and_of_a_part_of_it() -> None:
    pytest.importorskip("holidays")
    times = np.array([CHRISTMAS, CHRISTMAS + 5 * DAY, np.nan, 1e30])
    assert Clock(holidays="DE").inputs(times).tolist() == [[1], [0], [0], [0]]
    assert len(Clock(day=True, holidays="DE")) == 3
    chavez = datetime.datetime(2026, 3, 31, tzinfo=datetime.UTC).timestamp()
    assert Clock(holidays="US-CA").inputs(np.array([chavez])).tolist() == [[1]]
    assert Clock(holidays="US").inputs(np.array([chavez])).tolist() == [[0]]


@pytest.mark.parametrize("country", ["XX", "US-QQ", "Germania"])
def test_an_unknown_country_is_one_line(country: str) -> None:
    pytest.importorskip("holidays")
    with pytest.raises(ConfigurationError, match=f"^holidays is '{country}': .*; write DE or US-CA"):
        Clock(holidays=country).inputs(np.array([MONDAY]))


def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clock.calendar.cache_clear()
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(ConfigurationError, match="install the extra `holidays`"):
        Clock(holidays="DE").inputs(np.array([MONDAY]))
