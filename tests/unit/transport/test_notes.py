"""What commits say beside the offset: written by workers, read by workers and trainers of any version."""

from __future__ import annotations

import pytest

from aestream.transport.notes import Note
from aestream.types import Standing


@pytest.mark.parametrize(
    ("note", "text"),
    [
        (Note(), "aestream"),
        (Note(8), "aestream partitions=8"),
        (Note(0, Standing(("a",), 3, 1)), "aestream partitions=0 model=a entities=3 moved=1"),
        (Note(None, Standing(("a", "b"), 0, 0)), "aestream model=a,b entities=0 moved=0"),
        (Note(2, Standing()), "aestream partitions=2 model= entities=0 moved=0"),
    ],
)
def test_a_note_is_read_as_it_was_written(note: Note, text: str) -> None:
    assert str(note) == text
    assert Note.read(text) == note


@pytest.mark.parametrize("text", [None, "", " ", "NO_METADATA", "other aestream", "aestreams partitions=8"])
def test_a_commit_by_something_else_has_no_note(text: str | None) -> None:
    assert Note.read(text) is None


@pytest.mark.parametrize(
    "text", ["aestream", "aestream partitions=x more", "aestream entities=3 moved=-1", "aestream ="]
)
def test_what_is_not_known_is_passed_over(text: str) -> None:
    assert Note.read(text) == Note()
    assert Note.read("aestream epoch=7 partitions=8 model=a entities=3 moved=1 x") == Note(8, Standing(("a",), 3, 1))


def test_a_note_stays_short_and_drops_the_first_versions() -> None:
    versions = tuple(f"20260101T{number:06}Z" for number in range(200))
    text = str(Note(10**6, Standing(versions, 10**9, 10**9)))
    assert len(text.encode()) <= 1000
    note = Note.read(text)
    assert note is not None
    assert note.standing is not None
    assert 40 < len(note.standing.versions) < 60
    assert note.standing.versions == versions[-len(note.standing.versions) :]
    assert (note.standing.entities, note.standing.moved) == (10**9, 10**9)
