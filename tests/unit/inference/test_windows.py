import numpy as np
import pytest

from aestream.inference.order import Order
from aestream.inference.windows import ROWS, choose_window
from aestream.types import Matrix, Places

FEATURES = 6


def noise(count: int, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).normal(size=(count, FEATURES))


def series(count: int, seed: int = 0, keep: float = 0.7) -> Matrix:
    """Levels that forget: each is `keep` times the one before, and noise."""
    values = noise(count, seed)
    for row in range(1, count):
        values[row] += keep * values[row - 1]
    return values


def rows(matrix: Matrix, entity: Places | None = None, times: object = None, gap: float | None = None) -> int:
    longest = None if gap is None else np.full(1 if entity is None else entity.max() + 1, gap)
    return choose_window(matrix, Order.of(entity, None if times is None else np.asarray(times, float)), longest).rows


@pytest.mark.parametrize("count", [120, 600, 5000])
@pytest.mark.parametrize("seed", range(4))
def test_series_have_windows_and_noise_has_none(count: int, seed: int) -> None:
    assert rows(series(count, seed)) == ROWS
    assert rows(series(count, seed)[np.random.default_rng(seed).permutation(count)]) == 1
    assert rows(noise(count, seed)) == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [150, 1000])
def test_tables_in_random_order_have_none_whatever_their_columns(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    group = random.integers(0, 3, count)[:, None] * np.array([5, 3, 0, 1])
    rare = random.random((count, 30)) < 4 / count
    heavy = random.standard_cauchy((count, 3))
    copies = np.repeat(noise(count, seed)[:, :1], 20, axis=1)
    table = np.hstack([group + noise(count, seed)[:, :4], rare, heavy, copies, np.ones((count, 2))])
    table[random.random(table.shape) < 0.05] = np.nan
    assert rows(table) == 1


def test_states_that_stay_are_series_and_commands_in_turn_are_too() -> None:
    random = np.random.default_rng(0)
    stays = np.repeat(random.integers(0, 2, (300, 2)), 5, axis=0).astype(float)
    turns = (np.arange(1500) % 3 == 0) & (random.random(1500) < 0.9)
    assert rows(stays) == ROWS
    assert rows(np.column_stack([turns, random.random(1500)]).astype(float)) == ROWS


def test_entities_are_told_apart() -> None:
    hosts = 40
    matrix = np.stack([series(100, seed) for seed in range(hosts)], axis=1).reshape(-1, FEATURES)
    entity = np.tile(np.arange(hosts), 100)
    assert rows(matrix, entity) == ROWS
    assert rows(matrix) == 1  # the rows of others lie between
    levels = noise(4000) + 20.0 * entity[:, None]
    assert rows(levels, entity) == 1
    shuffled = np.random.default_rng(0).permutation(4000)
    times = np.repeat(np.arange(100), hosts)[shuffled]
    assert rows(matrix[shuffled], entity[shuffled], times) == ROWS
    assert rows(matrix[shuffled], entity[shuffled]) == 1


@pytest.mark.parametrize(("lives", "expected"), [(5, 1), (20, 1), (40, 1), (400, ROWS)])
def test_entities_that_live_for_a_few_records_are_judged_by_rows(lives: int, expected: int) -> None:
    count = 8000
    entity = np.arange(count) // lives
    matrix = np.vstack([series(lives, seed) for seed in range(count // lives)])
    assert rows(matrix, entity) == expected
    begun = [np.arange(lives) + start for start in np.random.default_rng(0).uniform(0, count, count // lives)]
    assert rows(matrix, entity, np.concatenate(begun)) == expected


def test_a_sample_of_few_records_of_many_entities_has_no_windows() -> None:
    found = choose_window(noise(20_000), Order.of(np.tile(np.arange(10_000), 2)))
    assert (found.rows, found.why) == (
        1,
        "only 0 of 20000 records have 9 of their entity before them, without a longer gap",
    )


def test_long_entities_of_which_the_sample_holds_little_have_windows() -> None:
    matrix = np.stack([series(30, seed) for seed in range(200)], axis=1).reshape(-1, FEATURES)
    assert rows(matrix, np.tile(np.arange(200), 30)) == ROWS


def test_after_a_gap_records_begin_anew() -> None:
    times = np.arange(3000) + 1000 * (np.arange(3000) // 20)
    assert rows(series(3000), None, times, 3000.0) == ROWS
    assert rows(series(3000), None, times, 500.0) == 1
    assert "or after a gap" in choose_window(series(3000), Order.of(None, times.astype(float)), np.array([500.0])).why


def test_each_entity_has_its_own_gaps() -> None:
    slow = 1000.0 * np.arange(1500)
    fast = np.arange(1500) + 500.0 * (np.arange(1500) // 20)
    matrix, entity = np.vstack([series(1500), series(1500, 1)]), np.repeat([0, 1], 1500)
    order = Order.of(entity, np.append(slow, fast))
    assert choose_window(matrix, order, np.array([10_000.0, 10_000.0])).rows == ROWS
    assert "or after a gap" in choose_window(matrix, order, np.array([10_000.0, 10.0])).why
    assert choose_window(matrix, order, np.array([10.0, 10_000.0])).rows == 1


def test_it_says_why() -> None:
    assert choose_window(series(600)).why == "the records of an entity follow each other (autocorrelation up to 0.76)"
    assert choose_window(noise(600)).why.startswith("the records of an entity do not follow each other")
    assert choose_window(noise(50)).rows == choose_window(np.ones((600, 2))).rows == 1
