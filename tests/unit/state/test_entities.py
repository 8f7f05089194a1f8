import numpy as np
import pytest

from aestream.errors import DataError
from aestream.state.entities import Entities
from aestream.types import Key

LAYOUT = np.dtype([("count", "<i8"), ("part", [("rows", "<f8", (3, 2))])])
BLANK = np.array((7, (np.nan,)), dtype=LAYOUT)
KEYS: list[Key] = [None, "a", b"a", 7, ("a", None, (1, b"b")), "", ()]


def entities() -> Entities:
    """Each of KEYS has its own number as count."""
    known = Entities(LAYOUT, BLANK)
    places = known.places(KEYS)
    values = known.values[places]
    values["count"] = np.arange(len(KEYS))
    known.values[places] = values
    return known


def counts(known: Entities, keys: list[Key]) -> list[int]:
    places = known.places(keys)
    counts: list[int] = known.values["count"][places].tolist()
    return counts


def test_a_new_key_has_the_blank_value_and_keeps_its_place() -> None:
    known = Entities(LAYOUT, BLANK)
    places = known.places(["a", None, "a", 7])
    assert places[0] == places[2]
    assert len(set(places.tolist())) == len(known) == 3
    assert counts(known, ["a", "b"]) == [7, 7]
    assert np.isnan(known.values["part"]["rows"]).all()
    assert known.places(["a", None, "a", 7]).tolist() == places.tolist()
    assert known.places([]).tolist() == []


def test_a_key_is_found_without_a_place_for_a_new_one() -> None:
    known = entities()
    assert known.find(["new", *KEYS]).tolist() == [-1, *known.places(KEYS).tolist()]
    assert "new" not in known
    assert known.find([]).tolist() == []


def test_keys_of_an_array_are_the_plain_ones() -> None:
    known = entities()
    assert known.places(np.array([7])).tolist() == known.places([7]).tolist() == known.places([np.int64(7)]).tolist()
    assert known.places(np.array(["a", ""])).tolist() == known.places(["a", ""]).tolist()
    known.places([np.int64(8), np.str_("c")])
    assert 8 in known
    assert known.snapshot()


def test_values_stay_when_room_is_made() -> None:
    known = entities()
    known.places(range(1000))
    assert counts(known, KEYS) == list(range(len(KEYS)))
    assert counts(known, [999]) == [7]


def test_a_batch_of_entities_goes_on_from_its_snapshot() -> None:
    known = entities()
    known.drop(["a"])
    other = Entities(LAYOUT, BLANK)
    other.places(["gone"])
    other.restore(known.snapshot())
    assert list(other) == list(known)
    assert "gone" not in other
    assert other.snapshot() == known.snapshot()
    assert counts(other, KEYS) == [0, 7, 2, 3, 4, 5, 6]


def test_nothing_has_a_snapshot_too() -> None:
    known, other = Entities(LAYOUT, BLANK), entities()
    other.restore(known.snapshot())
    assert len(other) == 0


@pytest.mark.parametrize("layout", [[("count", "<i8")], [("count", "<i8"), ("part", [("rows", "<f8", (2, 3))])]])
def test_another_layout_is_refused(layout: list[tuple[str, object]]) -> None:
    known = entities()
    other = Entities(np.dtype(layout), np.zeros((), dtype=layout))
    other.places(["b"])
    with pytest.raises(DataError, match="another format"):
        other.restore(known.snapshot())
    assert "b" not in known
    assert list(other) == ["b"]


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"{}", b"\x93\xc4\x08"])
def test_a_damaged_snapshot_is_refused_and_changes_nothing(damage: bytes) -> None:
    known = entities()
    with pytest.raises(DataError, match="not a snapshot"):
        known.restore(damage)
    assert counts(known, KEYS) == list(range(len(KEYS)))


def test_a_copy_goes_its_own_way() -> None:
    known = entities()
    twin = known.copy()
    twin.values["count"] += 100
    twin.places(["new"])
    twin.drop([None])
    assert counts(known, KEYS) == list(range(len(KEYS)))
    assert "new" not in known
    assert counts(twin, KEYS[1:]) == list(range(101, 100 + len(KEYS)))
    known.places(["one"])
    assert counts(twin, ["new", "one"]) == [7, 7]


def test_the_place_of_a_dropped_entity_is_used_again_and_blank() -> None:
    known = entities()
    known.drop(["a", "unknown"])
    assert len(known) == len(KEYS) - 1
    assert counts(known, ["new"]) == [7]
    assert len(known.values) == len(KEYS)
