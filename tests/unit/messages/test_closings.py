"""The message that ends an episode without a record, against the schema that users are given."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from aestream.messages.closings import Ended, Ending, closings
from aestream.messages.episodes import episode, fields_of, text_of
from aestream.types import Key, Partition, Phase

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/closing.schema.json").read_text())
SOURCE = Partition("in", 3)
OVER = episode(
    SOURCE,
    ("web-1", "sda"),
    Phase.CLOSED,
    since=1.7e9,
    worst=7.5,
    share=np.array([0.1, 0.6, 0.3]),
    names=["cpu", "load", "disk"],
    most=2,
)


def ended(key: bytes | None = b"web-1,sda", **entity: str) -> Ended:
    return Ended(Ending.SILENT, SOURCE, key, entity, OVER, 1_700_000_060_000)


def test_it_says_which_episode_is_over_and_why() -> None:
    found = closings("anomalies", "m@1", [ended(host="web-1", disk="sda")], 10_000)
    (value,), (headers,) = found.values, found.headers
    document = json.loads(value or b"")
    jsonschema.validate(document, SCHEMA)
    assert document == {
        "anomaly": False,
        "status": "silent",
        "model": "m@1",
        "source": {"topic": "in", "partition": 3, "timestamp": 1_700_000_060_000},
        "key": "web-1,sda",
        "entity": {"host": "web-1", "disk": "sda"},
        "episode": {
            "id": "in/3/web-1,sda/1700000000000",
            "state": "closed",
            "since": 1_700_000_000_000,
            "worst": 7.5,
            "features": [{"name": "load", "share": 0.6}, {"name": "disk", "share": 0.3}],
        },
    }
    assert found.sources == [SOURCE]
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"in/3/web-1,sda/1700000000000/closed",
        "ce_source": b"aestream/m@1",
        "ce_type": b"io.aestream.episode.v1",
        "ce_time": b"2023-11-14T22:14:20.000Z",
        "content-type": b"application/json",
    }


def test_one_that_is_too_large_loses_its_key_and_then_is_left_out() -> None:
    long = ended(b"k" * 5000, host="h" * 5000)
    (value,) = (whole := closings("anomalies", "m@1", [long], 10_000)).values
    assert whole.keys == [b"k" * 5000]
    assert json.loads(value or b"")["key"] == "k" * 1024
    assert json.loads(value or b"")["entity"] == {"host": "h" * 1024}
    assert closings("anomalies", "m@1", [long, ended()], 4000).keys == [None, b"web-1,sda"]
    assert len(closings("anomalies", "m@1", [long, ended(None)], 500)) == 0


@pytest.mark.parametrize(
    ("key", "names", "text", "fields"),
    [
        ("web-1", ["host"], "web-1", {"host": "web-1"}),
        (("web-1", None), ["host", "disk"], "web-1,", {"host": "web-1"}),
        (None, ["host"], "", {}),
        ("k", [], "k", {}),
        (("a", 7), [], "a,7", {}),
        ("web-1", ["host", "disk"], "web-1", {}),  # remembered before `key` named a second field
        (("web-1", "sda"), ["host"], "web-1,sda", {}),
    ],
)
def test_a_key_as_text_and_as_fields(key: Key, names: list[str], text: str, fields: dict[str, str]) -> None:
    assert text_of(key) == text
    assert fields_of(key, names) == fields
