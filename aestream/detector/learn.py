"""Learning what is normal: networks, scores and threshold from the rows of a training sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from aestream import portions
from aestream.detector.constants import Constants
from aestream.detector.deviations import Deviations, EveryDeviation, Tolerances
from aestream.detector.fitted import Fitted, asked
from aestream.detector.folds import Folds, evenly
from aestream.detector.neighbours import Memory
from aestream.detector.network import CHUNK, Network
from aestream.detector.options import Options
from aestream.detector.representation import represent
from aestream.detector.residuals import LatentBounds, ResidualScore
from aestream.detector.rows import Judge, Rows
from aestream.detector.unseen import likeliest
from aestream.features.encoder import FeatureEncoder
from aestream.features.schema import FeatureSchema
from aestream.models.dense import DenseAutoencoder
from aestream.models.fit import fit
from aestream.networks.base import TrainedNetwork
from aestream.networks.progress import Progress, Training
from aestream.portions import Table
from aestream.thresholds import calibrators
from aestream.types import Floats, Matrix, Vector

# Each member of the ensemble leaves out one contiguous stretch of the training rows. That is for the threshold alone,
# ranking is as good without: from 100 rows it flags 1.4 times the share asked for, without stretches 2.3 times
# (`tests.bench.calibration`). How many: `tests.bench.quality --parts constants`, as for the others here.
MEMBERS = 6
# About half as many latent numbers as inputs, at least and at most so many.
LATENT = (3, 16)
# What the members learn to remove (Vincent et al. 2008): noise in standard deviations of a feature.
NOISE = 0.2
# Statistics of latent vectors and residuals, and the validation loss, use at most so many rows a member. More make a
# fit slower (`tests.bench.quality --parts cost`) and change nothing.
STATISTICS_ROWS = 30_000
VALIDATION_ROWS = 2_000
# Of the training scores, for people who read the manifest.
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)


@dataclass(frozen=True, slots=True)
class Ground:
    """What is known of n training rows before any network: the rate that they support, and which features move."""

    rows: int
    rate: float
    tolerances: Tolerances
    constants: Constants

    @classmethod
    def of(cls, table: Table, schema: FeatureSchema, options: Options) -> Ground:
        """Look at (n, d) rows. Raises what `learn` raises."""
        rows = table.shape[0]
        rate = calibrators.agreed_rate(calibrators.CALIBRATORS[options.calibrator], options.false_alarm_rate, rows)
        tolerances = asked(options, schema)
        constants = Constants.fit(table, schema, tolerances, rate=rate, missing=options.missing.split(","))
        return cls(rows, rate, tolerances, constants)

    def deviations(self, encoder: FeatureEncoder) -> Deviations | EveryDeviation:
        """Which deviations of the moving features count."""
        return Deviations.of(self.tolerances.at(self.constants.others), encoder)


def learn(
    matrix: Matrix, schema: FeatureSchema, options: Options, progress: Callable[[Progress], None] | None = None
) -> tuple[Fitted, Vector]:
    """Learn what is normal from (n, d) rows in time order that are judged alone, columns in the schema's order.

    The rows fall into contiguous stretches, and each member of the ensemble never sees one of them: that tells how much
    less the others err for having seen it, and the threshold is for rows that none has seen (cross-fitting). Their
    errors, (n,), come back as well.

    Raises ConfigurationError when an option names a feature that does not exist, and DataError
    when there are too few rows for the false-alarm rate, or nothing moves in them.
    """
    ground = Ground.of(matrix, schema, options)
    matrix = ground.constants.without(matrix)
    encoder = FeatureEncoder.fit(matrix, ground.constants.moving)
    rows = inputs_of(encoder, matrix)
    folds = Folds.of(len(rows), MEMBERS)
    model = DenseAutoencoder(
        features=encoder.width,
        latent_size=latent_size(encoder),
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
    trained = model.trained()
    known = matrix if options.flag_unseen else likeliest(matrix, encoder, trained)
    if known is not matrix:
        matrix, rows = known, inputs_of(encoder, known)
    judge, errors = _learn_score(
        trained, matrix, rows, folds, encoder.weights, ground.deviations(encoder), options.memory
    )
    return calibrate(ground, encoder, judge, errors, lambda: rows, options, training, progress), errors


def calibrate(
    ground: Ground,
    encoder: FeatureEncoder,
    judge: Judge,
    errors: Vector,
    rows: Callable[[], Floats],
    options: Options,
    training: Training,
    progress: Callable[[Progress], None] | None,
) -> Fitted:
    """Find the threshold of the training rows' errors (n,), and learn to describe rows where that was asked.

    `rows` gives their inputs, (r, w).
    """
    calibrator = calibrators.CALIBRATORS[options.calibrator]
    representation = None
    if options.latent_size or options.noise:
        representation = represent(
            rows(),
            latent_size=options.latent_size,
            noise=options.noise,
            steps=options.steps,
            seed=options.seed,
            progress=progress,
        )
    least = errors.min(where=errors > 0, initial=np.inf)  # where nothing counts the error is 0, no threshold
    threshold = calibrator.fit(np.maximum(errors, least if least < np.inf else 1.0), false_alarm_rate=ground.rate)
    scores = np.quantile(errors / threshold.value, QUANTILES)
    return Fitted(
        options=options,
        constants=ground.constants,
        encoder=encoder,
        judge=judge,
        threshold=threshold,
        score_quantiles={f"{q:g}": float(score) for q, score in zip(QUANTILES, scores, strict=True)},
        training={"records": ground.rows, **asdict(training)},
        representation=representation,
    )


def latent_size(encoder: FeatureEncoder) -> int:
    """How many latent numbers a network has for the encoder's inputs of one row."""
    return min(max(encoder.width // 2 + 1, LATENT[0]), LATENT[1])


def inputs_of(encoder: FeatureEncoder, matrix: Matrix) -> Floats:
    """The inputs of (n, d) rows, (n, w)."""
    return inputs_by(encoder, len(matrix), matrix.__getitem__)


def inputs_by(encoder: FeatureEncoder, count: int, made: Callable[[slice], Matrix]) -> Floats:
    """The inputs of so many rows, (n, w), which are made a portion at a time: (m, d) each."""
    inputs = np.empty((count, encoder.width), np.float32)
    for place in portions.rows(*inputs.shape):
        inputs[place] = encoder.transform(made(place))
    return inputs


def _learn_score(
    model: TrainedNetwork,
    matrix: Matrix,
    rows: Floats,
    folds: Folds,
    weights: Vector | None,
    deviations: Deviations | EveryDeviation,
    kept: int,
) -> tuple[Rows, Vector]:
    """Learn the usual latent vectors and residuals, and what error every row would have, had it not been seen: (n,).

    `matrix` are the rows in the user's units, `kept` how many of them to remember. The usual residuals are all of them,
    the errors of those that count.
    """
    latents = model.encode(rows[evenly(folds.seen, STATISTICS_ROWS)])
    bounds = LatentBounds.fit(list(latents.astype(np.float64)))
    network = Network(model, bounds, deviations)
    residuals = [
        _residuals(network, rows[own], member).astype(np.float64)
        for member, own in enumerate(evenly(folds.unseen, STATISTICS_ROWS))
    ]
    scorer = ResidualScore.fit(residuals)
    if weights is not None:  # several inputs of one feature count as one
        scorer = scorer.weighted(weights)
    logs, any_counts = np.empty((model.members, len(rows))), np.empty(len(rows), bool)
    counting_rows = np.empty_like(rows)
    for start in range(0, len(rows), CHUNK):
        place = slice(start, start + CHUNK)
        look = network.look(matrix[place], rows[place])
        logs[:, place] = np.log(scorer.member_errors(look.residuals))
        counting_rows[place], any_counts[place] = look.counting_inputs, look.any_counts()
    errors = np.exp(_held_out(logs, folds))
    memory = None
    if kept:
        memory, errors = Memory.fit(counting_rows, folds.unseen, errors, size=kept, weights=weights)
    return Rows(network, scorer, memory), errors * any_counts


def _held_out(logs: Matrix, folds: Folds) -> Vector:
    """What the whole ensemble would make of rows that none of it had seen, from the log errors (M, n) -> (n,).

    All but one member have seen a row, and err less for it. By how much less is known from the one that has not: the
    mean difference over its stretch of rows is added to theirs. That member alone would not do: its error scatters more
    than the mean of all of them, and a threshold from it lies too high.
    """
    means: Vector = logs.mean(axis=0)
    for member, stretch in enumerate(folds.unseen):
        means[stretch] += (logs[member, stretch] - means[stretch]).mean()
    return means


def _residuals(network: Network, rows: Floats, member: int) -> Floats:
    """Return what one member leaves of rows, (n, d) -> (n, d)."""
    parts = (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))
    return np.concatenate([inputs - network.reconstruct(inputs)[member] for inputs in parts])
