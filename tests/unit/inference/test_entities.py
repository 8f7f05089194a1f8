from collections.abc import Callable, Sequence

import numpy as np
import pytest

from aestream.inference.entities import codes, propose
from aestream.types import Vector

N = 2400
SEEDS = range(5)
Random = np.random.Generator
Places = Sequence[int]
Fields = dict[str, Sequence[str | None]]
Numbers = dict[str, Vector]


def named(name: str, numbers: Sequence[int] | np.ndarray) -> list[str | None]:
    return [f"{name}-{number}" for number in numbers]


def counter(random: Random, entity: np.ndarray) -> Vector:
    """A counter for each entity, from a random start."""
    values = random.integers(1, 9000, len(entity)).astype(float)
    for one in np.unique(entity):
        mine = entity == one
        values[mine] = np.cumsum(values[mine]) + random.integers(0, 10**8)
    return values


def level(random: Random, entity: np.ndarray) -> Vector:
    """A level for each entity, with little noise."""
    levels = random.uniform(0, 100, int(entity.max()) + 1)
    return np.asarray(random.normal(levels[entity], 5))


def hosts(random: Random) -> tuple[np.ndarray, Fields, Numbers]:
    """Twelve hosts in turn, with other texts beside their names."""
    host = np.arange(N) % 12
    texts: Fields = {
        "region": named("eu", host % 2),
        "host": named("web", host),
        "address": named("10.0.0", host),
        "state": named("state", random.integers(0, 3, N)),
        "trace": named("trace", range(N)),
        "version": named("v", np.arange(N) // 900),
    }
    return host, texts, {"load": random.normal(size=N), "queue": random.poisson(4, N).astype(float)}


@pytest.mark.parametrize("seed", SEEDS)
def test_hosts_whose_counters_rise(seed: int) -> None:
    random = np.random.default_rng(seed)
    host, texts, numbers = hosts(random)
    assert propose(texts, {**numbers, "octets": counter(random, host)}) == ("host",)


@pytest.mark.parametrize("seed", SEEDS)
def test_hosts_that_send_at_random(seed: int) -> None:
    random = np.random.default_rng(seed)
    host = random.integers(0, 12, N)
    texts = {"host": named("web", host), "state": named("state", random.integers(0, 3, N))}
    assert propose(texts, {"load": random.normal(size=N), "octets": counter(random, host)}) == ("host",)


@pytest.mark.parametrize("seed", SEEDS)
def test_hosts_with_levels_of_their_own(seed: int) -> None:
    random = np.random.default_rng(seed)
    host, texts, numbers = hosts(random)
    assert propose(texts, {**numbers, "disk": level(random, host)}) == ("host",)


@pytest.mark.parametrize("seed", SEEDS)
def test_host_and_interface_together(seed: int) -> None:
    random = np.random.default_rng(seed)
    row = np.arange(N)
    texts = {
        "host": named("web", row // 3 % 4),
        "interface": named("eth", row % 3),
        "state": named("state", random.integers(0, 3, N)),
    }
    numbers = {"octets": counter(random, row % 12), "drops": counter(random, row % 12), "load": random.normal(size=N)}
    assert propose(texts, numbers) == ("host", "interface")


@pytest.mark.parametrize("seed", SEEDS)
def test_names_of_metrics_are_part_of_what_is_measured(seed: int) -> None:
    random = np.random.default_rng(seed)
    row = np.arange(N)
    texts = {"host": named("web", row // 4 % 5), "name": named("metric", row % 4)}
    values = level(random, row % 20) + 1000 * (row % 4)
    assert set(propose(texts, {"value": values})) <= {"host", "name"}
    assert "name" in propose(texts, {"value": values})


def test_a_number_may_tell_entities_apart() -> None:
    random = np.random.default_rng(0)
    unit = np.arange(N) % 7
    column = [str(number) for number in unit]
    numbers = {"unit": unit.astype(float), "octets": counter(random, unit), "load": random.normal(size=N)}
    texts = {"unit": column, "load": [str(value) for value in numbers["load"]]}
    assert propose(texts, numbers) == ("unit",)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_gauge_of_few_values_is_no_part_of_a_key(seed: int) -> None:
    random = np.random.default_rng(seed)
    host, texts, numbers = hosts(random)
    numbers["octets"] = counter(random, host)
    numbers["dropped"] = np.cumsum(random.random(N) < 0.01) + 100.0 * host  # rises too seldom within a host
    numbers["queue"] = (random.random(N) < 0.05).astype(float)
    texts = {**texts, "queue": [str(value) for value in numbers["queue"]]}
    assert propose(texts, numbers) == ("host",)


def test_the_order_of_time_decides() -> None:
    random = np.random.default_rng(0)
    host, texts, numbers = hosts(random)
    numbers["octets"] = counter(random, host)
    mixed = random.permutation(N)
    texts = {name: [column[row] for row in mixed] for name, column in texts.items()}
    numbers = {name: values[mixed] for name, values in numbers.items()}
    assert propose(texts, numbers, mixed.astype(np.float64)) == ("host",)


def test_a_field_in_one_kind_of_record_is_enough() -> None:
    random = np.random.default_rng(0)
    row = np.arange(N)
    host = row // 3 % 4
    octets = counter(random, host)
    octets[row % 3 != 2] = np.nan
    texts: Fields = {"name": named("kind", row % 3), "host": named("web", host)}
    assert propose(texts, {"octets": octets, "load": random.normal(size=N)}) == ("host",)


def test_keys_that_do_as_well_are_enough() -> None:
    random = np.random.default_rng(0)
    host, texts, numbers = hosts(random)
    numbers["octets"] = counter(random, host)
    assert propose(texts, numbers, keys=named("key", host)) == ()
    assert propose(texts, numbers, keys=named("key", range(N))) == ("host",)
    assert propose(texts, numbers, keys=[None] * N) == ("host",)


def one_host(random: Random) -> tuple[Fields, Numbers]:
    texts: Fields = {
        "host": named("web", np.zeros(N, int)),
        "state": named("state", random.integers(0, 3, N)),
        "method": named("m", (random.random(N) < 0.3).astype(int)),
        "id": named("id", range(N)),
    }
    return texts, {"load": random.normal(size=N), "octets": counter(random, np.zeros(N, int))}


def states(random: Random) -> tuple[Fields, Numbers]:
    """What is measured depends on a state."""
    state = np.repeat(random.integers(0, 3, N // 20), 20)
    load = np.abs(random.normal(50 * state, 1)).astype(np.float64)
    return {"state": named("state", state), "ok": named("ok", (random.random(N) < 0.9).astype(int))}, {
        "load": load,
        "flag": (random.random(N) < 0.01).astype(float),
        "queue": load.round(),
    }


def deploys(random: Random) -> tuple[Fields, Numbers]:
    """A counter that restarts with each version."""
    version = np.arange(N) // 500
    return {"version": named("v", version)}, {"octets": counter(random, version), "load": random.normal(size=N)}


def gauges(random: Random) -> tuple[Fields, Numbers]:
    texts: Fields = {name: named(name, random.integers(0, n, N)) for name, n in (("a", 2), ("b", 10), ("c", 300))}
    numbers = {
        "walk": np.cumsum(random.normal(size=N)),
        "tooth": np.arange(float(N)) % 300,
        "wave": np.sin(np.linspace(0, 24, N)),
        "rare": (random.random(N) < 0.002).astype(float),
        "level": random.poisson(3, N).astype(float),
    }
    return {**texts, "level": [str(value) for value in numbers["level"]]}, numbers


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("make", [one_host, states, deploys, gauges])
def test_nothing_is_proposed_without_entities(make: Callable[[Random], tuple[Fields, Numbers]], seed: int) -> None:
    texts, numbers = make(np.random.default_rng(seed))
    assert propose(texts, numbers) == ()


def test_nothing_comes_from_nothing() -> None:
    assert propose({}, {}) == ()
    assert propose({"host": ["a", "b"] * 50}, {}) == ()


def test_codes_number_combinations_and_what_is_missing() -> None:
    assert codes([["a", "b", "a", None, "a"]]).tolist() == [0, 1, 0, 2, 0]
    assert codes([["a", "b", "a", "b"], ["x", "x", "y", "x"]]).tolist() == [0, 1, 2, 1]
    assert codes([[]]).tolist() == []
