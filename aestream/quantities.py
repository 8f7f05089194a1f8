"""Numbers that are written as text: plain ones, words for a missing value, and quantities with a unit."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from aestream.types import Vector

# What producers write in place of a number that they do not have; compared in lower case, without spaces around it.
MISSING_TEXTS = frozenset(
    {
        *("", "-", "--", "---", "?", ".", "\\n", "nan", "-nan", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nat"),
        *("null", "(null)", "<null>", "none", "nil", "<nil>", "undefined", "missing", "unknown", "unavailable"),
    }
)
# What numbers with a unit are read as: the base unit, and its name for people.
BASES = {
    "s": "seconds",
    "B": "bytes",
    "B/s": "bytes per second",
    "bit/s": "bits per second",
    "Hz": "hertz",
    "%": "percent",
    "°C": "degrees Celsius",
    "W": "watts",
    "V": "volts",
    "A": "amperes",
}
# `++` and `*+` take all there is and give nothing back: a megabyte of digits is read once, not again from each of them.
_NUMBER = r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?"
_UNIT = r"[^\W\d_][^\s\d]*+|%|°\w"
_QUANTITY = re.compile(rf"({_NUMBER})\s*+({_UNIT})")
_QUANTITIES = re.compile(rf"^[ \t]*+({_NUMBER})[ \t]*+({_UNIT})?[ \t]*+$", re.MULTILINE)
_SPANS = re.compile(r"(?<!\d)(\d++(?:\.\d*+)?)(h|ms|m|s|us|µs|ns)")  # Go writes 1h2m3.5s
_SHORT = 2  # characters of a unit whose case matters: MB is not mb


class Unit(NamedTuple):
    """A unit as it is written: a number of it times `factor` is a number of `base`, which is one of BASES."""

    name: str
    base: str
    factor: float


def stands_for_nothing(text: str) -> bool:
    """Whether a text is a word for a missing value, such as `N/A`."""
    return text.strip().lower() in MISSING_TEXTS


def text_number(text: str) -> float:
    """The number that a text holds; NaN for a word that stands for a missing value, and for an infinite number.

    Raises ValueError for any other text, such as a number with a unit.
    """
    if stands_for_nothing(text):
        return math.nan
    if "_" in text:  # Python allows it within a number
        raise ValueError("text")
    number = float(text)
    return number if math.isfinite(number) else math.nan


def text_numbers(values: Sequence[str | float | None]) -> Vector:
    """Read texts and numbers side by side as `text_number` does -> (n,).

    Raises ValueError for a text that `text_number` refuses, and for an unusual spelling that only it can read.
    """
    known = list(map(_NOTHING.get, values, values))
    column = np.fromiter(map(float, known), np.float64, len(known))  # type: ignore[arg-type]
    if any("_" in value for value in values if isinstance(value, str)):
        raise ValueError("text")
    column[np.isinf(column)] = np.nan
    return column


def unit_of(text: str) -> Unit | None:
    """The unit of a quantity such as `12.3 ms`, `1.5GiB`, `45 %` or `1h2m3s`; None for any other text."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is not None:
        name = match[2]
        return _UNITS.get(name) or (_UNITS.get(name.lower()) if len(name) > _SHORT else None)
    return _UNITS["s"] if len(_spans(text)) > 1 else None


def quantity(text: str, base: str) -> float:
    """The number that a text holds, in units of `base`; one without a unit is taken to be in `base`.

    NaN for a word that stands for a missing value, and for an infinite number. Raises ValueError for any other text,
    and for another kind of unit.
    """
    unit = unit_of(text)
    if unit is None:
        return text_number(text)
    if unit.base != base:
        raise ValueError(f"text with a unit of {BASES[unit.base]} ({unit.name}), not of {BASES[base]}")
    if (match := _QUANTITY.fullmatch(text.strip())) is not None:
        found = float(match[1]) * unit.factor
    else:
        found = sum(float(number) * _UNITS["min" if name == "m" else name].factor for number, name in _spans(text))
    return found if math.isfinite(found) else math.nan


def quantities(texts: Sequence[str], base: str) -> Vector:
    """Read quantities as `quantity` does -> (n,).

    Raises ValueError for a text that `quantity` refuses, and for a word or a duration that only it can read.
    """
    found = _QUANTITIES.findall("\n".join(texts))
    if len(found) != len(texts):
        raise ValueError("text")
    numbers = np.fromiter((float(number) for number, _ in found), np.float64, len(found))
    factors = np.fromiter(map(_factors(base).get, (name for _, name in found)), np.float64, len(found))
    if np.isnan(factors).any():
        raise ValueError("text")
    column = numbers * factors
    column[np.isinf(column)] = np.nan
    return column


def unit_remedy(name: str, value: object) -> str:
    """What would make the feature `name` read a quantity; nothing if the value is none."""
    unit = unit_of(value) if isinstance(value, str) else None
    return "" if unit is None else f"`units`={name} reads it as {BASES[unit.base]}"


def _spans(text: str) -> list[tuple[str, str]]:
    """The parts of a text that holds durations and nothing else."""
    return _SPANS.findall(text) if not _SPANS.sub("", text.strip()) else []


def _scaled(names: str, prefixes: Mapping[str, float]) -> dict[str, float]:
    return {prefix + name: factor for name in names.split() for prefix, factor in prefixes.items()}


_DECIMAL = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
_SMALL = {"µ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6}
_TIMES = {
    "ns nanosecond nanoseconds": 1e-9,
    "us µs μs microsecond microseconds": 1e-6,
    "ms msec msecs millisecond milliseconds": 1e-3,
    "s sec secs second seconds": 1.0,
    "min mins minute minutes": 60.0,
    "h hr hrs hour hours": 3600.0,
    "d day days": 86400.0,
}
_SPELLINGS: Mapping[str, Mapping[str, float]] = {
    "s": {name: factor for names, factor in _TIMES.items() for name in names.split()},
    "B": _scaled("B", _DECIMAL | _BINARY) | _BINARY | {"byte": 1.0, "bytes": 1.0},
    "B/s": _scaled("B/s Bps", _DECIMAL | _BINARY),
    "bit/s": _scaled("bit/s bps b/s", _DECIMAL),
    "Hz": _scaled("Hz", _DECIMAL),
    "%": {"%": 1.0, "percent": 1.0},
    "°C": {"°C": 1.0},
    "W": _scaled("W", _SMALL),
    "V": _scaled("V", _SMALL),
    "A": _scaled("A", _SMALL),
}
_UNITS = {name: Unit(name, base, factor) for base, names in _SPELLINGS.items() for name, factor in names.items()}
# The words as they are usually written, to look them up without a call of Python for each.
_NOTHING: Mapping[str | float | None, float] = {
    None: math.nan,
    "NaN": math.nan,
    **{spelling: math.nan for word in MISSING_TEXTS for spelling in (word, word.upper(), word.capitalize())},
}


@functools.cache
def _factors(base: str) -> Mapping[str, float]:
    return {"": 1.0, **_SPELLINGS[base]}
