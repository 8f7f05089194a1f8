"""Which rows are learnt from and which are judged."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.quality.protocols import AT_MOST, PROTOCOLS, contaminated, drawn_in, halves, novelty, spaced

Table = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def table() -> Table:
    """100 rows that their second column numbers, 20 of them anomalies; the third column is constant."""
    rows = np.column_stack([np.random.default_rng(0).normal(5, 3, 100), np.arange(100.0), np.full(100, 7.0)])
    return rows, np.arange(100) >= 80


def numbers(rows: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Which rows these were: standardised numbers keep their order and distances."""
    together = np.concatenate([train, rows])[:, 1]
    step = np.diff(np.sort(together)).min()
    found: np.ndarray = np.rint((rows[:, 1] - together.min()) / step).astype(int)
    return found


def test_novelty_learns_from_half_of_the_normal_rows(table: Table) -> None:
    split = novelty(*table, 0)
    assert (len(split.train), len(split.test), int(split.label.sum())) == (40, 60, 20)
    learnt, judged = numbers(split.train, split.test), numbers(split.test, split.train)
    assert sorted([*learnt, *judged]) == list(range(100))
    assert learnt.max() < 80
    assert (judged >= 80).tolist() == split.label.tolist()


def test_contaminated_learns_from_anomalies_too(table: Table) -> None:
    split = contaminated(*table, 0)
    assert (len(split.train), len(split.test), int(split.label.sum())) == (70, 30, 6)
    learnt, judged = numbers(split.train, split.test), numbers(split.test, split.train)
    assert sorted([*learnt, *judged]) == list(range(100))
    assert int((learnt >= 80).sum()) == 14
    assert (judged >= 80).tolist() == split.label.tolist()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_seed_decides_and_the_training_rows_give_the_scale(name: str, table: Table) -> None:
    split, again, other = (PROTOCOLS[name](*table, seed) for seed in (1, 1, 2))
    assert np.array_equal(split.train, again.train)
    assert np.array_equal(split.test, again.test)
    assert not np.array_equal(split.train, other.train)
    assert split.train.mean(axis=0) == pytest.approx(np.zeros(3))
    assert split.train.std(axis=0) == pytest.approx([1.0, 1.0, 0.0])  # what is constant keeps its unit


def test_a_large_set_is_cut() -> None:
    rows = np.random.default_rng(0).normal(size=(2 * AT_MOST, 2))
    label = np.arange(len(rows)) % 10 == 0
    cut = novelty(rows, label, 0)
    assert len(cut.train) + len(cut.test) == AT_MOST
    cut = contaminated(rows, label, 0)
    assert len(cut.train) + len(cut.test) == AT_MOST


def test_halves_share_no_row(table: Table) -> None:
    train, held_out = halves(table[0], 0)
    assert sorted([*train[:, 1], *held_out[:, 1]]) == list(range(100))
    assert len(train) == len(held_out) == 50


def test_spaced_rows_span_the_series() -> None:
    rows = spaced(np.arange(10.0 * AT_MOST)[:, None])
    assert len(rows) == AT_MOST // 2
    assert (rows[0, 0], rows[-1, 0]) == (0, 10 * AT_MOST - 1)
    assert len(spaced(rows[:7])) == 7


def test_far_values_are_drawn_in_and_constants_left_out(table: Table) -> None:
    train, held_out = drawn_in(table[0], np.array([[5.0, 49.5, 7.0], [5.0, 1e6, 8.0]]))
    assert train.shape == (100, 2)
    assert train.std(axis=0) == pytest.approx([1.0, 1.0])
    far = (1e6 - 49.5) / table[0][:, 1].std()
    assert held_out[:, 1] == pytest.approx([0.0, 4 + np.log(1 + far - 4)])
