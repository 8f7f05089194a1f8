"""How the numbers of a text file are written: which mark is the decimal one, and which only groups thousands."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from aestream.quantities import MISSING_TEXTS

UNKNOWN = ""  # the decimal mark of a column that has both, or that does not tell

_GROUP = " \u00a0\u2009\u202f'\u2019"  # spaces and apostrophes only ever group
_POWER = r"([eE][+-]?\d+)?"
_MISSING = pa.array([None, *MISSING_TEXTS], pa.string())
_SOME = 0.5  # a column holds numbers when at least this share of its values are


def _sure(mark: str, other: str) -> str:
    """The pattern of numbers in which `mark` can only be the decimal mark."""
    shapes = (
        rf"\d*{mark}(\d{{1,2}}|\d{{4,}})",  # 1,5
        rf"(0\d*|\d{{4,}}|){mark}\d+",  # 0,125 and 1234,567
        rf"\d{{1,3}}([{_GROUP}]\d{{3}})+{mark}\d+",  # 1 234,567
        rf"\d{{1,3}}({other}\d{{3}})+{mark}\d+",  # 1.234,567
        rf"\d{{1,3}}({other}\d{{3}}){{2,}}",  # 1.234.567
        rf"\d+{mark}\d*[eE][+-]?\d+",  # 1,234e5
    )
    return rf"^[+-]?({'|'.join(shapes)}){_POWER}$"


def _any(mark: str, other: str) -> str:
    """The pattern of numbers with the decimal mark, with groups, with both or with neither."""
    return rf"^[+-]?(\d{{1,3}}([{_GROUP}{other}]\d{{3}})+|\d+|){mark}?\d*{_POWER}$"


_SURE = {",": _sure(",", r"\."), ".": _sure(r"\.", ",")}
_ANY = {",": _any(",", "."), ".": _any(r"\.", ",")}
_SIMPLE = {",": r"^[+-]?\d+$", ".": r"^[+-]?\d+(\.\d*)?$", UNKNOWN: r"^[+-]?\d+(\.\d*)?$"}  # nothing to change
_EITHER = r"^[+-]?[1-9]\d{0,2},\d{3}$"  # a thousand, or a bit more than one


def decimal_marks(sample: pa.Table, delimiter: str) -> tuple[dict[str, str], list[str]]:
    """The decimal mark of each column of texts that may hold numbers: a comma, a dot or UNKNOWN.

    A column that does not tell is taken to be written like the others. If none tells, `1,234` is a decimal number where
    semicolons separate the columns, a thousand where commas do, and UNKNOWN elsewhere. Also returns the names of the
    columns whose mark was guessed in this way.
    """
    marks: dict[str, str] = {}
    silent: list[str] = []
    guessed: list[str] = []
    for name in sample.column_names:
        texts = pc.utf8_trim_whitespace(sample.column(name))
        texts = texts.filter(pc.invert(pc.is_in(pc.utf8_lower(texts), _MISSING)))
        numbers = pc.or_(_matches(texts, _ANY[","]), _matches(texts, _ANY["."]))
        if numbers.to_numpy().sum() >= _SOME * len(texts):
            told = [mark for mark in ",." if _matches(texts, _SURE[mark]).to_numpy().any()]
            marks[name] = told[0] if len(told) == 1 else UNKNOWN
            if not told:
                silent.append(name)
                if _matches(texts, _EITHER).to_numpy().any():
                    guessed.append(name)
    known = set(marks.values()) - {UNKNOWN}
    if len(known) == 1:
        return marks | dict.fromkeys(silent, known.pop()), []
    usual = {";": ",", ",": "."}.get(delimiter, UNKNOWN)
    return marks | dict.fromkeys(silent, ".") | dict.fromkeys(guessed, usual), guessed


def plainly(texts: pa.ChunkedArray, mark: str) -> pa.ChunkedArray:
    """Write the numbers among the texts with a dot as the decimal mark, and nothing else.

    Where the mark is UNKNOWN, this is done to those that can only be read in one way.
    """
    whole = pa.chunked_array([pc.utf8_trim_whitespace(texts).combine_chunks()])
    odd = pc.fill_null(pc.invert(_matches(whole, _SIMPLE[mark])), fill_value=False)
    texts = whole.filter(odd)
    if not len(texts):
        return whole
    if mark == UNKNOWN:
        spaced = _matches(texts, rf"^[+-]?\d{{1,3}}([{_GROUP}]\d{{3}})+$")
        texts = pc.if_else(spaced, pc.replace_substring_regex(texts, f"[{_GROUP}]", ""), texts)
    for decimal, other in ((",", "."), (".", ",")):
        if mark in {decimal, UNKNOWN}:
            these = _matches(texts, _SURE[decimal] if mark == UNKNOWN else _ANY[decimal])
            bare = pc.replace_substring_regex(texts, f"[{other}{_GROUP}]", "")
            texts = pc.if_else(these, pc.replace_substring(bare, decimal, "."), texts)
    return pc.replace_with_mask(whole, odd.combine_chunks(), texts.combine_chunks())


def _matches(texts: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    return pc.match_substring_regex(texts, pattern)
