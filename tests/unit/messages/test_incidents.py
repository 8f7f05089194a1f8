"""Which episodes belong together."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aestream.messages.episodes import Episode, Part
from aestream.messages.incidents import APART, MOST_EPISODES, MOST_INCIDENTS, Incidents

NOW = 1_700_000_000_000
LOAD = {"load": 0.7, "cpu": 0.3}


def tell(known: Incidents, name: str, state: str, shares: dict[str, float] | None = None, at: int = NOW) -> str | None:
    """The incident of an episode's message."""
    parts = [Part(feature, share) for feature, share in (shares or LOAD).items()]
    (marked,) = known.mark([Episode(name, state, at, 2.0, parts)], [at])
    assert marked.id == name
    return marked.incident


def test_episodes_that_overlap_in_time_and_features_are_one_incident_named_after_the_first() -> None:
    known = Incidents()
    assert tell(known, "a", "opened") == "a"
    assert tell(known, "b", "opened", {"cpu": 0.6, "load": 0.3, "disk": 0.1}, NOW + 60_000) == "a"
    assert tell(known, "c", "opened", {"disk": 0.9, "cpu": 0.1}) == "c"
    assert tell(known, "b", "ongoing", {"disk": 1.0}) == "a"
    assert [tell(known, name, "closed") for name in "abc"] == ["a", "a", "c"]


def test_an_incident_is_over_with_the_last_of_its_episodes_but_not_for_what_is_read_later() -> None:
    known = Incidents()
    tell(known, "a", "opened")
    assert tell(known, "b", "opened") == "a"
    tell(known, "a", "closed", at=NOW + 10)
    assert tell(known, "c", "opened", at=NOW + 20) == "a"
    tell(known, "b", "closed", at=NOW + 30)
    tell(known, "c", "closed", at=NOW + 40)
    assert tell(known, "d", "opened", at=NOW + 41) == "d"
    tell(known, "d", "closed", at=NOW + 50)
    assert tell(known, "e", "opened", at=NOW + 30) == "a"


def test_it_joins_the_one_with_the_most_in_common() -> None:
    known = Incidents()
    tell(known, "a", "opened", {"load": 0.55, "disk": 0.45})
    tell(known, "b", "opened", {"disk": 0.2, "cpu": 0.8})
    assert tell(known, "c", "opened", {"load": 0.4, "cpu": 0.6}) == "b"


@pytest.mark.parametrize(("apart", "incident"), [(APART, "a"), (-APART, "a"), (APART + 1, "b"), (-APART - 1, "b")])
def test_what_is_read_now_but_is_of_another_time_is_apart(apart: int, incident: str) -> None:
    known = Incidents()
    tell(known, "a", "opened")
    assert tell(known, "b", "opened", at=NOW + apart) == incident


def test_one_that_goes_on_for_long_is_joined_at_its_end() -> None:
    known = Incidents()
    tell(known, "a", "opened")
    for hour in range(1, 6):
        tell(known, "a", "ongoing", at=NOW + hour * APART)
    assert tell(known, "b", "opened", at=NOW + 6 * APART) == "a"


def test_a_closing_long_after_the_last_anomaly_does_not_stretch_an_incident() -> None:
    known = Incidents()
    tell(known, "a", "opened")
    assert tell(known, "a", "closed", at=NOW + 15 * APART) == "a"  # the first record after a night
    assert tell(known, "b", "opened", at=NOW + APART) == "a"
    assert tell(known, "c", "opened", at=NOW + 10 * APART) == "c"


@pytest.mark.parametrize("states", [["ongoing", "closed"], ["closed"]])
def test_one_that_was_opened_elsewhere_has_none(states: Sequence[str]) -> None:
    known = Incidents()
    assert [tell(known, "a", state) for state in states] == [None] * len(states)
    assert tell(known, "b", "opened") == "b"
    assert tell(known, "b", "closed") == "b"
    assert tell(known, "b", "ongoing") is None  # it was only late on its way


def test_an_opening_that_is_told_again_stays_where_it_is() -> None:
    known = Incidents()
    tell(known, "a", "opened")
    tell(known, "b", "opened", {"disk": 1.0})
    assert tell(known, "b", "opened") == "b"
    tell(known, "b", "closed")
    assert tell(known, "c", "opened", {"disk": 1.0}, at=NOW + 1) == "c"


def test_the_newest_are_kept() -> None:
    known = Incidents()
    for number in range(MOST_INCIDENTS + 1):
        tell(known, str(number), "opened", {str(number): 1.0})
    assert tell(known, "x", "opened", {"0": 1.0}) == "x"
    assert tell(known, "y", "opened", {"2": 1.0}) == "2"
    assert tell(known, "0", "closed") == "0"
    for number in range(MOST_EPISODES):
        tell(known, f"more-{number}", "opened")
    assert tell(known, "y", "ongoing") is None
    assert tell(known, f"more-{MOST_EPISODES - 1}", "ongoing") == "more-0"
