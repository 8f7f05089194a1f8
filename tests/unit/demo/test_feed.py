"""Recordings side by side as one topic, and the bundled one as three services."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aestream.demo import dataset
from aestream.demo.dataset import BUNDLED, Recording
from aestream.demo.feed import Feed, load
from aestream.demo.incidents import Incident
from aestream.demo.services import SERVICES
from aestream.errors import ConfigurationError, DataError


def recording(rows: int, *, start: float, name: str = "") -> Recording:
    """One with the incident of rows 1 and 2, and values that count from `start`."""
    values = start + np.arange(2.0 * rows).reshape(rows, 2)
    label = np.isin(np.arange(rows), [1, 2])
    return Recording("a.npz", ("cpu", "disk"), values, values, label, (Incident(name, 1, 2, ("cpu",)),))


def test_entities_take_turns_and_share_a_clock() -> None:
    feed = Feed.of("two", {"web-1": recording(4, start=0), "web-2": recording(2, start=100)}, 60.0)
    assert feed.test.owner.tolist() == [0, 1, 0, 1, 0, 0]
    assert feed.test.number.tolist() == [0, 0, 1, 1, 2, 3]
    assert (feed.test.times - feed.train.times[0]).tolist() == [240, 120, 300, 180, 360, 420]
    assert feed.label.tolist() == [False, False, True, True, True, False]
    first = list(feed.records(feed.test, 0, 2))
    assert [(record["cpu"], record["disk"]) for record in first] == [(0.0, 1.0), (100.0, 101.0)]
    assert feed.place(2) == "web-1 record 1"
    assert feed.timed


def test_incidents_are_of_one_entity_unless_they_have_the_same_name() -> None:
    apart = Feed.of("two", {"a": recording(4, start=0), "b": recording(4, start=9)})
    assert [dict(case.causes) for case in apart.cases] == [{0: ("cpu",)}, {1: ("cpu",)}]
    assert np.flatnonzero(apart.rows_of(apart.cases[1])).tolist() == [3, 5]
    assert not apart.timed
    together = Feed.of("two", {key: recording(4, start=0, name="a leak") for key in "ab"})
    assert [dict(case.causes) for case in together.cases] == [{0: ("cpu",), 1: ("cpu",)}]
    assert np.flatnonzero(together.rows_of(together.cases[0])).tolist() == [2, 3, 4, 5]
    assert np.flatnonzero(together.rows_of(together.cases[0], 1)).tolist() == [3, 5]


def test_a_shorter_stream_cuts_its_incidents() -> None:
    feed = Feed.of("two", {"a": recording(4, start=0), "b": recording(4, start=9)})
    short = feed.limited(3)
    assert (len(short.test), len(short.label), len(short.train)) == (3, 3, 8)
    assert [(case.incident.start, case.incident.end) for case in short.cases] == [(1, 1)]
    assert feed.limited(None) is feed


def test_a_field_of_the_file_keeps_its_name() -> None:
    part = recording(3, start=0)
    feed = Feed.of("one", {"a": Recording("a", ("time", "cpu"), part.train, part.test, part.label, ())})
    assert set(next(feed.records(feed.test, 0, 1))) == {"time", "cpu", "time_"}
    assert feed.time_field == "time_"
    assert feed.place(1) == "record 1"


def test_files_are_entities_of_one_topic(tmp_path: Path) -> None:
    label = np.array([0, 1, 0, 0])
    paths = [tmp_path / f"server-{i}.npz" for i in range(8)]
    for path in paths:
        np.savez(path, train=np.ones((4, 2)), test=np.ones((4, 2)), label=label, features=np.array(["cpu", "disk"]))
    feed = load(paths)
    assert feed.entities == tuple(f"server-{i}" for i in range(8))
    assert (feed.source, len(feed.test), len(feed.cases)) == ("8 files", 32, 8)
    np.savez(paths[3], train=np.ones((4, 2)), test=np.ones((4, 2)), label=label, features=np.array(["cpu", "net"]))
    with pytest.raises(DataError, match=r"server-3 has other features than server-0: disk, net\."):
        load(paths)
    with pytest.raises(ConfigurationError, match="different names"):
        load([paths[0], paths[0]])


@pytest.mark.skipif(not BUNDLED.is_file(), reason="the recording is not there")
def test_the_bundled_recording_is_that_of_three_services() -> None:
    whole, feed = dataset.load(None), load([])
    assert feed.entities == SERVICES
    assert (len(feed.train), len(feed.test)) == (3 * len(whole.train), 3 * len(whole.test))
    assert len(feed.cases) == len(whole.incidents)
    clicks = np.flatnonzero(feed.test.owner == 1)
    for name, of in (("consumer_delay_ms", "consumer_delay_ms_clicks"), ("jvm_heap_used_megabytes",) * 2):
        sent = feed.test.values[clicks, feed.names.index(name)]
        assert (sent == whole.test[:, whole.names.index(of)]).all()
    slow = next(case for case in feed.cases if case.incident.name.startswith("slow link, small"))
    assert set(slow.causes) == {1}
    assert "producer_latency_ms" in slow.causes[1]
    assert (feed.label == np.any([feed.rows_of(case) for case in feed.cases], axis=0)).all()
    assert feed.label.sum() < 3 * whole.label.sum()
