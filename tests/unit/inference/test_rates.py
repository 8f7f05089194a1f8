from typing import Any

import numpy as np
import pytest

from aestream.columns import Column
from aestream.inference.documents import Documents
from aestream.inference.infer import Inference, infer
from aestream.inference.selection import Selection

N, HOSTS = 600, 3
RANDOM = np.random.default_rng(0)
LOAD = RANDOM.normal(50, 10, N)
OCTETS = np.cumsum(RANDOM.integers(1, 1000, N)) + RANDOM.integers(10**6, 10**9, HOSTS)[np.arange(N) % HOSTS]
RESTARTED = np.concatenate([np.cumsum(RANDOM.integers(1, 9, 400)), np.cumsum(RANDOM.integers(1, 9, 200))])


def found(columns: dict[str, Any], *, keys: bool = False, **selection: Any) -> Inference:
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    named = [f"host-{row % HOSTS}" for row in range(N)] if keys else ()
    return infer(Documents(rows, named), Selection(**{"rates": True, **selection}))


def use(inference: Inference, name: str) -> tuple[str, str, str]:
    note = next(note for note in inference.notes if note.name == name)
    return note.used, note.reason, note.remedy


RATE = "a counter: used by its increase per second"


@pytest.mark.parametrize("selection", [{}, {"include": ["requests", "load"]}])
def test_a_counter_is_used_by_its_rate(selection: Any) -> None:
    inference = found({"load": LOAD.tolist(), "requests": RESTARTED.tolist()}, **selection)
    assert use(inference, "requests") == ("rate", RATE, "`exclude=requests`")
    assert inference.schema().counters.tolist() == [1]
    assert not inference.review.warnings


def test_where_nothing_is_remembered_it_is_left_out() -> None:
    columns = {"load": LOAD.tolist(), "requests": RESTARTED.tolist()}
    inference = found(columns, rates=False)
    assert use(inference, "requests") == ("", "a counter: only rises, 1 restart", "`window=auto`")
    assert "send rates, or set `window=auto`" in inference.review.warnings[0]
    forced = found(columns, rates=False, include=["*", "requests"]).schema()
    assert not len(forced.counters)
    assert forced.names == ("load", "requests")


def test_hosts_count_once_they_are_told_apart() -> None:
    columns = {"load": LOAD.tolist(), "octets": OCTETS.tolist(), "host": [f"h{row % HOSTS}" for row in range(N)]}
    assert use(found(columns, key=["host"]), "octets")[:2] == ("rate", RATE)
    assert use(found(columns, keys=True), "octets")[:2] == ("rate", RATE)
    proposed = found(columns)
    assert use(proposed, "octets") == ("", "a counter: only rises within each entity", "`key=host`")
    assert "send rates, or set `key=host`" in proposed.review.warnings[0]


@pytest.mark.parametrize("steps", [1, 4])
def test_a_version_that_is_rolled_out_has_no_rate(steps: int) -> None:
    version = [f"1.{row * (steps + 1) // N}" for row in range(N)]
    used, reason, _ = use(found({"load": LOAD.tolist(), "version": version}, keys=True), "version")
    assert not used
    assert "rises" in reason


def test_seconds_of_cpu_have_a_rate() -> None:
    columns = {"load": LOAD.tolist(), "cpu": (0.017 * OCTETS).tolist(), "kwh": [row // 40 / 10 for row in range(N)]}
    inference = found(columns, keys=True)
    assert use(inference, "cpu")[:2] == use(inference, "kwh")[:2] == ("rate", RATE)


def test_several_counters_in_one_have_no_rate() -> None:
    used, reason, remedy = use(found({"load": LOAD.tolist(), "octets": OCTETS.tolist()}), "octets")
    assert (used, remedy) == ("", "`include=*,octets`")
    assert "name what tells them apart in `key`" in reason


def test_keys_of_records_and_not_of_entities_give_no_rates() -> None:
    rows = [{"load": load, "n": n} for load, n in zip(LOAD.tolist(), RESTARTED.tolist(), strict=True)]
    inference = infer(Documents(rows, [str(row) for row in range(N)]), Selection(rates=True))
    assert not use(inference, "n")[0]


@pytest.mark.parametrize("level", [0, 17])
def test_a_counter_that_never_rose_is_told_by_its_name(level: int) -> None:
    columns = {"load": LOAD.tolist(), "errors_total": [level] * N, "degraded": [0] * N}
    inference = found(columns)
    told = "a counter that never rose: any increase is an anomaly"
    assert use(inference, "errors_total") == ("rate", told, "`exclude=errors_total`")
    assert inference.schema().columns[1:] == (
        Column(imputed=True, steady=True, rate=True),
        Column(imputed=True, steady=True),
    )
    assert use(found(columns, rates=False), "errors_total")[0] == "constant"


def test_a_counter_that_stands_still_in_each_host_or_rose_once() -> None:
    still = (np.arange(N) % HOSTS * 5).tolist()
    once = ((np.arange(N) > 300) & (np.arange(N) % HOSTS == 1)).astype(int).tolist()
    columns = {"load": LOAD.tolist(), "a.total": still, "b total": once, "host": [i % HOSTS for i in range(N)]}
    schema = found(columns, key=["host"], exclude=["host"]).schema()
    assert schema.columns[1:] == (Column(imputed=True, steady=True, rate=True), Column(rate=True))


def test_what_numbers_the_records_has_no_rate() -> None:
    columns = {"load": LOAD.tolist(), "line": list(range(7, N + 7)), "requests_seq": RESTARTED.cumsum().tolist()}
    inference = found(columns)
    assert use(inference, "line") == ("", "a counter: only rises", "`include=*,line`")
    assert use(inference, "requests_seq") == ("", "a counter: only rises", "`include=*,requests_seq`")
    assert use(found(columns, include=["*", "requests_seq"]), "requests_seq")[0] == "rate"
    each = (np.arange(N) // HOSTS).tolist()
    assert not use(found({"load": LOAD.tolist(), "n": each}, keys=True), "n")[0]


def test_a_total_that_falls_is_a_level() -> None:
    assert use(found({"load": LOAD.tolist(), "jobs_total": LOAD.round().tolist()}), "jobs_total")[0] == "numeric"


def test_clocks_and_levels_that_run_away_stay_out() -> None:
    columns = {
        "load": LOAD.tolist(),
        "at": [1_700_000_000 + 60 * row for row in range(N)],
        "fuel": [1e6 - 7 * row for row in range(N)],
        "disk": (np.arange(N) * 0.5 + RANDOM.normal(0, 3, N)).tolist(),
    }
    assert found(columns).schema().names == ("load",)
