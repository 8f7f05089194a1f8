"""What a fit has learnt: it judges rows and explains them, and becomes the files of a model and is read again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from aestream import artefact
from aestream.artefact import Manifest
from aestream.detector.attribution import Attribution, shares
from aestream.detector.constants import Constants
from aestream.detector.deviations import Deviations, Tolerances
from aestream.detector.neighbours import Memory
from aestream.detector.network import Network
from aestream.detector.options import Options
from aestream.detector.representation import represented
from aestream.detector.residuals import LatentBounds, ResidualScore
from aestream.detector.rows import Frame, Rows
from aestream.detector.unseen import likeliest
from aestream.errors import ConfigurationError, DataError, ModelError
from aestream.features.encoder import FeatureEncoder
from aestream.features.schema import FeatureSchema
from aestream.models.base import Autoencoder, restore, state
from aestream.thresholds import calibrators
from aestream.thresholds.base import Threshold
from aestream.types import Arrays, Flags, Matrix, Vector

# What a manifest that is half there brings up, down to torch's own RuntimeError for arrays of another shape.
_UNUSABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, ConfigurationError)


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
class Fitted:
    """Everything that a fit learns and a model directory keeps."""

    options: Options
    constants: Constants
    encoder: FeatureEncoder
    judge: Rows
    threshold: Threshold
    score_quantiles: Mapping[str, float]
    training: Mapping[str, Any]
    representation: Autoencoder | None

    @property
    def schema(self) -> FeatureSchema:
        """All features; the encoder and the network have those that are not steady."""
        return self.constants.schema

    @property
    def describing(self) -> Autoencoder:
        """The network that encodes and reconstructs: one of its own where the options asked for it."""
        return self.representation or self.judge.network.model

    def frame(self, matrix: Matrix) -> Frame:
        """What the network sees of (n, d) rows: without constants, and unseen categories as the likeliest ones."""
        moving = self.constants.without(matrix)
        if not self.options.flag_unseen:
            moving = likeliest(moving, self.encoder, self.judge.network.model)
        return Frame(moving, torch.from_numpy(self.encoder.transform(moving).astype(np.float32)))

    def detect(self, matrix: Matrix, *, latent: bool, reconstruction: bool) -> Detection:
        """Judge (n, d) rows."""
        frame, own = self.frame(matrix), self.representation is not None
        judged = self.judge.judge(frame, latent=latent and not own, rebuilt=reconstruction and not own)
        code, expected = judged.latent, judged.rebuilt
        if self.representation is not None and (latent or reconstruction):
            code, expected = represented(self.representation, frame.newest[1])
        error = np.hypot(judged.error, self.threshold.value * self.constants.strength(matrix))
        score = error / self.threshold.value
        return Detection(
            error=error,
            score=score,
            p_value=self.threshold.p_value(error),
            anomaly=score > 1.0,
            latent=code if latent else None,
            reconstruction=self._user_units(expected, frame) if reconstruction and expected is not None else None,
        )

    def attribute(self, matrix: Matrix) -> Attribution:
        """Explain (m, d) rows.

        A constant is as far off as an ordinary feature that alone makes a row as anomalous.
        """
        observed = np.array(matrix, dtype=np.float64)
        steady, frame = self.constants.squares(observed), self.frame(observed)
        blame = self.judge.blame(frame)
        alone = self.threshold.value**2 * self.encoder.width
        together = self.constants.joined(self.encoder.by_feature(blame.squares), steady * alone)
        if not self.options.flag_unseen:
            together[self.schema.unseen(observed)] = 0.0
        share = shares(together)
        share[~(blame.counts | steady.any(axis=1))] = 0.0
        return Attribution(
            observed=observed,
            expected=self.constants.joined(self.encoder.inverse(blame.expected, frame.newest[0])),
            deviation=np.sqrt(together),
            share=share,
        )

    def decode(self, latent: Any) -> Matrix:
        """Turn latent vectors (n, k) into rows (n, d). Raises DataError for anything else."""
        model, codes = self.describing, np.asarray(latent, dtype=np.float32)
        if codes.ndim != 2 or codes.shape[1] != model.latent_size or not np.isfinite(codes).all():  # noqa: PLR2004
            raise DataError(f"latent vectors are finite and (n, {model.latent_size}), as `encode` gives: {codes.shape}")
        with torch.inference_mode():
            rebuilt = model.decode(torch.from_numpy(codes).expand(model.members, -1, -1))[0]
        nothing = np.full(
            (len(codes), len(self.encoder.schema)), np.nan
        )  # a timestamp is known by its time of day alone
        return self.constants.joined(self.encoder.inverse(rebuilt.double().numpy(), nothing))

    def save(self, directory: Path, about: Mapping[str, Any]) -> Manifest:
        """Write the files of a model; `about` (JSON types) goes into the manifest too. Raises ModelError."""
        facts = {
            **about,
            "options": asdict(self.options),
            "schema": self.schema.to_dict(),
            "schema_hash": self.schema.hash,
            "model": _described(self.judge.network.model),
            "threshold": {"kind": self.threshold.kind, **self.threshold.to_dict()},
            "representation": None if self.representation is None else _described(self.representation),
            "score_quantiles": dict(self.score_quantiles),
            "training": dict(self.training),
        }
        parts: dict[str, Arrays] = {
            "constants": self.constants.arrays(),
            "encoder": self.encoder.arrays(),
            "model": state(self.judge.network.model),
            "bounds": self.judge.network.bounds.arrays(),
            "scorer": self.judge.scorer.arrays(),
            "memory": {} if self.judge.memory is None else self.judge.memory.arrays(),
            "threshold": self.threshold.arrays(),
            "representation": {} if self.representation is None else state(self.representation),
        }
        arrays = {f"{part}.{name}": array for part, named in parts.items() for name, array in named.items()}
        return artefact.write(directory, facts, arrays)

    @classmethod
    def load(cls, directory: Path) -> tuple[Self, Manifest]:
        """Read what `save` wrote. Raises ModelError."""
        manifest, arrays = artefact.read(directory)

        def part(name: str) -> Arrays:
            return {key[len(name) + 1 :]: array for key, array in arrays.items() if key.startswith(f"{name}.")}

        def network(name: str, described: Mapping[str, Any]) -> Autoencoder:
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
            fitted = cls(
                options=options,
                constants=constants,
                encoder=encoder,
                judge=Rows(
                    Network(model, LatentBounds.from_arrays(part("bounds")), deviations),
                    ResidualScore.from_arrays(part("scorer")),
                    Memory.from_arrays(part("memory")) if options.memory else None,
                ),
                threshold=calibrators.restore(manifest.threshold, part("threshold")),
                score_quantiles=manifest.score_quantiles,
                training=manifest.training,
                representation=network("representation", manifest.representation) if manifest.representation else None,
            )
        except _UNUSABLE as error:
            missing = f"the manifest is not complete ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
            raise ModelError(f"{directory}: {missing}: train again or roll back") from error
        return fitted, manifest

    def _user_units(self, expected: Matrix, frame: Frame) -> Matrix:
        """Turn reconstructed inputs (n, w) into features (n, d) in the user's units, within the range seen in training.

        A network that only removes noise says how far each value is off, which holds outside that range as well.
        """
        encoder, (matrix, inputs) = self.encoder, frame.newest
        if self.representation is None or self.options.latent_size is not None:
            return self.constants.joined(encoder.inverse(expected, matrix))
        return self.constants.joined(encoder.correct(expected, inputs.numpy(), matrix))


def asked(options: Options, schema: FeatureSchema) -> Tolerances:
    """Which deviations of a schema's features count. Raises ConfigurationError when an option names something else."""
    return Tolerances.of(
        schema.names,
        direction=options.direction,
        min_abs_deviation=options.min_abs_deviation,
        min_rel_deviation=options.min_rel_deviation,
    )


def _described(model: Autoencoder) -> dict[str, Any]:
    return {"kind": model.kind, "config": model.config()}
