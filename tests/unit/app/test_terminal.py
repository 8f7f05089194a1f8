"""What people see of an anomaly, and of a training."""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec
import pytest

from aestream.app.terminal import anomaly, anomaly_line, closing_line, trained
from aestream.messages.closings import Closing, Place
from aestream.messages.episodes import Episode, Part
from aestream.messages.scores import FeatureShare, Origin, Score
from aestream.sampling.held import Held
from aestream.service.trainer import Run


def score(timestamp: int, key: str | None = "k") -> Score:
    features = [FeatureShare("cpu.user", 9.25, 1.0, 0.75), FeatureShare("load", 1.0, 1.0, 0.25)]
    origin = Origin("in", 1, 2, timestamp)
    return Score(3.5, True, 7.0, 2.0, 0.001, "scored", "default@1", origin, key, features=features)


def test_a_line_says_when_where_and_what() -> None:
    assert anomaly_line(score(1_700_000_000_000)) == (
        "2023-11-14 22:13:20 score 3.50 in/1/2 key k: cpu.user 9.25, expected 1 (75%); load 1, expected 1 (25%)"
    )
    assert " key " not in anomaly_line(score(0, None))


def test_a_line_names_the_entity_in_place_of_the_key() -> None:
    about = msgspec.structs.replace(score(0), entity={"host": "web-1", "disk": "sda"})
    assert " in/1/2 host=web-1 disk=sda: cpu.user " in anomaly_line(about)
    strange = msgspec.structs.replace(score(0), entity={"host": "\x1b[31mweb\n"})
    assert r" in/1/2 host=\x1b[31mweb\n: cpu.user " in anomaly_line(strange)


def test_a_line_tells_that_an_episode_is_over() -> None:
    parts = [Part("load", 0.6), Part("cpu.user", 0.3)]
    ended = msgspec.structs.replace(
        score(1_700_000_600_000),
        anomaly=False,
        features=None,
        entity={"host": "web-1"},
        episode=Episode("in/1/web-1/1700000000000", "closed", 1_700_000_000_000, 7.5, parts),
    )
    assert anomaly_line(ended) == (
        "2023-11-14 22:23:20 over, since 2023-11-14 22:13:20, at worst 7.50 in/1/2 host=web-1: "
        "load (60%), cpu.user (30%)"
    )


def test_a_line_tells_of_an_episode_that_no_record_ends(capsys: pytest.CaptureFixture[str]) -> None:
    over = Episode("in/1/web-1/1700000000000", "closed", 1_700_000_000_000, 7.5, [Part("load", 0.6)])
    closing = Closing(False, "silent", "m@1", Place("in", 1, 1_700_000_600_000), "web-1", over, {"host": "web-1"})
    line = "2023-11-14 22:23:20 silent, over, since 2023-11-14 22:13:20, at worst 7.50 in/1 host=web-1: load (60%)"
    assert closing_line(closing) == line
    anomaly(msgspec.json.encode(closing))
    anomaly(msgspec.json.encode(score(0)))
    anomaly(b"no message of ours")
    shown = capsys.readouterr().out.splitlines()
    assert shown == [line, anomaly_line(score(0)), "no message of ours"]


@pytest.mark.parametrize("timestamp", [2**62, 253_402_300_800_000, -(2**62)])
def test_a_timestamp_beyond_the_calendar_is_shown_somehow(timestamp: int) -> None:
    assert "in/1/2" in anomaly_line(score(timestamp))


def test_a_training_says_how_many_entities_it_saw(capsys: pytest.CaptureFixture[str]) -> None:
    held = Held(1200, 155, 12, own=900, short=700, window=10, share=0.031, remedy="wait")
    run = Run("1", 186_000, {}, [], 1.0, ["few"], 2.0, [], "2 days", held)
    trained(run, "default")
    said = capsys.readouterr().out
    assert re.search(r"entities +in the median +at least +scaling +shared one", said)
    assert re.search(r"1,200 +155 +12 +900 +300", said)
    assert "about 3.1 % of all entities: they were chosen by their keys" in said
    trained(replace(run, held=replace(held, share=1.0)), "default")
    assert "chosen by their keys" not in capsys.readouterr().out
    trained(replace(run, held=None), "default")
    assert "entities" not in capsys.readouterr().out
