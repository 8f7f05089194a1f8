"""Learning what is normal: networks, scores and threshold from the rows of a training sample."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aestream.deviations import Deviations, only, zero_if_none
from aestream.features.encoder import FeatureEncoder
from aestream.features.schema import FeatureSchema
from aestream.fitted import CHUNK, Fitted, counting, rebuild, reconstructions
from aestream.models.base import Autoencoder
from aestream.models.dense import DenseAutoencoder
from aestream.models.fit import Progress, fit
from aestream.models.folds import Folds, evenly
from aestream.models.representation import represent
from aestream.options import Options
from aestream.scoring import LatentBounds, ResidualScore
from aestream.thresholds import calibrators

Matrix: TypeAlias = npt.NDArray[np.float64]
Vector: TypeAlias = npt.NDArray[np.float64]

# Each member of the ensemble leaves out one contiguous quarter of the training rows.
MEMBERS = 4
# What the members learn to remove, in standard deviations of a feature.
NOISE = 0.1
# Statistics of latent vectors and residuals, and the validation loss, use at most so many rows a member.
STATISTICS_ROWS = 30_000
VALIDATION_ROWS = 2_000
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)


def learn(
    matrix: Matrix, schema: FeatureSchema, options: Options, progress: Callable[[Progress], None] | None = None
) -> Fitted:
    """Learn what is normal from (n, d) rows in time order, columns in the schema's order.

    The rows fall into contiguous quarters, and each member of the ensemble, with its statistics, never sees one of
    them. The threshold comes from the error of every row by the member that did not see it (cross-fitting).

    Raises:
        ConfigurationError: when an option names a feature that is none.
        DataError: when there are too few rows for the false-alarm rate.

    """
    calibrator = calibrators.CALIBRATORS[options.calibrator]
    rate = calibrators.agreed_rate(calibrator, options.false_alarm_rate, len(matrix))
    encoder = FeatureEncoder.fit(matrix, schema)
    deviations = counting(options, encoder)
    rows = torch.from_numpy(encoder.transform(matrix).astype(np.float32))  # (n, w)
    folds = Folds.of(len(rows), MEMBERS)
    model = DenseAutoencoder(
        features=encoder.width,
        latent_size=min(max(encoder.width // 2 + 1, 3), 16),
        hidden=options.hidden,
        members=MEMBERS,
        seed=options.seed,
    )
    training = fit(
        model,
        rows,
        evenly(folds.seen, len(rows)),
        evenly(folds.unseen, VALIDATION_ROWS),
        steps=options.steps,
        noise=NOISE,
        seed=options.seed,
        progress=progress,
    )
    representation = None
    if options.latent_size or options.noise:
        representation = represent(
            rows,
            latent_size=options.latent_size,
            noise=options.noise,
            steps=options.steps,
            seed=options.seed,
            progress=progress,
        )
    bounds, scorer, errors = _learn_score(model, matrix, rows, folds, encoder.weights, deviations)
    least = errors.min(where=errors > 0, initial=np.inf)  # where nothing counts the error is 0, no threshold
    threshold = calibrator.fit(np.maximum(errors, least if least < np.inf else 1.0), false_alarm_rate=rate)
    scores = np.quantile(errors / threshold.value, QUANTILES)
    return Fitted(
        options=options,
        schema=schema,
        encoder=encoder,
        model=model,
        bounds=bounds,
        scorer=scorer,
        deviations=deviations,
        threshold=threshold,
        score_quantiles={f"{q:g}": float(score) for q, score in zip(QUANTILES, scores, strict=True)},
        training={"records": len(rows), **asdict(training)},
        representation=representation,
    )


@torch.inference_mode()
def _learn_score(
    model: Autoencoder,
    matrix: Matrix,
    rows: Tensor,
    folds: Folds,
    weights: Vector | None,
    deviations: Deviations | None,
) -> tuple[LatentBounds, ResidualScore, Vector]:
    """Learn the usual latent vectors and residuals, and return every row's error by the member that has not seen it.

    `matrix` are the rows in the user's units. The usual residuals are all of them, the errors of those that count.
    """
    latents = model.encode(rows[evenly(folds.seen, STATISTICS_ROWS)])
    bounds = LatentBounds.fit([latent.double().numpy() for latent in latents])
    residuals = [
        _residuals(model, bounds, rows[torch.from_numpy(fold)], member) for member, fold in enumerate(folds.unseen)
    ]
    sample = evenly([np.arange(len(residual)) for residual in residuals], STATISTICS_ROWS)
    scorer = ResidualScore.fit(
        [residual[own].double().numpy() for residual, own in zip(residuals, sample, strict=True)]
    )
    if weights is not None:  # several inputs of one feature count as one
        factor = torch.from_numpy(weights.astype(np.float32))
        scorer = replace(scorer, whitening=scorer.whitening * factor, offset=scorer.offset * factor)
    again = partial(reconstructions, model, bounds)
    errors = []
    for member, (fold, residual) in enumerate(zip(folds.unseen, residuals, strict=True)):
        for numbers, part in zip(torch.split(torch.from_numpy(fold), CHUNK), torch.split(residual, CHUNK), strict=True):
            left, counted = part.expand(model.members, -1, -1), None
            if deviations is not None:
                inputs = rows[numbers]
                rebuilt, counted = deviations.settle(
                    again, matrix[numbers.numpy()], inputs, inputs - left, slice(member, member + 1)
                )
                left = inputs - rebuilt
            errors.append(zero_if_none(scorer.member_errors(only(left, counted))[member], counted).numpy())
    return bounds, scorer, np.concatenate(errors)


def _residuals(model: Autoencoder, bounds: LatentBounds, rows: Tensor, member: int) -> Tensor:
    """Return what one member leaves of rows, (n, d) -> (n, d)."""
    return torch.cat([inputs - rebuild(model, bounds, inputs)[1][member] for inputs in torch.split(rows, CHUNK)])
