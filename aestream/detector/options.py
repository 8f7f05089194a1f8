"""What a detector can be told, and which values can work: the settings take these rules from here."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from aestream.columns import POLICIES
from aestream.errors import ConfigurationError
from aestream.thresholds import calibrators

DIRECTIONS = ("up", "down", "both")
# Whether the time of day and the weekday are inputs; `auto`: if they tell something about the records.
CLOCKS = ("auto", "on", "off")
# How far the threshold of an entity follows its errors: see `state.alarms`.
ADAPTATIONS = ("off", "bounded", "held")
# Longer windows cost more and find less (`tests.bench.quality --parts series`).
MOST_ROWS = 100


class Rule(NamedTuple):
    """Which values of an option can work, and what to give."""

    holds: Callable[[Any], bool]
    advice: str


def _known_policies(missing: str | Sequence[str]) -> bool:
    """Whether all items are `POLICY` or `NAME=POLICY`: a list, or text with commas between them."""
    items = missing.split(",") if isinstance(missing, str) else missing
    return all(item.rpartition("=")[2] in POLICIES for item in items)


# None passes every rule: it leaves the choice to the fit.
RULES: Mapping[str, Rule] = {
    "false_alarm_rate": Rule(lambda rate: 0 < rate <= 0.5, "give a share above 0, at most 0.5, such as 0.001"),  # noqa: PLR2004
    "calibrator": Rule(lambda name: name in calibrators.CALIBRATORS, f"write {' or '.join(calibrators.CALIBRATORS)}"),
    "latent_size": Rule(lambda size: size >= 1, "give a whole number from 1"),
    "noise": Rule(lambda noise: noise > 0, "give standard deviations above 0"),
    "steps": Rule(lambda steps: steps >= 1, "give a whole number from 1"),
    "hidden": Rule(lambda size: size >= 1, "give a whole number from 1"),
    # With fewer rows there might be none outside a row's own stretch.
    "memory": Rule(lambda rows: rows == 0 or rows >= 10, "give 10 rows or more, or 0 for none"),  # noqa: PLR2004
    "window": Rule(
        lambda window: window == "auto" or (isinstance(window, int) and 1 <= window <= MOST_ROWS),
        f"write auto, or a whole number of records from 1 to {MOST_ROWS}",
    ),
    "max_gap": Rule(lambda gap: gap > 1, "give a number of usual intervals above 1"),
    "clock": Rule(lambda clock: clock in CLOCKS, f"write {', '.join(CLOCKS)}"),
    "adaptation": Rule(lambda how: how in ADAPTATIONS, f"write {', '.join(ADAPTATIONS)}"),
    "missing": Rule(_known_policies, f"write {' or '.join(POLICIES)}, for all features or as NAME=POLICY"),
}
_LEAST = Rule(lambda size: 0 <= size < math.inf, "give a number from 0")
# The same for options by feature: of each value.
FEATURE_RULES: Mapping[str, Rule] = {
    "direction": Rule(lambda way: way in DIRECTIONS, "write up, down or both"),
    "min_abs_deviation": _LEAST,
    "min_rel_deviation": _LEAST,
}


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
    memory: int
    missing: str
    timestamps: Sequence[str]
    direction: Mapping[str, str]
    min_abs_deviation: Mapping[str, float]
    min_rel_deviation: Mapping[str, float]
    # Models of before do not say: they judge records alone.
    flag_unseen: bool = False
    window: int | str = 1
    max_gap: float | None = None
    clock: str = "off"
    holidays: str | None = None
    adaptation: str = "off"

    def __post_init__(self) -> None:
        """Refuse what cannot work, before any training. Raises ConfigurationError."""
        for name, rule in RULES.items():
            value = getattr(self, name)
            if value is not None and not _holds(rule, value):
                raise ConfigurationError(f"{name} is {value!r}: {rule.advice}")
        for name, rule in FEATURE_RULES.items():
            for feature, value in getattr(self, name).items():
                if not _holds(rule, value):
                    raise ConfigurationError(f"{name} of {feature!r} is {value!r}: {rule.advice}")
        for name, told in (("clock", self.clock == "on"), ("holidays", self.holidays)):
            if told and self.window == 1:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)!r}, but each record is judged alone, which sees no clock: set "
                    "`window` to auto, or use a field with the time as a feature in `timestamps`"
                )


def _holds(rule: Rule, value: Any) -> bool:
    """Whether a rule holds, also for a value of a kind that it does not expect."""
    try:
        return rule.holds(value)
    except TypeError:
        return False
