"""What counts as having fallen out of the group for good, and what does not."""

from __future__ import annotations

import pytest

from aestream.service.membership import GroupWatch
from aestream.types import Membership
from tests.unit.service.clock import Clock

SESSION, INTERVAL = 45.0, 300.0
MEMBER, JOINING, OUTSIDE = Membership.MEMBER, Membership.JOINING, Membership.OUTSIDE


@pytest.fixture
def watch(clock: Clock) -> GroupWatch:
    return GroupWatch(session_timeout=SESSION, max_poll_interval=INTERVAL, clock=clock)


def after(watch: GroupWatch, clock: Clock, seconds: float, membership: Membership, *, refused: bool) -> str | None:
    """What it says at the end of so many seconds in one state, looked at twice a second."""
    said = None
    for _ in range(int(seconds * 2)):
        clock.now += 0.5
        said = said or watch.look(membership, refused=refused)
    return said


def test_a_member_that_commits_is_well(watch: GroupWatch, clock: Clock) -> None:
    assert after(watch, clock, 10_000, MEMBER, refused=False) is None


@pytest.mark.parametrize("membership", [MEMBER, OUTSIDE])
def test_refused_commits_without_a_join_are_lost_after_a_session(
    watch: GroupWatch, clock: Clock, membership: Membership
) -> None:
    assert after(watch, clock, SESSION, membership, refused=True) is None
    assert after(watch, clock, 1, membership, refused=True)


def test_a_quiet_worker_outside_its_group_is_lost_as_well(watch: GroupWatch, clock: Clock) -> None:
    assert "not a member" in str(after(watch, clock, SESSION + 1, OUTSIDE, refused=False))


def test_a_slow_rebalance_is_waited_for(watch: GroupWatch, clock: Clock) -> None:
    assert after(watch, clock, INTERVAL, JOINING, refused=True) is None
    assert after(watch, clock, 1, MEMBER, refused=False) is None
    assert after(watch, clock, INTERVAL, JOINING, refused=True) is None


def test_a_join_without_an_end_is_lost(watch: GroupWatch, clock: Clock) -> None:
    assert "join has been under way" in str(after(watch, clock, INTERVAL + SESSION + 1, JOINING, refused=True))


def test_an_hour_held_up_by_an_outage_does_not_count(watch: GroupWatch, clock: Clock) -> None:
    assert watch.look(OUTSIDE, refused=True) is None
    clock.now += 3600
    assert watch.look(OUTSIDE, refused=True) is None
    assert after(watch, clock, SESSION - 5, OUTSIDE, refused=True) is None


def test_it_judges_anew_when_told(watch: GroupWatch, clock: Clock) -> None:
    assert after(watch, clock, SESSION + 1, OUTSIDE, refused=True)
    watch.begin()
    assert after(watch, clock, SESSION, OUTSIDE, refused=True) is None
