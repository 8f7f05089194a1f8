import numpy as np
import torch

from aestream.detector.folds import Folds, RowNumbers, evenly
from aestream.models.base import state
from aestream.models.dense import DenseAutoencoder
from aestream.models.fit import _swapped, fit
from aestream.networks.progress import Progress
from aestream.types import Floats


def plane(count: int = 400) -> Floats:
    random = np.random.default_rng(1)
    rows: Floats = (random.normal(size=(count, 2)) @ random.normal(size=(2, 5))).astype(np.float32)
    return rows


def network() -> DenseAutoencoder:
    return DenseAutoencoder(features=5, latent_size=2, hidden=16, members=2, seed=0)


def folds(rows: Floats) -> tuple[RowNumbers, RowNumbers]:
    cut = Folds.of(len(rows), 2)
    return evenly(cut.seen, len(rows)), evenly(cut.unseen, len(rows))


def test_progress_is_told_up_to_the_last_step() -> None:
    told: list[Progress] = []
    training = fit(network(), plane(), *folds(plane()), steps=100, noise=0.1, seed=0, checks=10, progress=told.append)
    assert [each.step for each in told] == list(range(10, training.steps + 1, 10))
    assert {each.steps for each in told} == {100}
    assert told[-1].validation_loss < told[0].validation_loss
    assert training.validation_loss == min(each.validation_loss for each in told)


def test_it_ends_early_and_keeps_the_best_weights() -> None:
    """Validation rows that are the opposite of what is learnt: every step makes them worse."""
    rows = np.repeat(np.array([1, -10], np.float32), 50)[:, None] * np.ones(5, np.float32)
    seen, unseen = np.tile(np.arange(50), (2, 1)), np.tile(np.arange(50, 100), (2, 1))
    model = network()
    told: list[Progress] = []
    training = fit(
        model, rows, seen, unseen, steps=1000, noise=0.0, seed=0, checks=100, patience=3, progress=told.append
    )
    assert training.steps < 500
    assert training.validation_loss < told[-1].validation_loss
    held_out = rows[unseen]
    assert abs(np.square(model.trained()(held_out) - held_out).mean() - training.validation_loss) < 1e-3


def test_a_member_never_learns_from_what_it_does_not_see() -> None:
    rows = plane()
    seen, unseen = folds(rows)
    changed = rows.copy()
    changed[unseen[0]] += 100.0
    first, second = network(), network()
    fit(first, rows, seen, unseen, steps=40, checks=1, noise=0.1, seed=0)
    fit(second, changed, seen, unseen, steps=40, checks=1, noise=0.1, seed=0)
    weights, others = state(first)["weights.0"], state(second)["weights.0"]
    assert (weights[0] == others[0]).all()
    assert (weights[1] != others[1]).any()


def test_noise_is_part_of_the_seeded_run() -> None:
    quiet, noisy = network(), network()
    fit(quiet, plane(), *folds(plane()), steps=50, noise=0.0, seed=0)
    fit(noisy, plane(), *folds(plane()), steps=50, noise=0.5, seed=0)
    assert (state(quiet)["weights.0"] != state(noisy)["weights.0"]).any()


def test_folds_cover_every_row_once_in_order() -> None:
    cut = Folds.of(103, 4)
    assert [row for fold in cut.unseen for row in fold] == list(range(103))
    for seen, unseen in zip(cut.seen, cut.unseen, strict=True):
        assert sorted([*seen, *unseen]) == list(range(103))
    assert evenly(cut.unseen, 1000).shape == (4, 25)
    assert evenly(cut.seen, 10).shape == (4, 10)


def test_a_swapped_feature_comes_from_another_window_in_all_of_its_rows() -> None:
    windows = torch.arange(4.0).view(1, 4, 1).expand(2, 4, 15).contiguous()  # each holds its own number
    generator = torch.Generator().manual_seed(0)
    swapped = _swapped(torch.full_like(windows, -1.0), windows, 0.5, 3, generator).view(2, 4, 3, 5)
    assert torch.equal(swapped, swapped[:, :, :1].expand_as(swapped))
    taken = swapped[:, :, 0] >= 0
    assert 0.2 < taken.double().mean().item() < 0.8
    other = windows.view(2, 4, 3, 5)[:, [3, 0, 1, 2], 0]
    assert torch.equal(swapped[:, :, 0][taken], other[taken])


def test_a_context_tells_what_the_features_do_not() -> None:
    """Each row is about +1 or -1 in all features, under so much noise that only the context can say which."""
    side = np.random.default_rng(1).choice(np.array([-1, 1], np.float32), size=(400, 1))
    rows = np.repeat(side, 6, axis=1)
    model = DenseAutoencoder(features=5, latent_size=2, hidden=16, members=2, seed=0, context=1)
    fit(model, rows, *folds(rows), steps=300, noise=10.0, seed=0)
    contradicted = np.concatenate([-rows[:, :5], side], axis=1)
    assert np.square(model.trained()(contradicted) - rows[:, :5]).mean() < 0.2


def test_a_fit_uses_one_thread_and_leaves_the_others_to_whoever_had_them() -> None:
    torch.set_num_threads(2)
    during: list[int] = []
    told = lambda _: during.append(torch.get_num_threads())  # noqa: E731
    fit(network(), plane(), *folds(plane()), steps=4, noise=0.1, seed=0, progress=told)
    assert set(during) == {1}
    assert torch.get_num_threads() == 2
