"""Which rows are learnt from and which are judged."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.quality.protocols import AT_MOST, PROTOCOLS, contaminated, halves, novelty

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
    return np.rint((rows[:, 1] - together.min()) / step).astype(int)


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


def test_halves_leave_out_what_is_constant(table: Table) -> None:
    train, rest = halves(table[0], 0)
    assert train.shape == rest.shape == (50, 2)
    assert train.std(axis=0) == pytest.approx([1.0, 1.0])
