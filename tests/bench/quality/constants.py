"""What other values of the detector's constants do: each of them smaller and larger, in the place of today's."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from functools import partial
from typing import Any

from aestream import Detector
from aestream.models.fit import fit
from tests.bench.quality.ablation import Override

# By dotted name within aestream.
_VALUES: dict[str, tuple[Any, Any]] = {
    "detector.learn:MEMBERS": (3, 12),
    "detector.learn:LATENT": ((2, 8), (6, 32)),
    "detector.learn:NOISE": (0.1, 0.4),
    "models.dense:HIDDEN_SHARE": (0.2, 0.6),
    "detector.residuals:INSIDE": (0.95, 0.999),
    "detector.residuals:INNER": (0.8, 0.95),
    "detector.residuals:MOST": (0.9, 0.99),
    "detector.residuals:REFITS": (1, 6),
    "detector.residuals:RIDGE": (0.01, 1.0),
    "detector.residuals:LATENT_RIDGE": (0.001, 0.1),
    "detector.residuals:PRECISION": (0.005, 0.1),
    "detector.residuals:TAIL": (0.0003, 0.003),
    "detector.residuals:TAIL_ROWS": (2, 8),
    "detector.residuals:STEADIEST": (0.1, 1.0),
    "detector.residuals:WILDEST": (3.0, 30.0),
    "detector.neighbours:LARGEST": (0.05, 0.2),
    "detector.neighbours:LEAST_SPREAD": (0.001, 0.1),
    "detector.neighbours:STEEPEST": (3.0, 30.0),
}
_OF_THE_FIT: dict[str, tuple[Any, Any]] = {
    "batch_size": (128, 512),
    "learning_rate": (2e-3, 8e-3),
    "trim": (0.15, 0.45),
}
_OF_THE_DETECTOR = {"hidden": (16, 64)}


def _other_values() -> Iterator[tuple[str, Override]]:
    for place, values in _VALUES.items():
        module, _, name = place.partition(":")
        says = f"in place of {getattr(importlib.import_module(f'aestream.{module}'), name)}"
        yield from ((f"{name} = {value}", Override(says, {place: value})) for value in values)
    for name, values in _OF_THE_FIT.items():
        says = f"in place of {inspect.signature(fit).parameters[name].default}"
        for value in values:
            other: dict[str, Any] = {name: value}
            yield f"{name} = {value}", Override(says, {"detector.learn:fit": partial(fit, **other)})
    for name, values in _OF_THE_DETECTOR.items():
        says = f"in place of {inspect.signature(Detector).parameters[name].default}"
        yield from ((f"{name} = {value}", Override(says, options={name: value})) for value in values)


OTHER_VALUES = dict(_other_values())
