"""What a person should know before a model learns from a sample, and when no model should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aestream.columns import Kind
from aestream.inference.judgement import MIN_IMPUTED, Cause, Finding, percent
from aestream.inference.kinds import MIN_SHARE, RecordKind

# A model that lacks more of the numeric fields than this, because they are often missing, sees too little.
MOST = 0.5
_LISTED, _LISTED_OF_A_KIND = 5, 2


@dataclass(frozen=True, slots=True)
class Review:
    """One line for each thing to know. `refusal` says why a model could not see much; empty if it can.

    `mixed`: because the sample holds several kinds of record.
    """

    warnings: Sequence[str] = ()
    refusal: str = ""
    mixed: bool = False


def review(findings: Sequence[Finding], kinds: Sequence[RecordKind], key: Sequence[str]) -> Review:
    """Say what a model of these fields would not see.

    `kinds` are the kinds of record that the sample holds; `key` are the fields that were found to tell entities apart.
    """
    told_of = {text: [found.name for found in findings if found.warning == text] for text in _warnings(findings)}
    warnings = [f"{_few(names)}: {'each ' if len(names) > 1 else ''}{text}" for text, names in told_of.items()]
    moving = [found for found in findings if found.cause is Cause.MOVES]
    for remedy in dict.fromkeys(map(_rate_remedy, moving)):
        names = [found.name for found in moving if _rate_remedy(found) == remedy]
        told = "it only moves" if len(names) == 1 else "they only move"
        warnings.append(f"{_few(names)}: left out, because {told} one way and what follows would be flagged; {remedy}")
    refusal = _blind(findings, kinds)
    if key and not refusal:  # among several kinds of record, whatever tells the kinds apart looks like an entity
        apart, tell = ",".join(key), "tells" if len(key) == 1 else "tell"
        warnings.append(f"{apart} {tell} entities apart: `key={apart}` says so, and anomalies then name theirs")
    objects = [] if refusal else [found for found in findings if found.cause is Cause.OBJECTS]
    warnings += [f"{found.name}: {found.reason}, left out; {found.remedy} reads what is in it" for found in objects]
    return Review(warnings, refusal, mixed=bool(refusal) and len(kinds) > 1)


def _warnings(findings: Sequence[Finding]) -> Sequence[str]:
    """The different warnings, in order."""
    return list(dict.fromkeys(found.warning for found in findings if found.warning))


def _rate_remedy(found: Finding) -> str:
    """What to do about a field that only moves one way."""
    force = not found.remedy or found.remedy.startswith("`include=")
    return f"send rates, or {'force it with `include`' if force else f'set {found.remedy}'}"


def _blind(findings: Sequence[Finding], kinds: Sequence[RecordKind]) -> str:
    """Why a model of these fields could not see much; empty if it can."""
    varying = [
        found
        for found in findings
        if found.column is not None and found.column.kind is Kind.NUMERIC and not found.column.steady
    ]
    seldom = [
        found
        for found in findings
        if found.cause is Cause.SELDOM and found.kind == "numeric" and 1 - found.missing >= MIN_SHARE
    ]
    if len(seldom) > MOST * (len(seldom) + len(varying)):
        told = f"{len(seldom)} of {len(seldom) + len(varying)} numeric fields are missing in many records and left out"
        impute = any(1 - found.missing >= MIN_IMPUTED for found in seldom)
        return f"{told}{_kinds(kinds, impute=impute)}; `force=true` trains without them"
    if not varying:
        seen = _reasons(findings)
        return f"no number that varies is left for a model to see ({seen}); `force=true` trains all the same"
    return ""


def _reasons(findings: Sequence[Finding]) -> str:
    """Why fields are no numbers that vary, and what would change that: those that a setting can read come first."""
    ranks = {Cause.UNIT: 0, Cause.OBJECTS: 0, Cause.MIXED: 2, Cause.CONSTANT: 3, Cause.NAME: 3}
    ranked = sorted(findings, key=lambda found: 1 if found.kind == "numeric" else ranks.get(found.cause, 3))
    told = [
        f"{found.name}: {found.reason}{f', {found.remedy} uses it' if found.column is None and found.remedy else ''}"
        for found in ranked[:_LISTED]
    ]
    more = [f"{len(ranked) - _LISTED} more fields"] if len(ranked) > _LISTED else []
    return "; ".join([*told, *more]) or "no fields at all"


def _kinds(kinds: Sequence[RecordKind], *, impute: bool) -> str:
    """The kinds of record and what to do about them: one model of each, or of all, if missing values can be imputed."""
    several = len(kinds) > 1
    shown = ", ".join(f"{kind.name} ({percent(kind.share, 1)}{_fields(kind)})" for kind in kinds[:_LISTED])
    more = f" and {len(kinds) - _LISTED} more" if len(kinds) > _LISTED else ""
    filters = [kind.where or f"{kind.fields[0]}=*" for kind in kinds if several and (kind.where or kind.fields)]
    remedies = (
        ["`missing=impute` makes one model of all" if several else "`missing=impute` keeps them"] if impute else []
    )
    remedies += [f"`where={filters[0]}` makes a model of one kind"] if filters else []
    told = f"; there are {len(kinds)} kinds of record: {shown}{more}" if several else ""
    return told + (f"; {', or '.join(remedies)}" if remedies else "")


def _fields(kind: RecordKind) -> str:
    return f": {_few(kind.fields, _LISTED_OF_A_KIND)}" if kind.fields else ""


def _few(names: Sequence[str], listed: int = _LISTED) -> str:
    more = f" and {len(names) - listed} more" if len(names) > listed else ""
    return ", ".join(names[:listed]) + more
