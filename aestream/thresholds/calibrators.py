"""Which calibrators there are, and for which rate one is fitted."""

from collections.abc import Mapping
from typing import Any

from aestream.errors import ModelError
from aestream.thresholds.base import Threshold, check_support
from aestream.thresholds.pot import PotThreshold
from aestream.thresholds.quantile import QuantileThreshold
from aestream.types import Vector

CALIBRATORS: Mapping[str, type[Threshold]] = {kind.kind: kind for kind in (PotThreshold, QuantileThreshold)}
# What is calibrated for when nobody asks for a rate.
USUAL_RATE = 0.001


def agreed_rate(kind: type[Threshold], asked: float | None, records: int) -> float:
    """Return the rate to calibrate for: the one asked for; else 0.001, or the lowest that so many records support.

    Raises DataError when a rate is asked for that so many records cannot support.
    """
    if asked is None:
        return max(USUAL_RATE, kind.lowest_rate(records))
    check_support(kind, asked, records)
    return asked


def restore(data: Mapping[str, Any], arrays: Mapping[str, Vector]) -> Threshold:
    """Read what a threshold's `to_dict` (and its `kind`) and `arrays` returned.

    Raises ModelError when there is no such kind here.
    """
    if data["kind"] not in CALIBRATORS:
        raise ModelError(f"there is no threshold of kind {data['kind']!r} here: update aestream, or train again")
    return CALIBRATORS[data["kind"]].restore(data, arrays)
