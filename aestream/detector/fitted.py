"""What a fit has learnt: it judges rows and explains them, and becomes the files of a model and is read again."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from aestream import artefact
from aestream.artefact import Manifest
from aestream.detector.attribution import Attribution, shares
from aestream.detector.constants import Constants
from aestream.detector.deviations import Deviations, EveryDeviation, Tolerances
from aestream.detector.neighbours import Memory
from aestream.detector.network import Network, represented
from aestream.detector.options import Options
from aestream.detector.residuals import LatentBounds, ResidualScore
from aestream.detector.rows import Frame, Judge, Judged, Rows
from aestream.detector.series import Series, owners, with_rates, without_unseen
from aestream.detector.unseen import likeliest
from aestream.detector.windows import Windows
from aestream.errors import ConfigurationError, DataError, ModelError
from aestream.features.encoder import FeatureEncoder
from aestream.features.schema import FeatureSchema
from aestream.networks.base import TrainedNetwork, restore
from aestream.networks.skip import TrainedSkip  # noqa: F401
from aestream.state.past import Steps
from aestream.thresholds import calibrators
from aestream.thresholds.base import Threshold
from aestream.types import Arrays, Floats, Key, Matrix, Places, Vector

# What a manifest that is half there brings up.
_UNUSABLE = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    ConfigurationError,
    DataError,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Everything that a fit learns and a model directory keeps."""

    options: Options
    constants: Constants
    encoder: FeatureEncoder
    judge: Judge
    threshold: Threshold
    score_quantiles: Mapping[str, float]
    training: Mapping[str, Any]
    representation: TrainedNetwork | None
    series: Series | None = None

    @property
    def schema(self) -> FeatureSchema:
        """All features; the encoder and the network have those that are not steady."""
        return self.constants.schema

    @property
    def window(self) -> int:
        """How many records of an entity are seen together."""
        return 1 if self.series is None else self.series.parts.past.window

    @property
    def describing(self) -> TrainedNetwork:
        """The network that encodes and reconstructs: one of its own where the options asked for it."""
        return self.representation or self.judge.model

    def alone(self, matrix: Matrix) -> Frame:
        """What the network sees of (n, d) rows that are judged alone.

        That is without constants, and with unseen categories as the likeliest ones.
        """
        moving = self.constants.without(matrix)
        if not self.options.flag_unseen:
            moving = likeliest(moving, self.encoder, self.judge.model)
        return Frame(moving, _float32(self.encoder.transform(moving)), steady=self.constants.squares(matrix))

    def among(self, steps: Steps, who: Places, times: Vector | None) -> tuple[Frame, Matrix]:
        """What the network sees of n records with those before them, and the records (n, d).

        `who` (n,) are the numbers of their entities.
        Rates that are not known yet, and unseen categories, are what is usual.
        """
        series = self.series
        assert series is not None  # noqa: S101 - only then are there steps
        rows = with_rates(steps.rows, series.parts.past.counters, series.rates)
        moving = series.scales.toward(self.constants.without(rows), owners(steps, who))
        known = moving if self.options.flag_unseen else without_unseen(moving, self.encoder)
        context = None if times is None else series.clock.inputs(times)
        inputs, steady = _float32(self.encoder.transform(known)), self.constants.squares(rows)
        return Frame(known, inputs, steps.windows, who, context, steady, series.scales), rows[steps.windows[:, -1]]

    def judged(self, frame: Frame, threshold: Vector | float, *, latent: bool, reconstruction: bool) -> Judged:
        """Judge the records of a frame, where errors up to `threshold`, or (n,), are normal."""
        own = self.representation is not None
        found = self.judge.judge(frame, latent=latent and not own, rebuilt=reconstruction and not own)
        code, rebuilt = found.latent, found.rebuilt
        if self.representation is not None and (latent or reconstruction):
            code, rebuilt = represented(self.representation, frame.newest[1])
        return Judged(
            error=np.hypot(found.error, threshold * np.sqrt(frame.moved(len(self.constants.places)).sum(axis=1))),
            latent=code if latent else None,
            rebuilt=self._user_units(rebuilt, frame) if reconstruction and rebuilt is not None else None,
        )

    def explained(self, frame: Frame, observed: Matrix) -> Attribution:
        """Explain the records of a frame, `observed` (n, d).

        A constant is as far off as an ordinary feature that alone makes a record as anomalous.
        """
        steady, blame = frame.moved(len(self.constants.places)), self.judge.blame(frame)
        alone = self.threshold.value**2 * self.encoder.width
        together = self.constants.joined(self.encoder.by_feature(blame.squares), steady * alone)
        if not self.options.flag_unseen:
            together[self.schema.unseen(observed)] = 0.0
        share = shares(together)
        share[~(blame.counts | steady.any(axis=1))] = 0.0
        return Attribution(
            observed=observed,
            expected=self.constants.joined(self._back(self.encoder.inverse(blame.expected, frame.newest[0]), frame)),
            deviation=np.sqrt(together),
            share=share,
            since=None if blame.since is None else self._since(blame.since, steady),
        )

    def decode(self, latent: Any, keys: Sequence[Key]) -> Matrix:
        """Turn latent vectors (n, k) of the entities with these keys into rows (n, d).

        Raises DataError for anything else.
        """
        model, codes = self.describing, np.asarray(latent, dtype=np.float32)
        if codes.ndim != 2 or codes.shape[1] != model.latent_size or not np.isfinite(codes).all():  # noqa: PLR2004
            raise DataError(f"latent vectors are finite and (n, {model.latent_size}), as `encode` gives: {codes.shape}")
        rebuilt = model.decode(np.broadcast_to(codes, (model.members, *codes.shape)))[0]
        newest = rebuilt[:, -self.encoder.width :].astype(np.float64)
        # A timestamp is known by its time of day alone.
        rows = self.encoder.inverse(newest, np.full((len(codes), len(self.encoder.schema)), np.nan))
        if self.series is not None:
            rows = self.series.scales.back(rows, self.series.numbers[self.series.places_of(keys)])
        return self.constants.joined(rows)

    def save(self, directory: Path, about: Mapping[str, Any]) -> Manifest:
        """Write the files of a model; `about` (JSON types) goes into the manifest too. Raises ModelError."""
        facts = {
            **about,
            "options": asdict(self.options),
            "schema": self.schema.to_dict(),
            "schema_hash": self.schema.hash,
            "model": _described(self.judge.model),
            "threshold": {"kind": self.threshold.kind, **self.threshold.to_dict()},
            "representation": None if self.representation is None else _described(self.representation),
            "score_quantiles": dict(self.score_quantiles),
            "training": dict(self.training),
            "series": None if self.series is None else self.series.to_dict(),
        }
        parts: dict[str, Arrays] = {
            "constants": self.constants.arrays(),
            "encoder": self.encoder.arrays(),
            "model": self.judge.model.weights,
            **self.judge.arrays(),
            "threshold": self.threshold.arrays(),
            "representation": {} if self.representation is None else self.representation.weights,
            **({} if self.series is None else self.series.arrays()),
        }
        arrays = {f"{part}.{name}": array for part, named in parts.items() for name, array in named.items()}
        return artefact.write(directory, facts, arrays)

    @classmethod
    def load(cls, directory: Path) -> tuple[Self, Manifest]:
        """Read what `save` wrote. Raises ModelError."""
        manifest, arrays = artefact.read(directory)

        def part(name: str) -> Arrays:
            return {key[len(name) + 1 :]: array for key, array in arrays.items() if key.startswith(f"{name}.")}

        def network(name: str, described: Mapping[str, Any]) -> TrainedNetwork:
            return restore(described["kind"], described["config"], part(name))

        try:
            schema = FeatureSchema.from_dict(manifest.schema)
            if schema.hash != manifest.schema_hash:
                again = "train again or roll back"
                raise ModelError(f"{directory}: the feature schema is not the one of the training: {again}")
            options = Options(**manifest.options)
            tolerances = asked(options, schema)
            constants = Constants.from_arrays(part("constants"), schema, tolerances)
            encoder = FeatureEncoder.from_arrays(part("encoder"), constants.moving)
            deviations = Deviations.of(tolerances.at(constants.others), encoder)
            model = network("model", manifest.model)
            series = Series.restore(manifest.series, part, schema, options) if manifest.series else None
            fitted = cls(
                options=options,
                constants=constants,
                encoder=encoder,
                judge=_judge(model, part, deviations, options, series),
                threshold=calibrators.restore(manifest.threshold, part("threshold")),
                score_quantiles=manifest.score_quantiles,
                training=manifest.training,
                representation=network("representation", manifest.representation) if manifest.representation else None,
                series=series,
            )
        except _UNUSABLE as error:
            missing = f"the manifest is not complete ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
            raise ModelError(f"{directory}: {missing}: train again or roll back") from error
        return fitted, manifest

    def _since(self, since: Matrix, steady: Matrix) -> Matrix:
        """For how many records each feature has been off, (m, d), by inputs (m, w); a constant for one at least."""
        return self.constants.joined(self.encoder.most_by_feature(since), (steady > 0).astype(np.float64))

    def _back(self, matrix: Matrix, frame: Frame) -> Matrix:
        """Rows (n, d) of the network's features, as each entity of the frame has them."""
        return matrix if self.series is None or frame.who is None else self.series.scales.back(matrix, frame.who)

    def _user_units(self, expected: Matrix, frame: Frame) -> Matrix:
        """Turn reconstructed inputs (n, w) into features (n, d) in the user's units, within the range seen in training.

        A network that only removes noise says how far each value is off, which holds outside that range as well.
        """
        encoder, (matrix, inputs) = self.encoder, frame.newest
        if self.representation is None or self.options.latent_size is not None:
            return self.constants.joined(self._back(encoder.inverse(expected, matrix), frame))
        return self.constants.joined(self._back(encoder.correct(expected, inputs, matrix), frame))


def asked(options: Options, schema: FeatureSchema) -> Tolerances:
    """Which deviations of a schema's features count. Raises ConfigurationError when an option names something else."""
    return Tolerances.of(
        schema.names,
        direction=options.direction,
        min_abs_deviation=options.min_abs_deviation,
        min_rel_deviation=options.min_rel_deviation,
    )


def _judge(
    model: TrainedNetwork,
    part: Callable[[str], Arrays],
    deviations: Deviations | EveryDeviation,
    options: Options,
    series: Series | None,
) -> Judge:
    """Restore what judges the records, alone or in windows, from the parts of a model directory."""
    if series is not None and series.parts.past.window > 1:
        return Windows.from_arrays(model, part, deviations)
    return Rows(
        Network(model, LatentBounds.from_arrays(part("bounds")), deviations),
        ResidualScore.from_arrays(part("scorer")),
        Memory.from_arrays(part("memory")) if options.memory else None,
    )


def _float32(inputs: Matrix) -> Floats:
    return inputs.astype(np.float32)


def _described(model: TrainedNetwork) -> dict[str, Any]:
    return {"kind": model.kind, "config": model.config()}
