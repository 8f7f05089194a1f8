"""The kinds of record in one topic, told by the fields that occur together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aestream.types import Flags, Matrix, Places

# A kind has at least this share of the records. A field that fewer of them lack than that is in all kinds.
MIN_SHARE = 0.01
# A field belongs to another if this share of its records has the other, too, and this share of those without the other
# lacks it; and if it has at least half as many records.
TOGETHER, HALF = 0.98, 0.5
# Fields exclude each other if no more of the records with one have the other, although chance would give EXPECTED to
# one and all that it excludes.
APART, EXPECTED = 0.02, 20
# A value tells a kind apart if this share of the kind has it, and this share of what has it is of the kind.
TELLS = 0.99
# So many records at most are looked at to see what occurs together.
MAX_RECORDS = 2000


@dataclass(frozen=True, slots=True)
class RecordKind:
    """One kind of record: a name for people, its share of the records, and the `fields` that only it has.

    `where` is a condition, as in `type=cpu`, that holds for its records and for no others; empty if there is none.
    """

    name: str
    share: float
    fields: Sequence[str]
    where: str


def record_kinds(
    rows: Mapping[str, Sequence[int] | Places], texts: Mapping[str, Sequence[str | None]], records: int
) -> list[RecordKind]:
    """Find the kinds of record in a sample of so many, the most frequent first; none if all are of one kind.

    `rows` are the places of the records that have a value of each field; `texts` are the fields that hold text by
    record (n,), None where one is missing.

    Kinds have fields that exclude each other, or one has several that the other lacks. A field with gaps makes none.
    """
    presence = np.zeros((len(rows), records), np.bool_)
    for row, places in zip(presence, rows.values(), strict=True):
        row[np.asarray(places, np.intp)] = True
    share = presence.mean(axis=1) if records else np.zeros(len(rows))
    partial = np.flatnonzero((share >= MIN_SHARE) & (share <= 1 - MIN_SHARE))
    masks = [np.mean(presence[block], axis=0) >= HALF for block in _blocks(presence[partial], partial)]
    if not masks:
        return []
    rest = ~np.any(masks, axis=0)
    if rest.mean() >= MIN_SHARE:
        masks.append(rest)
    if len(masks) == 1:
        return []
    masks.sort(key=lambda mask: -int(mask.sum()))
    names, total = list(rows), presence.sum(axis=1)
    wheres = _conditions(masks, texts)
    kinds = []
    for mask, where in zip(masks, wheres, strict=True):
        own = presence[:, mask].sum(axis=1) >= TOGETHER * total
        fields = [names[field] for field in partial if own[field]]
        name = where.partition("=")[2] or (f"with {fields[0]}" if fields else "others")
        kinds.append(RecordKind(name, float(mask.mean()), fields, where))
    return kinds


def _blocks(presence: Flags, fields: Places) -> list[Places]:
    """The fields of each kind, from the presence (f, n) of fields that not all records have."""
    if not len(fields):
        return []
    packed = np.packbits(presence, axis=1)  # many fields have the same presence
    first, same = np.unique(packed, axis=0, return_index=True, return_inverse=True)[1:]
    seen = presence[first]
    if seen.shape[1] > MAX_RECORDS:
        seen = seen[:, np.random.default_rng(0).choice(seen.shape[1], MAX_RECORDS, replace=False)]
    ones = seen.astype(np.float32)
    both = (ones @ ones.T).astype(np.float64)  # (p, p): how many records have both
    members = list(_merge(both, seen.shape[1]))
    heads = [group[0] for group in members]
    size, count = np.diag(both)[heads], both[np.ix_(heads, heads)]
    apart = count <= APART * np.minimum.outer(size, size)
    sure = size * (apart @ size) >= EXPECTED * seen.shape[1]
    chosen: list[int] = []
    for block in range(len(heads)):
        if sure[block] and all(apart[block, other] for other in chosen):
            chosen.append(block)
    pattern = same.ravel()
    blocks = [fields[np.isin(pattern, members[block])] for block in chosen]
    if not blocks:
        several = [fields[np.isin(pattern, group)] for group in members]
        blocks = [block for block in several if len(block) > 1][:1]
    return sorted(blocks, key=min)


def _merge(both: Matrix, count: int) -> Iterator[Places]:
    """Group patterns of presence, the most frequent first, with those that seldom occur without it.

    `both` (p, p) says how many of so many records have two patterns.
    """
    size = np.diag(both)
    left = np.argsort(-size, kind="stable")
    while len(left):
        head = left[0]
        alone = size[left] - both[head, left]
        near = (alone <= (1 - TOGETHER) * np.minimum(size[left], count - size[head])) & (
            size[left] >= HALF * size[head]
        )
        near[0] = True
        yield left[near]
        left = left[~near]


def _conditions(masks: Sequence[Flags], texts: Mapping[str, Sequence[str | None]]) -> list[str]:
    """For each kind, given by its records (n,), the value that tells it apart, all of one field as far as possible."""
    best: list[str] = [""] * len(masks)
    for name, values in texts.items():
        column, counts = np.asarray(values, object), Counter(values)
        found = []
        for mask in masks:
            value, count = Counter(column[mask].tolist()).most_common(1)[0]
            tells = value is not None and count >= TELLS * max(int(mask.sum()), counts[value])
            found.append(f"{name}={value}" if tells else "")
        if sum(map(bool, found)) > sum(map(bool, best)):
            best = found
    return best
