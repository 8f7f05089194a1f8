"""The detector: features, model, score and threshold as one thing that is fitted, asked, saved and loaded."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import aestream
from aestream import deviations
from aestream.deviations import Deviations, only, zero_if_none
from aestream.errors import ConfigurationError, DataError, ModelError
from aestream.explain import Attribution, shares
from aestream.features.encoder import FeatureEncoder
from aestream.features.schema import FeatureSchema, LeftOut
from aestream.features.table import finite, learn_table, read_table
from aestream.models import artefact
from aestream.models.base import Autoencoder, restore, state
from aestream.models.dense import DenseAutoencoder
from aestream.models.fit import Progress, fit
from aestream.models.folds import Folds, evenly
from aestream.models.representation import represent
from aestream.scoring import LatentBounds, ResidualScore
from aestream.thresholds import calibrators
from aestream.thresholds.base import Threshold

Matrix: TypeAlias = npt.NDArray[np.float64]
Vector: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

# Each member of the ensemble leaves out one contiguous quarter of the training rows.
MEMBERS = 4
MIN_ROWS = 10
NOISE = 0.1
# Rows computed at a time: what fits into a core's cache.
CHUNK = 1024
# Statistics of latent vectors and residuals, and the validation loss, use at most so many rows a member.
STATISTICS_ROWS = 30_000
VALIDATION_ROWS = 2_000
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)


@dataclass(frozen=True, slots=True)
class Detection:
    """What the detector says about n records, (n,) each; `score` = `error` / threshold, and above 1 is an anomaly.

    `p_value`: the chance that a normal record errs as much. `latent` (n, k) and `reconstruction` (n, d), in the
    user's units, where asked for.
    """

    error: Vector
    score: Vector
    p_value: Vector
    anomaly: Flags
    latent: Matrix | None = None
    reconstruction: Matrix | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What a detector can be told; kept in its manifest."""

    false_alarm_rate: float | None
    calibrator: str
    latent_size: int | None
    noise: float | None
    seed: int
    steps: int
    hidden: int
    missing: str
    timestamps: Sequence[str]
    direction: Mapping[str, str]
    min_abs_deviation: Mapping[str, float]
    min_rel_deviation: Mapping[str, float]

    def __post_init__(self) -> None:
        """Refuse what cannot work, before any training."""
        checks = (
            (
                self.false_alarm_rate is None or 0 < self.false_alarm_rate < 1,
                "false_alarm_rate",
                "give a share between 0 and 1, such as 0.001, or None",
            ),
            (self.calibrator in calibrators.CALIBRATORS, "calibrator", f"one of {', '.join(calibrators.CALIBRATORS)}"),
            (self.latent_size is None or self.latent_size >= 1, "latent_size", "give a whole number from 1, or None"),
            (self.noise is None or self.noise > 0, "noise", "give standard deviations above 0, or None"),
            (self.steps >= 1, "steps", "give a whole number from 1"),
            (self.hidden >= 1, "hidden", "give a whole number from 1"),
        )
        for good, name, advice in checks:
            if not good:
                raise ConfigurationError(f"{name} is {getattr(self, name)}: {advice}")
        deviations.check(self.direction, self.min_abs_deviation, self.min_rel_deviation)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Everything that `fit` learns and `save` keeps."""

    schema: FeatureSchema
    encoder: FeatureEncoder
    model: Autoencoder
    bounds: LatentBounds
    scorer: ResidualScore
    deviations: Deviations | None
    threshold: Threshold
    score_quantiles: Mapping[str, float]
    training: Mapping[str, Any]
    representation: Autoencoder | None

    def look(self, matrix: Matrix, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """(B, d) in the user's units, and scaled -> latent, reconstructions (M, B, d), what counts (B, d) or None."""
        code, rebuilt = _rebuild(self.model, self.bounds, inputs)
        if self.deviations is None:
            return code, rebuilt, None
        again = partial(_reconstructions, self.model, self.bounds)
        return code, *self.deviations.settle(again, matrix, inputs, rebuilt)


