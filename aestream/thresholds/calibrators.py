"""The calibrators, and the false-alarm rate that one is fitted for."""

from collections.abc import Mapping
from typing import Any

from aestream.errors import ModelError
from aestream.thresholds.base import Threshold, check_support
from aestream.thresholds.pot import PotThreshold
from aestream.thresholds.quantile import QuantileThreshold
from aestream.types import Vector

CALIBRATORS: Mapping[str, type[Threshold]] = {kind.kind: kind for kind in (PotThreshold, QuantileThreshold)}
# The rate when none is given.
USUAL_RATE = 0.001


def agreed_rate(kind: type[Threshold], asked: float | None, records: int) -> float:
    """Return the rate to calibrate for: the one asked for; else 0.001, or the lowest that this many records support.

    Raises DataError when the records are too few to support the rate asked for.
    """
    if asked is None:
        return max(USUAL_RATE, kind.lowest_rate(records))
    check_support(kind, asked, records)
    return asked


def restore(data: Mapping[str, Any], arrays: Mapping[str, Vector]) -> Threshold:
    """Restore a threshold from what its `to_dict`, with its `kind`, and its `arrays` returned.

    Raises ModelError for an unknown kind.
    """
    if data["kind"] not in CALIBRATORS:
        raise ModelError(f"the threshold kind {data['kind']!r} is unknown: update aestream, or train again")
    return CALIBRATORS[data["kind"]].restore(data, arrays)
