"""Episodes whose opening or closing is too large for its topic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aestream.messages.closings import Ending
from aestream.messages.episodes import Episode
from aestream.messages.scores import Scored
from aestream.messages.untold import Untold
from aestream.types import Batch, Partition, Span

BATCH = Batch([Span(Partition("in", 1), 0, 4)], [5, 6, 7, 8], [10, 20, 30, 40], [b"a", b"b", None, b"c"], [b""] * 4)


def scored(*told: tuple[int, str, str], flagged: Sequence[int] = ()) -> Scored:
    """Four records, of which some, at these places, tell of an episode in a state."""
    none = np.zeros(4)
    return Scored(
        np.arange(4),
        none,
        none,
        none,
        np.isin(np.arange(4), flagged),
        np.array(flagged, np.intp),
        [[] for _ in flagged],
        None,
        None,
        told=np.array([place for place, _, _ in told], np.intp),
        episodes=[Episode(name, state, 0, 2.0, []) for _, name, state in told],
        entities=[{"host": str(place)} for place, _, _ in told],
    )


def states(found: Scored) -> list[tuple[str, str]]:
    return [(episode.id, episode.state) for episode in found.episodes]


def test_the_next_message_opens_what_could_not_be_opened() -> None:
    first = scored((0, "x", "opened"), (1, "y", "opened"), (2, "x", "ongoing"), (3, "x", "ongoing"))
    untold = Untold()
    untold.missed(BATCH, first, [0])
    found = untold.opened(first.without([0]))
    assert states(found) == [("y", "opened"), ("x", "opened"), ("x", "ongoing")]
    assert states(first)[2] == ("x", "ongoing")
    untold.missed(BATCH, found, [1])  # that one is too large as well
    assert states(untold.opened(found.without([1]))) == [("y", "opened"), ("x", "opened")]


def test_it_is_known_in_the_next_batch_however_often_that_is_written() -> None:
    untold = Untold()
    untold.missed(BATCH, scored((3, "x", "opened")), [3])
    for _ in range(2):
        again = untold.after()
        assert states(again.opened(scored((0, "x", "ongoing"), (1, "x", "ongoing")))) == [
            ("x", "opened"),
            ("x", "ongoing"),
        ]
    assert states(again.after().opened(scored((0, "x", "ongoing")))) == [("x", "ongoing")]


def test_one_that_never_opened_is_closed_and_forgotten() -> None:
    untold = Untold()
    untold.missed(BATCH, scored((3, "x", "opened")), [3])
    assert states(untold.opened(scored((0, "x", "closed"), (1, "x", "ongoing")))) == [
        ("x", "closed"),
        ("x", "ongoing"),
    ]


def test_a_closing_that_cannot_be_told_ends_without_its_record() -> None:
    untold = Untold()
    untold.missed(BATCH, scored((0, "x", "ongoing"), (1, "y", "closed"), (3, "z", "closed"), flagged=[0]), [0, 1])
    (one,) = untold.ended
    assert (one.why, one.source, one.key, one.at) == (Ending.TOO_LARGE, Partition("in", 1), b"b", 20)
    assert one.entity == {"host": "1"}
    assert one.episode.id == "y"


def test_only_so_many_are_kept_in_mind() -> None:
    untold = Untold(str(number) for number in range(2000))
    found = untold.after().opened(scored((0, "999", "ongoing"), (1, "1000", "ongoing")))
    assert states(found) == [("999", "ongoing"), ("1000", "opened")]
