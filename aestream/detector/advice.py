"""What a person should know about what was learnt, one sentence each."""

from collections.abc import Iterator

from aestream.detector.fitted import Fitted
from aestream.thresholds import calibrators

# The median record has at least this score, unless outliers set the threshold: in a gaussian sample 0.2.
CALM = 0.015


def advice(fitted: Fitted) -> tuple[str, ...]:
    """Say what there is to say about the calibration, the constants, and outliers in the sample."""
    return (*_rate(fitted), *_outliers(fitted), *fitted.threshold.warnings, *fitted.constants.warnings)


def _rate(fitted: Fitted) -> Iterator[str]:
    """Say that the usual rate was too low for so few records, if none was asked for."""
    threshold, usual = fitted.threshold, calibrators.USUAL_RATE
    if fitted.options.false_alarm_rate is None and threshold.false_alarm_rate > usual:
        instead = f"the false-alarm rate is {threshold.false_alarm_rate:.2g}, the lowest that so few records support"
        yield f"{instead}: {threshold.records_needed(usual)} would support {usual:g}"


def _outliers(fitted: Fitted) -> Iterator[str]:
    """Say that outliers of the sample set the threshold, if they do."""
    median = fitted.score_quantiles.get("0.5", 1.0)
    if median < CALM:
        yield (
            f"some records of the sample are {1 / max(median, 1e-9):.0f} times as unusual as the median one, "
            "perhaps because of an incident, and the threshold is as high: leave that time out of the sample, or "
            "raise `false_alarm_rate`"
        )
