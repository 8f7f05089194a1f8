"""What a text field's values are: dates, padded numbers, or labels that come and go."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import numpy as np

from aestream.types import Flags, Places, Vector

# A value that is this unlikely to be so late, or so early gone, comes or goes.
UNLIKELY = 1e-3
# It stays away for this many times its longest absence in between.
ABSENCE = 3.0
# Values that come and go mark identity if they are at least this share of the values or of the records,
# at least so many, and not merely a few records.
MOST, MIN_TURNED, MIN_SHARE = 0.5, 2, 0.1
# A field is of one kind if this share of its different values is.
NEARLY_ALL = 0.99

_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20)\d\d"
_MON = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    r"|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_WEEKDAY = r"(?:(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?,?\s+)?"
_ZONE = r"(?:\s?(?:Z|UTC|GMT|[A-Z]{3,4}|(?:UTC|GMT)?[+-]\d\d:?(?:\d\d)?))?(?:\s?\([A-Z]{3,4}\)|\[[A-Za-z_/]+\])?"
_HOURS = r"(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-6]\d(?:[.,:]\d{1,9})?)?"
_TIME = rf"{_HOURS}(?:\s?[AaPp]\.?[Mm]\.?)?{_ZONE}"
_DATES = "|".join(
    (
        rf"{_YEAR}([-/.])(?:{_MONTH}|{_MON})\1{_DAY}",  # 2026-11-20, 2026/11/20, 2026-Nov-20
        rf"{_YEAR}-(?:W[0-5]\d(?:-[1-7])?|[0-3]\d\d)",  # 2026-W47-5, 2026-324
        rf"{_MONTH}/{_DAY}/(?:{_YEAR}|\d\d)",  # 11/20/2026
        rf"{_DAY}([/.-])(?:{_MONTH}|{_MON})\2{_YEAR}",  # 20.11.2026, 20-Nov-2026
        rf"{_DAY}([/.-])(?:{_MON})\3\d\d",  # 20-Nov-26
        rf"{_WEEKDAY}{_DAY}\.?\s+{_MON}\.?,?\s+{_YEAR}",  # Fri, 20 Nov 2026
        rf"{_WEEKDAY}{_MON}\.?\s+{_DAY}(?:st|nd|rd|th)?,?\s+{_YEAR}",  # Nov 20, 2026
        rf"{_MON}\s+{_DAY}(?=\s+\d+:)",  # Nov 20 10:15:30, as in syslog
    )
)
_COMPACT = r"(?:19[7-9]\d|20\d\d)(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"  # 20261120
_DATE_TEXT = re.compile(
    rf"(?:(?:{_DATES})(?:(?:[T\s_:,]|,\s|\sat\s)\s?{_TIME})?|{_TIME}"
    rf"|{_COMPACT}(?:[T\s_-]?(?:[01]\d|2[0-4])[0-5]\d(?:[0-6]\d(?:[.,]\d{{1,9}})?)?{_ZONE})?"
    rf"|{_WEEKDAY}{_MON}\s+{_DAY}\s+{_TIME}\s+{_YEAR})",  # Fri Nov 20 10:15:30 2026
    re.IGNORECASE,
)
_PADDED = re.compile(r"[+-]?0\d+")
_WITH_COMMA = re.compile(r"[+-]?(?:\d+,\d+|\d{1,3}(?:([.,' ])\d{3})(?:\1\d{3})*(?:[.,]\d+)?)")


def is_date_text(texts: Collection[str]) -> bool:
    """Whether texts are dates or times of day in common forms, such as ISO 8601, 20.11.2026 or RFC 2822."""
    different = set(texts)
    dates = sum(_DATE_TEXT.fullmatch(text.strip()) is not None for text in different)
    return bool(different) and dates >= NEARLY_ALL * len(different)


def is_padded(texts: Collection[str]) -> bool:
    """Whether numbers in text are labels: some begin with a zero that no number needs, such as 00123."""
    return any(_PADDED.fullmatch(text.strip()) for text in set(texts))


def has_commas(texts: Collection[str]) -> bool:
    """Whether texts are numbers with a decimal comma, or with separators between thousands."""
    different = set(texts)
    numbers = sum(_WITH_COMMA.fullmatch(text.strip()) is not None for text in different)
    return bool(different) and numbers >= NEARLY_ALL * len(different)


def turnover(texts: Sequence[str], rows: Places, records: int) -> str:
    """Say that values come and go, and thus mark identity and not state; nothing if they do not.

    `texts` are the values of the records at `rows` (m,), ascending, of a sample of so many records in time order. A
    value with count c comes late if it begins where (1 - share of the sample before it)^c is small, and goes early if
    it ends so; and if it is away for much longer than ever in between. A state that is seen once does not count: at
    least half of the values, or of the records, must come and go.
    """
    values, codes = np.unique(np.asarray(texts, object), return_inverse=True)
    if len(values) < MIN_TURNED:
        return ""
    counts = np.bincount(codes)
    late, early = come_and_go(codes, np.asarray(rows, np.float64) / records, counts)
    turned = late | early
    share = float(counts[turned].sum() / len(codes))
    if turned.sum() < MIN_TURNED or (share < MOST and (turned.mean() < MOST or share < MIN_SHARE)):
        return ""
    told = [f"{late.sum()} first appear late in the sample"] if late.any() else []
    told += [f"{early.sum()} are gone before its end"] if early.any() else []
    return f"labels that come and go: of {len(values)} values, {' and '.join(told)}"


def come_and_go(codes: Places, places: Vector, counts: Places) -> tuple[Flags, Flags]:
    """Which values (k,) begin late in the sample, and which end early.

    `codes` (m,) are the numbers of the values at `places` (m,), from 0 to 1 and ascending; `counts` (k,) their counts.
    """
    rows = np.argsort(codes, kind="stable")
    ordered = places[rows]
    starts = np.cumsum(counts) - counts
    first, last = ordered[starts], ordered[starts + counts - 1]
    gaps = np.diff(ordered, append=1.0)
    gaps[starts + counts - 1] = 0
    longest = np.maximum.reduceat(gaps, starts)
    before, after = first, 1 - last
    return (
        ((1 - before) ** counts < UNLIKELY) & (before > ABSENCE * longest),
        ((1 - after) ** counts < UNLIKELY) & (after > ABSENCE * longest),
    )
