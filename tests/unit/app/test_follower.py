"""Topics are read on a thread of their own, and an error that ends the reading reaches whoever takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aestream.app.follower import Follower
from aestream.errors import TransportError
from aestream.types import Batch


def test_the_follower_hands_over_batches_and_errors() -> None:
    def follow() -> Iterator[Batch]:
        yield Batch()
        yield Batch(values=[b"score"])
        raise TransportError("the broker is gone")

    follower = Follower(follow).start()
    follower.wait_until_reading()
    follower.close()
    taken = follower.take()
    assert len(next(taken)) == 1
    with pytest.raises(TransportError, match="gone"):
        next(taken)