class Detector:
    """An autoencoder that scores records by how far they are from the nearest normal record it can reconstruct.

    Args:
        false_alarm_rate: the share of normal records that may be flagged; `fit` refuses a rate that its rows cannot
            support. None: 0.001, or the lowest that they do support.
        calibrator: what turns errors into a threshold: `pot`, which reaches four times as far as the rows do, or
            `quantile`, which assumes nothing and reaches no further.
        latent_size: length of the vectors that `encode` returns. None: with `noise` as many as there are features,
            without it what detection itself uses, about half of that, 3 to 16.
        noise: what `denoise` removes, in standard deviations of a feature. With `latent_size`, `noise` or both, `fit`
            trains one more network to encode and reconstruct; errors and scores stay as they are.
        seed: the same seed and data give the same detector.
        steps: training batches at most, for each network.
        hidden: units in the hidden layers of the detector's own network.
        missing: `dead_letter` refuses rows with missing values, `impute` fills them in; `NAME=POLICY` after a comma for
            single features.
        timestamps: fields of DataFrames and records to use by their time of day and weekday.
        direction: by feature name, `up`, `down` or `both`: only records above, or below, what was expected count.
        min_abs_deviation: by feature name: a smaller difference from what was expected, in its units, does not count.
        min_rel_deviation: the same, as a share of what was expected.

    Raises:
        ConfigurationError: when an option cannot work.

    """

    def __init__(
        self,
        *,
        false_alarm_rate: float | None = None,
        calibrator: str = "pot",
        latent_size: int | None = None,
        noise: float | None = None,
        seed: int = 0,
        steps: int = 800,
        hidden: int = 48,
        missing: str = "dead_letter",
        timestamps: Sequence[str] = (),
        direction: Mapping[str, str] | None = None,
        min_abs_deviation: Mapping[str, float] | None = None,
        min_rel_deviation: Mapping[str, float] | None = None,
    ) -> None:
        self.options = Options(
            false_alarm_rate,
            calibrator,
            latent_size,
            noise,
            seed,
            steps,
            hidden,
            missing,
            tuple(timestamps),
            dict(direction or {}),
            dict(min_abs_deviation or {}),
            dict(min_rel_deviation or {}),
        )
        self.left_out: tuple[LeftOut, ...] = ()
        self._state: _Fitted | None = None

    def fit(self, X: Any, *, progress: Callable[[Progress], None] | None = None) -> Self:  # noqa: N803
        """Learn what is normal from rows in time order: a 2-D array, a DataFrame or a list of (nested) records.

        An array keeps all its columns. From DataFrames and records the features are inferred; `left_out` then says
        which fields are none, and why. In an array, NaN is a missing value.

        Raises:
            DataError: when X holds no features, too few rows, or values that are not finite where none may be missing.

        """
        matrix, schema, left_out = learn_table(
            X, timestamps=self.options.timestamps, missing=self.options.missing.split(",")
        )
        self.left_out = tuple(left_out)
        return self.fit_matrix(matrix, schema, progress=progress)

    def fit_matrix(
        self, matrix: Matrix, schema: FeatureSchema, *, progress: Callable[[Progress], None] | None = None
    ) -> Self:
        """Learn what is normal from (n, d) rows in time order, columns in the schema's order.

        The rows fall into contiguous quarters, and each member of the ensemble, with its statistics, never sees one of
        them. The threshold comes from the error of every row by the member that did not see it (cross-fitting).

        Raises:
            ConfigurationError: when an option names a feature that is none.
            DataError: when there are too few rows, or too few for the false-alarm rate, or values are not finite.

        """
        matrix = finite(np.asarray(matrix, dtype=np.float64), schema)
        if len(matrix) < MIN_ROWS:
            raise DataError(f"{len(matrix)} records are too few to learn from: give at least {MIN_ROWS}")
        options = self.options
        calibrator = calibrators.CALIBRATORS[options.calibrator]
        rate = calibrators.agreed_rate(calibrator, options.false_alarm_rate, len(matrix))
        encoder = FeatureEncoder.fit(matrix, schema)
        counting = _deviations(options, encoder)
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
        bounds, scorer, errors = _learn_score(model, matrix, rows, folds, encoder.weights, counting)
        least = errors.min(where=errors > 0, initial=np.inf)  # where nothing counts the error is 0, no threshold
        threshold = calibrator.fit(np.maximum(errors, least if least < np.inf else 1.0), false_alarm_rate=rate)
        scores = np.quantile(errors / threshold.value, QUANTILES)
        self._state = _Fitted(
            schema=schema,
            encoder=encoder,
            model=model,
            bounds=bounds,
            scorer=scorer,
            deviations=counting,
            threshold=threshold,
            score_quantiles={f"{q:g}": float(score) for q, score in zip(QUANTILES, scores, strict=True)},
            training={"records": len(rows), **asdict(training)},
            representation=representation,
        )
        return self

    @property
    def schema(self) -> FeatureSchema:
        """Return the features, in the order of a matrix's columns."""
        return self._fitted.schema

    @property
    def threshold(self) -> float:
        """Return the error above which a record is an anomaly."""
        return self._fitted.threshold.value

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what a person should know about the calibration, one sentence each."""
        threshold = self._fitted.threshold
        usual = calibrators.USUAL_RATE
        if self.options.false_alarm_rate is not None or threshold.false_alarm_rate <= usual:
            return threshold.warnings
        instead = f"the false-alarm rate is {threshold.false_alarm_rate:.2g}, the lowest that so few records support"
        return (f"{instead}: {threshold.records_needed(usual)} would support {usual:g}", *threshold.warnings)

    @property
    def latent_size(self) -> int:
        """Return the length of a latent vector."""
        return self._describing.latent_size

    def detect(self, matrix: Matrix, *, latent: bool = False, reconstruction: bool = False) -> Detection:
        """Judge (n, d) finite rows, columns in the schema's order, in one forward pass.

        A row's result does not depend on the rows beside it, up to the rounding of float32 (1e-7 of the error).
        """
        now = self._fitted
        scaled = torch.from_numpy(now.encoder.transform(matrix).astype(np.float32))  # (n, w)
        count, width = scaled.shape
        error = np.empty(count)
        latents = np.empty((count, self.latent_size)) if latent else None
        expected = np.empty((count, width)) if reconstruction else None
        with torch.inference_mode():
            for start in range(0, count, CHUNK):
                place = slice(start, start + CHUNK)
                inputs = scaled[place]
                code, rebuilt, counted = now.look(matrix[place], inputs)
                error[place] = zero_if_none(now.scorer.error(only(inputs - rebuilt, counted)), counted).numpy()
                if now.representation is not None and (latent or reconstruction):
                    code = now.representation.encode(inputs)
                    rebuilt = now.representation.decode(code)
                if latents is not None:
                    latents[place] = code[0].numpy()
                if expected is not None:
                    expected[place] = rebuilt.mean(dim=0).numpy()
        score = error / now.threshold.value
        return Detection(
            error=error,
            score=score,
            p_value=now.threshold.p_value(error),
            anomaly=score > 1.0,
            latent=latents,
            reconstruction=None if expected is None else self._user_units(expected, scaled, matrix),
        )

    def unseen(self, matrix: Matrix) -> dict[str, int]:
        """Count in (n, d) rows the values of each categorical feature that training has not seen."""
        return self._fitted.encoder.unseen(matrix)

    def attribute(self, matrix: Matrix) -> Attribution:
        """Explain (m, d) rows, which should be flagged ones: it costs more than `detect`.

        `expected` is the nearest normal record, and `share` is each feature's part of the error against it: 0 for a
        feature whose deviation does not count, and for all where the error is 0.
        """
        now = self._fitted
        observed = np.array(matrix, dtype=np.float64)
        scaled = torch.from_numpy(now.encoder.transform(matrix).astype(np.float32))  # (m, w)
        expected, parts = np.empty(scaled.shape), np.empty(scaled.shape)
        with torch.inference_mode():
            for start in range(0, len(scaled), CHUNK):
                inputs = scaled[start : start + CHUNK]
                _, rebuilt, counted = now.look(observed[start : start + CHUNK], inputs)
                parted = only(now.scorer.contributions(only(inputs - rebuilt, counted)), counted)
                expected[start : start + CHUNK] = rebuilt.mean(dim=0).numpy()
                parts[start : start + CHUNK] = parted.numpy()
        share = now.encoder.by_feature(shares(parts))
        if now.deviations is not None:
            share[~parts.any(axis=1)] = 0.0
        return Attribution(observed=observed, expected=now.encoder.inverse(expected, observed), share=share)

    def error(self, X: Any) -> Vector:  # noqa: N803
        """Return the raw error of each row, (n,): what ranks records best."""
        return self.detect(self._matrix(X)).error

    def score(self, X: Any) -> Vector:  # noqa: N803
        """Return error / threshold of each row, (n,): above 1 is an anomaly."""
        return self.detect(self._matrix(X)).score

    def flag(self, X: Any) -> Flags:  # noqa: N803
        """Return whether each row is an anomaly, (n,)."""
        return self.detect(self._matrix(X)).anomaly

    def encode(self, X: Any) -> Matrix:  # noqa: N803
        """Return the latent vector of each row, (n, latent_size): the row in fewer numbers, for `decode` to undo.

        Give the detector a `latent_size`, or these are only those of the first network that detects.
        """
        latent = self.detect(self._matrix(X), latent=True).latent
        return np.empty((0, self.latent_size)) if latent is None else latent

    def decode(self, latent: Any) -> Matrix:
        """Turn what `encode` returned into rows in the user's units, (n, latent_size) -> (n, features of the schema).

        Raises:
            DataError: when these are not rows of `latent_size` finite numbers.

        """
        model, codes = self._describing, np.asarray(latent, dtype=np.float32)
        if codes.ndim != 2 or codes.shape[1] != model.latent_size or not np.isfinite(codes).all():  # noqa: PLR2004
            raise DataError(f"latent vectors are finite and (n, {model.latent_size}), as `encode` gives: {codes.shape}")
        with torch.inference_mode():
            rebuilt = model.decode(torch.from_numpy(codes).expand(model.members, -1, -1))[0]
        unknown = np.full((len(codes), len(self.schema)), np.nan)  # timestamps are known by their time of day alone
        return self._fitted.encoder.inverse(rebuilt.double().numpy(), unknown)

    def reconstruct(self, X: Any) -> Matrix:  # noqa: N803
        """Return what the network makes of each row, in the user's units, (n, features of the schema)."""
        rebuilt = self.detect(self._matrix(X), reconstruction=True).reconstruction
        return np.empty((0, len(self.schema))) if rebuilt is None else rebuilt

    def denoise(self, X: Any) -> Matrix:  # noqa: N803
        """Return each row without the noise that the detector was told of: another word for `reconstruct`."""
        return self.reconstruct(X)

    def explain(self, X: Any) -> Matrix:  # noqa: N803
        """Return each feature's share of a row's error, (n, features of the schema); rows sum to 1, or to 0."""
        return self.attribute(self._matrix(X)).share

    def save(self, directory: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
        """Write the model into a new or empty directory; `metadata` (JSON types) is kept in its manifest.

        Raises:
            ModelError: when nothing is fitted, or the directory is not empty or cannot be written.

        """
        now = self._fitted
        manifest = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"aestream": aestream.__version__, "torch": torch.__version__, "numpy": np.__version__},
            "options": asdict(self.options),
            "schema": now.schema.to_dict(),
            "schema_hash": now.schema.hash,
            "model": _described(now.model),
            "threshold": {"kind": now.threshold.kind, **now.threshold.to_dict()},
            "representation": None if now.representation is None else _described(now.representation),
            "score_quantiles": dict(now.score_quantiles),
            "training": dict(now.training),
            "metadata": dict(metadata or {}),
        }
        parts: dict[str, Mapping[str, npt.NDArray[Any]]] = {
            "encoder": now.encoder.arrays(),
            "model": state(now.model),
            "bounds": now.bounds.arrays(),
            "scorer": now.scorer.arrays(),
            "threshold": now.threshold.arrays(),
            "representation": {} if now.representation is None else state(now.representation),
        }
        arrays = {f"{part}.{name}": array for part, named in parts.items() for name, array in named.items()}
        artefact.write(Path(directory), manifest, arrays)

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote, and check it: every file's sha256, and the schema's hash.

        Raises:
            ModelError: when the directory holds no model, a damaged one or one of a newer format.

        """
        path = Path(directory)
        manifest, arrays = artefact.read(path)

        def part(name: str) -> dict[str, npt.NDArray[Any]]:
            return {key[len(name) + 1 :]: array for key, array in arrays.items() if key.startswith(f"{name}.")}

        def network(name: str) -> Autoencoder:
            return restore(manifest[name]["kind"], manifest[name]["config"], part(name))

        try:
            schema = FeatureSchema.from_dict(manifest["schema"])
            if schema.hash != manifest["schema_hash"]:
                raise ModelError(f"{path}: the feature schema is not the one of the training: train again or roll back")
            detector = cls(**manifest["options"])
            encoder = FeatureEncoder.from_arrays(part("encoder"), schema)
            detector._state = _Fitted(
                schema=schema,
                encoder=encoder,
                model=network("model"),
                bounds=LatentBounds.from_arrays(part("bounds")),
                scorer=ResidualScore.from_arrays(part("scorer")),
                deviations=_deviations(detector.options, encoder),
                threshold=calibrators.restore(manifest["threshold"], part("threshold")),
                score_quantiles=manifest["score_quantiles"],
                training=manifest["training"],
                representation=network("representation") if manifest.get("representation") else None,
            )
        except (KeyError, TypeError, ValueError, ConfigurationError) as error:
            raise ModelError(f"{path}: the manifest is not complete ({error!r}): train again or roll back") from error
        return detector

    @property
    def _fitted(self) -> _Fitted:
        if self._state is None:
            raise ModelError("the detector has learnt nothing yet: call fit first, or load a saved model")
        return self._state

    @property
    def _describing(self) -> Autoencoder:
        """The network that encodes and reconstructs: one of its own where the options asked for it."""
        return self._fitted.representation or self._fitted.model

    def _user_units(self, expected: Matrix, scaled: Tensor, matrix: Matrix) -> Matrix:
        """Turn reconstructed inputs (n, w) into features (n, d) in the user's units, within the range seen in training.

        A network that only removes noise says how far each value is off, which holds outside that range as well.
        """
        encoder = self._fitted.encoder
        if self._fitted.representation is None or self.options.latent_size is not None:
            return encoder.inverse(expected, matrix)
        return encoder.correct(expected - scaled.numpy(), matrix)

    def _matrix(self, table: Any) -> Matrix:
        return read_table(table, self.schema)


def _described(model: Autoencoder) -> dict[str, Any]:
    return {"kind": model.kind, "config": model.config()}


def _rebuild(model: Autoencoder, bounds: LatentBounds, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """(B, d) -> latent vectors (M, B, k), and the reconstructions from within the bounds (M, B, d)."""
    code = model.encode(inputs)
    return code, model.decode(bounds.apply(code))


def _deviations(options: Options, encoder: FeatureEncoder) -> Deviations | None:
    return Deviations.of(
        encoder,
        direction=options.direction,
        min_abs_deviation=options.min_abs_deviation,
        min_rel_deviation=options.min_rel_deviation,
    )


def _reconstructions(model: Autoencoder, bounds: LatentBounds, inputs: Tensor) -> Tensor:
    return _rebuild(model, bounds, inputs)[1]


@torch.inference_mode()
def _learn_score(
    model: Autoencoder,
    matrix: Matrix,
    rows: Tensor,
    folds: Folds,
    weights: Vector | None,
    counting: Deviations | None,
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
    again = partial(_reconstructions, model, bounds)
    errors = []
    for member, (fold, residual) in enumerate(zip(folds.unseen, residuals, strict=True)):
        for numbers, part in zip(torch.split(torch.from_numpy(fold), CHUNK), torch.split(residual, CHUNK), strict=True):
            left, counted = part.expand(model.members, -1, -1), None
            if counting is not None:
                inputs = rows[numbers]
                rebuilt, counted = counting.settle(
                    again, matrix[numbers.numpy()], inputs, inputs - left, slice(member, member + 1)
                )
                left = inputs - rebuilt
            errors.append(zero_if_none(scorer.member_errors(only(left, counted))[member], counted).numpy())
    return bounds, scorer, np.concatenate(errors)


def _residuals(model: Autoencoder, bounds: LatentBounds, rows: Tensor, member: int) -> Tensor:
    """Return what one member leaves of rows, (n, d) -> (n, d)."""
    return torch.cat([inputs - _rebuild(model, bounds, inputs)[1][member] for inputs in torch.split(rows, CHUNK)])
