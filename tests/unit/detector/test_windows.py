"""Judging records with those before them, and learning to."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from aestream import Detector
from aestream.detector.deviations import Deviations, EveryDeviation, Tolerances
from aestream.detector.horizons import over_horizons
from aestream.detector.learn_windows import MEMBERS, learn_windows, shares_of, stretches
from aestream.detector.network import Network
from aestream.detector.residuals import LatentBounds
from aestream.detector.rows import Frame
from aestream.detector.scales import Scales
from aestream.detector.windows import Windows, WindowScore
from aestream.features.encoder import FeatureEncoder
from aestream.features.schema import FeatureSchema
from aestream.networks.base import restore

Rows = npt.NDArray[np.float64]
L, WIDTH = 4, 5
OPTIONS = Detector(steps=150).options


def places(count: int, start: int = 0) -> npt.NDArray[np.intp]:
    """Windows of one entity whose rows begin at `start`: the first row stands for those before it."""
    return np.asarray(start + np.maximum(np.arange(count)[:, None] - np.arange(L)[::-1], 0), np.intp)


def waves(count: int, seed: int = 0, phase: float = 0.0) -> Rows:
    """Five sines of different lags: each value is normal at some time, and tells the next ones."""
    noise = np.random.default_rng(seed).normal(size=(count, WIDTH))
    angle = phase + np.arange(count)[:, None] * 0.5 + np.arange(WIDTH)
    return np.asarray(np.sin(angle) + 0.05 * noise)


def frame(rows: Rows, **more: npt.NDArray[np.float64] | npt.NDArray[np.intp]) -> Frame:
    made = Frame(rows, rows.astype(np.float32), places(len(rows)))
    return replace(made, **more)  # type: ignore[arg-type]


def learnt(train: Frame, rule: Deviations | EveryDeviation | None = None) -> tuple[Windows, Rows]:
    assert train.windows is not None
    cut = stretches(np.zeros(len(train.windows), np.intp) if train.who is None else train.who)
    shares = shares_of(train.inputs, None)
    judge, errors, _ = learn_windows(train, cut, shares=shares, deviations=rule or EveryDeviation(), options=OPTIONS)
    return judge, errors


@pytest.fixture(scope="module")
def judge() -> Windows:
    return learnt(frame(waves(3000)))[0]


def test_a_sequence_of_normal_values_in_a_wrong_order_is_seen(judge: Windows) -> None:
    rows = waves(400, seed=1)
    usual = judge.judge(frame(rows)).error[L:]
    wrong = judge.judge(frame(rows[::-1].copy())).error[L:]
    assert np.median(wrong) > 3 * np.quantile(usual, 0.99)


def test_held_out_errors_are_those_of_new_rows() -> None:
    judge, errors = learnt(frame(waves(3000)))
    new = judge.judge(frame(waves(3000, seed=5, phase=0.3))).error
    assert np.quantile(errors, 0.99) == pytest.approx(np.quantile(new, 0.99), rel=0.15)


def test_errors_do_not_depend_on_the_batch(judge: Windows) -> None:
    whole = frame(waves(1500, seed=2))
    errors = judge.judge(whole).error
    order = np.random.default_rng(0).permutation(1500)
    assert np.allclose(judge.judge(whole.at(order[:700])).error, errors[order[:700]], rtol=1e-5)
    assert len(judge.judge(whole.at(order[:0])).error) == 0


def test_the_merged_members_are_the_mean_of_the_members(judge: Windows) -> None:
    inputs = 3 * np.random.default_rng(0).normal(size=(50, L * WIDTH)).astype(np.float32)
    assert np.allclose(judge.merged(inputs), judge.network.reconstruct(inputs).mean(axis=0), atol=1e-5)
    latent = judge.network.bounds.apply(judge.network.model.encode(inputs))
    assert np.allclose(judge.merged.latent(inputs), latent.transpose(1, 0, 2), atol=1e-5)


def test_latent_and_reconstruction_are_of_the_window_and_of_its_newest_row(judge: Windows) -> None:
    rows = waves(300, seed=3)
    judged = judge.judge(frame(rows), latent=True, rebuilt=True)
    assert judged.latent is not None
    assert judged.latent.shape == (300, judge.network.model.latent_size)
    assert judged.rebuilt is not None
    assert np.square(judged.rebuilt[L:] - rows[L:]).mean() < 0.2 * rows.var()


def test_saved_and_read_again_it_judges_alike(judge: Windows) -> None:
    model, bounds, scorer = judge.network.model, judge.network.bounds, judge.scorer
    again = Windows(
        Network(
            restore(model.kind, model.config(), model.weights),
            LatentBounds.from_arrays(bounds.arrays()),
            EveryDeviation(),
        ),
        WindowScore.from_arrays(scorer.arrays()),
    )
    rows = frame(waves(100, seed=3))
    assert (again.judge(rows).error == judge.judge(rows).error).all()
    assert again.rows == L


def test_a_deviation_that_does_not_count_is_not_seen_in_any_row_of_the_window() -> None:
    train = waves(3000)
    schema = FeatureSchema.of_names([f"f{i}" for i in range(WIDTH)])
    asked = Tolerances.of(schema.names, direction={"f1": "up"}, min_abs_deviation={}, min_rel_deviation={})
    encoder = FeatureEncoder.fit(train, schema)

    def scaled(rows: Rows) -> Frame:
        return replace(frame(rows), inputs=encoder.transform(rows).astype(np.float32))

    ruled, _ = learnt(scaled(train), Deviations.of(asked, encoder))
    rows = waves(200, seed=4)
    usual = np.median(ruled.judge(scaled(rows)).error)
    errors = {}
    for name, by in (("down", -3.0), ("up", 3.0)):
        rows = waves(200, seed=4)
        rows[100:105, 1] += by
        errors[name] = ruled.judge(scaled(rows)).error[100:105].max()
    assert errors["up"] > 10 * usual
    assert errors["down"] < 4 * usual


def test_a_least_deviation_is_in_the_units_of_each_entity() -> None:
    """The waves of one entity are a thousand times as high as those of the other; a move of 1 counts in the lower."""
    who = np.repeat([1, 2], 2000)
    both = np.concatenate([waves(2000), 1000.0 * waves(2000, seed=7)])
    schema = FeatureSchema.of_names([f"f{i}" for i in range(WIDTH)])
    scales = Scales.fit(both, who, np.arange(WIDTH))
    moved = scales.toward(both, who)
    encoder = FeatureEncoder.fit(moved, schema)
    least = dict.fromkeys(schema.names, 10.0)
    asked = Tolerances.of(schema.names, direction={}, min_abs_deviation=least, min_rel_deviation={})

    def scaled(rows: Rows, number: int) -> Frame:
        numbers = np.full(len(rows), number)
        inside = scales.toward(rows, numbers)
        inputs = encoder.transform(inside).astype(np.float32)
        return Frame(inside, inputs, places(len(rows)), numbers, scales=scales)

    inputs = encoder.transform(moved).astype(np.float32)
    train = Frame(moved, inputs, np.concatenate([places(2000), places(2000, 2000)]), who, scales=scales)
    judge, _ = learnt(train, Deviations.of(asked, encoder))
    low, high = waves(50, seed=9), waves(50, seed=9)
    low[40, 2] += 3.0
    high[40, 2] += 3.0
    assert judge.judge(scaled(low, 1)).error[40] == 0
    assert judge.judge(scaled(1000.0 * high, 2)).error[40] > 0
    assert not judge.blame(scaled(low, 1)).counts.any()


def test_a_constant_that_moved_is_remembered_over_the_horizons() -> None:
    rows = waves(20)
    steady = np.zeros((20, 2))
    steady[10, 1] = 4.0
    moved = frame(rows, steady=steady).moved(2)
    strength = np.sqrt(moved[:, 1])
    assert strength[10] == 2.0
    assert strength[11] == pytest.approx(2 * np.mean([0, np.sqrt(1 / 2), np.sqrt(1 / 3), np.sqrt(1 / 4)]))
    assert (np.diff(strength[10 : 10 + L]) < 0).all()
    assert (strength[10 + L :] == 0).all()
    assert (moved[:, 0] == 0).all()
    assert (frame(rows).moved(2) == 0).all()


def test_each_entity_is_measured_by_its_own_residuals() -> None:
    """Two entities, of which one is noisy: the same deviation is nothing in it, and an outrage in the other."""
    calm, noisy = waves(2000), waves(2000, seed=7)
    noisy += np.random.default_rng(8).normal(size=noisy.shape) * 0.5
    both = np.concatenate([calm, noisy])
    who = np.repeat([1, 2], 2000)
    train = Frame(
        both,
        both.astype(np.float32),
        np.concatenate([places(2000), places(2000, 2000)]),
        who,
    )
    judge, _ = learnt(train)
    assert judge.scorer.spread.shape == (3, WIDTH)
    rows = waves(50, seed=9)
    rows[40, 2] += 2.0
    of = [judge.judge(frame(rows, who=np.full(50, number))).error[40] for number in (0, 1, 2)]
    assert of[1] > 2 * of[2]
    assert of[1] > of[0] > of[2]


def test_two_valued_features_weigh_together_a_quarter_of_the_others() -> None:
    rows = waves(1000)
    rows[:, 2:] = rows[:, 2:] > 0.9
    shares = shares_of(rows.astype(np.float32), None)
    assert shares[2:].sum() == pytest.approx(0.2)
    assert shares[:2].tolist() == pytest.approx([0.4, 0.4])


def test_two_valued_features_of_many_entities_are_told_from_their_own_values() -> None:
    rows = np.concatenate([waves(600), waves(600, seed=1) * [1, 1, 1, 7, 1] + [0, 5, 0, 0, 9]])
    rows[:, 2] = rows[:, 2] > 0.9
    detector = Detector(window=10, steps=1, seed=0).fit(rows, keys=np.repeat(["a", "b"], 600))
    judge = detector._fitted.judge
    assert isinstance(judge, Windows)
    assert judge.scorer.weights[2] == pytest.approx(0.2)


def test_stretches_cut_each_owners_rows_in_their_order() -> None:
    cut = stretches(np.array([5, 7] * 8 + [5] * 8))
    own = cut[[*range(0, 16, 2), *range(16, 24)]]
    assert [len(set(own[start : start + 4].tolist())) for start in range(0, 16, 4)] == [1] * 4
    assert set(own.tolist()) == set(range(MEMBERS))
    alone = stretches(np.arange(1000))
    assert np.bincount(alone).tolist() == [1000 // MEMBERS] * MEMBERS


def test_a_context_is_part_of_what_is_expected() -> None:
    """Noise whose level follows the hour: only the clock tells which level is due after a jump."""
    hour = ((np.arange(3000) // 10) % 2).astype(np.float64)
    rows = np.random.default_rng(0).normal(size=(3000, WIDTH)) * 0.1 + hour[:, None]
    judge, _ = learnt(frame(rows, context=hour[:, None]))
    assert judge.network.model.context == 1
    right = judge.judge(frame(rows, context=hour[:, None])).error
    wrong = judge.judge(frame(rows, context=1.0 - hour[:, None])).error
    assert np.median(wrong) > 1.2 * np.median(right)


def test_what_is_off_is_blamed_and_since_when(judge: Windows) -> None:
    rows = waves(100, seed=11)
    rows[60:70, 3] += 2.0
    blame = judge.blame(frame(rows).at(np.array([50, 60, 62, 69])))
    assert blame.since is not None
    assert blame.squares[1:].argmax(axis=1).tolist() == [3, 3, 3]
    assert blame.since[:, 3].tolist() == [1, 1, 3, L]
    assert (blame.since >= 1).all()
    assert blame.squares[2, 3] > 0.8 * blame.squares[2].sum()
    assert abs(blame.expected[2, 3] - (rows[62, 3] - 2.0)) < 0.5
    assert blame.counts.all()


def test_horizons_are_averaged_and_end_with_the_window() -> None:
    squares = np.zeros((1, 4, 1))
    squares[0, -1] = 4.0  # the newest row: over 1, 2, 3 and 4 rows
    expected = np.mean([2.0 / np.sqrt(h) for h in (1, 2, 3, 4)])
    assert over_horizons(squares).item() == pytest.approx(expected, rel=1e-6)
