"""What docs/time.md says of drift holds for the detector as a whole, at the default rate."""

from __future__ import annotations

import pytest

from aestream.state.alarm_rule import LEVEL_ROWS, SOONEST_MOVED
from tests.bench.drift import HOSTS, INCIDENTS, NEW, Fleet, moved, new, storm


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return Fleet.of(0.001, "bounded")


def test_a_level_that_moves_for_good_is_flagged_for_some_rows_then_held_then_moved(fleet: Fleet) -> None:
    for told in moved(fleet, 3.0):
        assert told.flagged <= LEVEL_ROWS + 5
        assert told.episodes <= 1 + told.flagged - LEVEL_ROWS  # one, and the false alarms that were asked for
        assert told.held == LEVEL_ROWS
        assert told.gone <= SOONEST_MOVED
        assert told.later < 0.01


def test_every_clear_incident_of_a_bad_day_is_found(fleet: Fleet) -> None:
    assert list(storm(fleet, 3.0)) == [INCIDENTS] * HOSTS


@pytest.mark.parametrize(
    ("kind", "most", "share"), [("another level", 25, 0.001), ("three times their spread", 60, 0.02)]
)
def test_what_is_flagged_of_a_new_entity_is_bounded(fleet: Fleet, kind: str, most: int, share: float) -> None:
    for flagged, later in new(fleet, *NEW[kind]):
        assert flagged <= most
        assert later < share
