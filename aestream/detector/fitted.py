"""What a fit has learnt: it judges rows and explains them, and becomes the files of a model and is read again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aestream import artefact
from aestream.detector.attribution import Attribution, shares
from aestream.detector.deviations import Deviations, only, what_counts
from aestream.detector.neighbours import Memory
from aestream.detector.options import Options
from aestream.detector.residuals import LatentBounds, ResidualScore
from aestream.errors import ConfigurationError, DataError, ModelError
from aestream.features.encoder import FeatureEncoder
from aestream.features.schema import FeatureSchema
from aestream.models.base import Autoencoder, restore, state
from aestream.thresholds import calibrators
from aestream.thresholds.base import Threshold

Matrix: TypeAlias = npt.NDArray[np.float64]
Vector: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

# Rows computed at a time: what fits into a core's cache.
CHUNK = 1024
# A feature that is so many of its usual spreads from what was expected is not asked what to expect of the others,
# unless its square is less than this share of the largest: then it may only be drawn along.
CLEARLY_OFF, DRAWN_ALONG = 3.0, 0.1

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
    schema: FeatureSchema
    encoder: FeatureEncoder
    model: Autoencoder
    bounds: LatentBounds
    scorer: ResidualScore
    memory: Memory | None
    deviations: Deviations | None
    threshold: Threshold
    score_quantiles: Mapping[str, float]
    training: Mapping[str, Any]
    representation: Autoencoder | None

    @property
    def describing(self) -> Autoencoder:
        """The network that encodes and reconstructs: one of its own where the options asked for it."""
        return self.representation or self.model

    def detect(self, matrix: Matrix, *, latent: bool, reconstruction: bool) -> Detection:
        """Judge (n, d) rows."""
        scaled = torch.from_numpy(self.encoder.transform(matrix).astype(np.float32))  # (n, w)
        count, width = scaled.shape
        error, any_counts = np.empty(count), np.ones(count, bool)
        considered = scaled if self.deviations is None else torch.empty_like(scaled)
        latents = np.empty((count, self.describing.latent_size)) if latent else None
        expected = np.empty((count, width)) if reconstruction else None
        with torch.inference_mode():
            for start in range(0, count, CHUNK):
                place = slice(start, start + CHUNK)
                inputs = scaled[place]
                code, rebuilt, counted = self._look(matrix[place], inputs)
                error[place] = self.scorer.error(only(inputs - rebuilt, counted)).numpy()
                if counted is not None:
                    considered[place] = what_counts(inputs, rebuilt, counted)
                    any_counts[place] = counted.any(dim=1).numpy()
                if self.representation is not None and (latent or reconstruction):
                    code = self.representation.encode(inputs)
                    rebuilt = self.representation.decode(code)
                if latents is not None:
                    latents[place] = code[0].numpy()
                if expected is not None:
                    expected[place] = rebuilt.mean(dim=0).numpy()
            if self.memory is not None:  # after the network, not in turns with it: each fills the core's cache
                error = self.memory.join(error, considered)
        error *= any_counts
        score = error / self.threshold.value
        return Detection(
            error=error,
            score=score,
            p_value=self.threshold.p_value(error),
            anomaly=score > 1.0,
            latent=latents,
            reconstruction=None if expected is None else self._user_units(expected, scaled, matrix),
        )

    def attribute(self, matrix: Matrix) -> Attribution:
        """Explain (m, d) rows.

        A feature is as far off as it is to the member that can make the most of it.
        """
        observed = np.array(matrix, dtype=np.float64)
        scaled = torch.from_numpy(self.encoder.transform(matrix).astype(np.float32))  # (m, w)
        expected, squares = np.empty(scaled.shape), np.empty(scaled.shape)
        with torch.inference_mode():
            for start in range(0, len(scaled), CHUNK):
                place = slice(start, start + CHUNK)
                inputs = scaled[place]
                rebuilt, counted = self._look_again(observed[place], inputs)
                expected[place] = rebuilt.mean(dim=0).numpy()
                squares[place] = self.scorer.squares(only(inputs - rebuilt, counted)).amin(dim=0).numpy()
        together = self.encoder.by_feature(squares)
        share = shares(together)
        if self.deviations is not None:
            share[~together.any(axis=1)] = 0.0
        return Attribution(
            observed=observed,
            expected=self.encoder.inverse(expected, observed),
            deviation=np.sqrt(together),
            share=share,
        )

    def decode(self, latent: Any) -> Matrix:
        """Turn latent vectors (n, k) into rows (n, d). Raises DataError when they are none."""
        model, codes = self.describing, np.asarray(latent, dtype=np.float32)
        if codes.ndim != 2 or codes.shape[1] != model.latent_size or not np.isfinite(codes).all():  # noqa: PLR2004
            raise DataError(f"latent vectors are finite and (n, {model.latent_size}), as `encode` gives: {codes.shape}")
        with torch.inference_mode():
            rebuilt = model.decode(torch.from_numpy(codes).expand(model.members, -1, -1))[0]
        unknown = np.full((len(codes), len(self.schema)), np.nan)  # timestamps are known by their time of day alone
        return self.encoder.inverse(rebuilt.double().numpy(), unknown)

    def save(self, directory: Path, about: Mapping[str, Any]) -> None:
        """Write the files of a model; `about` (JSON types) goes into the manifest too. Raises ModelError."""
        manifest = {
            **about,
            "options": asdict(self.options),
            "schema": self.schema.to_dict(),
            "schema_hash": self.schema.hash,
            "model": _described(self.model),
            "threshold": {"kind": self.threshold.kind, **self.threshold.to_dict()},
            "representation": None if self.representation is None else _described(self.representation),
            "score_quantiles": dict(self.score_quantiles),
            "training": dict(self.training),
        }
        parts: dict[str, Mapping[str, npt.NDArray[Any]]] = {
            "encoder": self.encoder.arrays(),
            "model": state(self.model),
            "bounds": self.bounds.arrays(),
            "scorer": self.scorer.arrays(),
            "memory": {} if self.memory is None else self.memory.arrays(),
            "threshold": self.threshold.arrays(),
            "representation": {} if self.representation is None else state(self.representation),
        }
        arrays = {f"{part}.{name}": array for part, named in parts.items() for name, array in named.items()}
        artefact.write(directory, manifest, arrays)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote. Raises ModelError."""
        manifest, arrays = artefact.read(directory)

        def part(name: str) -> dict[str, npt.NDArray[Any]]:
            return {key[len(name) + 1 :]: array for key, array in arrays.items() if key.startswith(f"{name}.")}

        def network(name: str) -> Autoencoder:
            return restore(manifest[name]["kind"], manifest[name]["config"], part(name))

        try:
            schema = FeatureSchema.from_dict(manifest["schema"])
            if schema.hash != manifest["schema_hash"]:
                again = "train again or roll back"
                raise ModelError(f"{directory}: the feature schema is not the one of the training: {again}")
            options = Options(**manifest["options"])
            encoder = FeatureEncoder.from_arrays(part("encoder"), schema)
            return cls(
                options=options,
                schema=schema,
                encoder=encoder,
                model=network("model"),
                bounds=LatentBounds.from_arrays(part("bounds")),
                scorer=ResidualScore.from_arrays(part("scorer")),
                memory=Memory.from_arrays(part("memory")) if options.memory else None,
                deviations=counting(options, encoder),
                threshold=calibrators.restore(manifest["threshold"], part("threshold")),
                score_quantiles=manifest["score_quantiles"],
                training=manifest["training"],
                representation=network("representation") if manifest["representation"] else None,
            )
        except _UNUSABLE as error:
            missing = f"the manifest is not complete ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
            raise ModelError(f"{directory}: {missing}: train again or roll back") from error

    def _look(self, matrix: Matrix, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """(B, d) in the user's units, and encoded (B, w) -> latent, reconstructions (M, B, w), what counts (B, w)."""
        code, rebuilt = rebuild(self.model, self.bounds, inputs)
        if self.deviations is None:
            return code, rebuilt, None
        again = partial(reconstructions, self.model, self.bounds)
        return code, *self.deviations.settle(again, matrix, inputs, rebuilt)

    def _look_again(self, matrix: Matrix, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Reconstruct rows without what is clearly off -> reconstructions (M, B, w), what counts (B, w).

        A feature that is clearly off draws along what is expected of the others, which would share its blame. It is
        taken for what the members expect of it on the whole, and the network is asked once more.
        """
        _, rebuilt, counted = self._look(matrix, inputs)
        squares = self.scorer.squares(only(inputs - rebuilt, counted)).mean(dim=0)
        off = (squares > CLEARLY_OFF**2) & (squares > DRAWN_ALONG * squares.amax(dim=1, keepdim=True))
        trusted = ~off if counted is None else counted & ~off
        rebuilt = reconstructions(self.model, self.bounds, what_counts(inputs, rebuilt, trusted))
        if self.deviations is not None and counted is not None:
            counted &= self.deviations.counted_inputs(matrix, rebuilt.mean(dim=0))
        return rebuilt, counted

    def _user_units(self, expected: Matrix, scaled: Tensor, matrix: Matrix) -> Matrix:
        """Turn reconstructed inputs (n, w) into features (n, d) in the user's units, within the range seen in training.

        A network that only removes noise says how far each value is off, which holds outside that range as well.
        """
        encoder = self.encoder
        if self.representation is None or self.options.latent_size is not None:
            return encoder.inverse(expected, matrix)
        return encoder.correct(expected, scaled.numpy(), matrix)


def rebuild(model: Autoencoder, bounds: LatentBounds, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """(B, w) -> latent vectors (M, B, k), and the reconstructions from within the bounds (M, B, w)."""
    code = model.encode(inputs)
    return code, model.decode(bounds.apply(code))


def reconstructions(model: Autoencoder, bounds: LatentBounds, inputs: Tensor) -> Tensor:
    """(B, w) -> reconstructions from within the bounds (M, B, w)."""
    return rebuild(model, bounds, inputs)[1]


def counting(options: Options, encoder: FeatureEncoder) -> Deviations | None:
    """Return which deviations count; None: all. Raises ConfigurationError when an option names no feature."""
    return Deviations.of(
        encoder,
        direction=options.direction,
        min_abs_deviation=options.min_abs_deviation,
        min_rel_deviation=options.min_rel_deviation,
    )


def _described(model: Autoencoder) -> dict[str, Any]:
    return {"kind": model.kind, "config": model.config()}
