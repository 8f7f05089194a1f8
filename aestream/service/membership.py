"""Whether a worker has dropped out of its consumer group for good, judged by what it sees between two batches."""

from __future__ import annotations

import time
from collections.abc import Callable

from aestream.types import Membership

_LONGEST_ROUND_SECONDS = 2.0  # the loop runs more often than this unless something holds it up


class GroupWatch:
    """Judges a worker's membership, so that one that cannot commit anything does not keep scoring.

    Two states do not end well: commits are refused, or the member is outside the group, for a session timeout with no
    join under way; or a join takes longer than the slowest member may need (its `max_poll_interval`, and a session
    timeout to detect that). A rebalance, however slow, is neither.

    Times are in seconds; `clock` never runs back. Only time during which the loop runs counts: a worker that was held
    up, for example by a broker that was away, has the full time to rejoin.
    """

    def __init__(
        self, *, session_timeout: float, max_poll_interval: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._idle_limit = session_timeout
        self._join_limit = max_poll_interval + session_timeout
        self._clock = clock
        self._looked = clock()  # when `look` was last called
        self._idle = 0.0  # how long nothing promised a good end
        self._unjoined = 0.0  # time since it was a member

    def begin(self) -> None:
        """Start again from here: the member is a new one, or the broker was away."""
        self._looked = self._clock()
        self._idle = self._unjoined = 0.0

    def look(self, membership: Membership, *, refused: bool) -> str | None:
        """Note the membership and whether the last commit was `refused`; return what is wrong, if anything."""
        now = self._clock()
        passed, self._looked = min(now - self._looked, _LONGEST_ROUND_SECONDS), now
        self._unjoined += passed
        self._idle += passed
        if membership is Membership.MEMBER:
            self._unjoined = 0.0
        if membership is Membership.JOINING or (membership is Membership.MEMBER and not refused):
            self._idle = 0.0
        if self._idle > self._idle_limit:
            state = "is not a member" if membership is Membership.OUTSIDE else "has its commits refused"
            return f"it {state}, with no join under way, for {self._idle:.0f} s"
        if self._unjoined > self._join_limit:
            return f"its join has been under way for {self._unjoined:.0f} s"
        return None
