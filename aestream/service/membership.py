"""Whether a worker has fallen out of its consumer group for good, told from what it sees between two batches."""

from __future__ import annotations

import time
from collections.abc import Callable

from aestream.types import Membership

_LONGEST_ROUND_SECONDS = 2.0  # the loop goes round more often than this unless something holds it up


class GroupWatch:
    """Judges a worker's membership, so that one that can commit nothing does not go on scoring for ever.

    Two things have no good end: commits that are refused, or a member that is outside, for a session timeout with no
    join in flight; and a join that takes longer than the slowest member may (its `max_poll_interval`, and a session
    timeout to find that out). A rebalance, however slow, is neither.

    Times are in seconds; `clock` never runs back. Only time that passes while the loop goes round counts: a worker that
    was held up, by a broker that was away for one, gets its whole time to find back.
    """

    def __init__(
        self, *, session_timeout: float, max_poll_interval: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._idle_limit = session_timeout
        self._join_limit = max_poll_interval + session_timeout
        self._clock = clock
        self._looked = clock()  # when it was asked last
        self._idle = 0.0  # time without a good end in sight
        self._unjoined = 0.0  # time since it was a member

    def begin(self) -> None:
        """Judge anew from here: the member is a new one, or the broker was away."""
        self._looked = self._clock()
        self._idle = self._unjoined = 0.0

    def look(self, membership: Membership, *, refused: bool) -> str | None:
        """Take down how things stand, `refused` being the answer to the last commit; say what is wrong, if it is."""
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
            return f"its join has not ended for {self._unjoined:.0f} s"
        return None
