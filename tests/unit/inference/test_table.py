import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from aestream.demo import dataset
from aestream.errors import DataError
from aestream.inference.table import learn_table

N, HOSTS = 900, 3
RANDOM = np.random.default_rng(0)
HOST = np.arange(N) % HOSTS
LOAD = RANDOM.normal(50, 10, N)
OCTETS = RANDOM.integers(0, 900, (N // HOSTS, HOSTS)).cumsum(axis=0).reshape(-1)
MINUTES = np.arange(N) // HOSTS * 60.0
START = datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC)
ARRAY = np.column_stack([LOAD, OCTETS])
FRAME = pd.DataFrame(
    {
        "host": [f"h{host}" for host in HOST],
        "at": [START + datetime.timedelta(seconds=seconds) for seconds in MINUTES],
        "load": LOAD,
        "octets": OCTETS,
    }
)


def rates(table: Any, **given: Any) -> list[str]:
    _, schema, notes = learn_table(table, **{"rates": True, **given})
    named = [schema.names[place] for place in schema.counters]
    assert named == [note.name for note in notes if note.used == "rate"]
    return named


def test_an_array_without_keys_and_times_has_levels() -> None:
    assert learn_table(ARRAY, rates=True)[1] == learn_table(ARRAY)[1]


@pytest.mark.parametrize("times", [None, MINUTES])
def test_counters_of_an_array_are_told_by_entity(times: Any) -> None:
    assert rates(ARRAY, keys=HOST, times=times) == ["feature_1"]
    assert rates(ARRAY, keys=HOST, times=times, rates=False) == []
    assert rates(-ARRAY, keys=HOST, times=times) == []
    if times is not None:
        assert rates(ARRAY, times=times) == []  # of several hosts in one


def test_the_number_of_a_row_is_a_level() -> None:
    assert rates(np.column_stack([LOAD, np.arange(N)]), times=np.arange(N)) == []
    assert rates(np.column_stack([LOAD, np.arange(N) // HOSTS]), keys=HOST) == []


def test_what_counts_in_some_entities_only_is_a_level() -> None:
    mixed = np.where(HOST == 1, RANDOM.integers(0, 90, N), OCTETS)
    assert rates(np.column_stack([LOAD, mixed]), keys=HOST) == []


@pytest.mark.parametrize("make", [lambda frame: frame, pl.from_pandas, lambda frame: frame.to_dict("records")])
def test_what_names_entities_and_times_is_no_feature(make: Any) -> None:
    _, schema, notes = learn_table(make(FRAME), rates=True, keys="host", times="at")
    assert schema.names == ("load", "octets")
    assert schema.counters.tolist() == [1]
    assert {note.name: note.reason for note in notes if not note.used} == {
        "host": "tells entities apart",
        "at": "tells the time of the records",
    }


def test_keys_and_times_beside_a_frame_are_the_same() -> None:
    fields = FRAME[["load", "octets"]]
    beside = learn_table(fields, rates=True, keys=FRAME["host"], times=FRAME["at"])
    assert beside[1] == learn_table(FRAME, rates=True, keys=["host"], times="at")[1]
    assert rates(fields) == []


def test_rows_out_of_order_are_put_in_order_by_their_times() -> None:
    swapped = FRAME.iloc[RANDOM.permutation(N)]
    assert rates(swapped, keys="host", times="at") == ["octets"]
    assert rates(swapped, keys="host") == []
    gaps = FRAME.assign(at=FRAME["at"].where(np.arange(N) != 7))
    assert rates(gaps[["load", "octets"]], keys=gaps["host"], times=gaps["at"]) == ["octets"]


def test_keys_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="2 keys for 900 rows"):
        learn_table(ARRAY, rates=True, keys=["a", "b"])
    with pytest.raises(DataError, match="no such column"):
        learn_table(FRAME, keys="hots")


def test_the_recording_of_the_demo_has_rates_already() -> None:
    train = dataset.load(None).train
    assert rates(train, times=np.arange(len(train)) * 1.0) == []
