"""Which fields tell entities apart, such as hosts, devices or customers."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from aestream.inference.clocks import epoch_unit
from aestream.inference.labels import is_date_text, turnover
from aestream.inference.movement import MIN_EVIDENCE, only_rises
from aestream.inference.order import Order
from aestream.types import Places, Vector

# An entity has at least this many records on average, and at least this share of the records has one.
MIN_RECORDS, MIN_PRESENT = 2, 0.1
# Entities take turns: they follow each other at least this many times each.
MIN_TURNS = 2
# Grouping by entity turns a field into a counter that rises so often, or takes away this share of its variance.
MIN_RISES, SEPARATED = 10, 0.5
# Variance alone says little, as states differ as well: entities send at a steady pace. Their records' distances then
# vary by less than this share of their mean; by about 1 where chance decides.
STEADY = 0.6
# What is looked at, at most: records, numeric fields, fields that may tell entities apart, fields in one key.
MAX_RECORDS, MAX_NUMBERS, MAX_CANDIDATES, MAX_NAMES = 4000, 200, 12, 3

Texts = Sequence[str | None]


def codes(columns: Sequence[Sequence[Hashable]]) -> Places:
    """Number the combinations of the columns' values -> (n,), from 0; a missing value is a value of its own."""
    numbers: dict[tuple[Hashable, ...], int] = {}
    rows = zip(*columns, strict=True)
    return np.fromiter((numbers.setdefault(row, len(numbers)) for row in rows), np.intp, len(columns[0]))


def propose(
    texts: Mapping[str, Texts], numbers: Mapping[str, Vector], times: Vector | None = None, keys: Texts | None = None
) -> tuple[str, ...]:
    """Name the fields that tell entities apart, the fewest that do; none if nothing does, or if the records' keys do.

    `texts` are fields as text by record (n,), whole numbers among them; `numbers` the numeric fields (n,), NaN where
    missing; `times` (n,) in seconds; `keys` (n,) those of the records. Entities take turns, and stay. Grouping by them
    turns fields into counters that are none without, or takes away most of the variance of fields.
    """
    sample = _Sample.of(numbers, times, len(next(iter(texts.values()), ())))
    found: dict[str, Places] = {}
    for name in sorted(texts, key=numbers.__contains__):  # text is likelier than numbers
        values = numbers.get(name)
        if values is None or bool(np.all(np.isnan(values) | (values == np.floor(values)))):
            column = [texts[name][row] for row in sample.rows]
            if _may_be_entities(column):
                found[name] = codes([column])
    names = [name for name in texts if name in list(found)[:MAX_CANDIDATES]]
    best = sample.choose(found, ((name,) for name in names))
    best = best or sample.choose(found, itertools.combinations(names, 2))
    while best and len(best) < MAX_NAMES:
        others = (tuple(sorted((*best, name), key=names.index)) for name in names if name not in best)
        more = sample.choose(found, others, least=sample.gain(_together(found, best), best))
        if not more or sample.by_chance(found, best, more):
            break
        best = more
    if best and keys is not None:
        keyed = sample.gain(codes([[keys[row] for row in sample.rows]]))
        return () if keyed >= sample.gain(_together(found, best), best) else best
    return best


@dataclass(frozen=True, slots=True)
class _Sample:
    """The numeric fields of the records at `rows` (m,), in the order of their times (m,)."""

    rows: Places
    times: Vector | None
    fields: Sequence[tuple[str, Vector]]

    @classmethod
    def of(cls, numbers: Mapping[str, Vector], times: Vector | None, records: int) -> Self:
        """Take the latest records, and the fields that are no counters without entities."""
        order = Order.of(times=times).rows
        rows = (np.arange(records) if order is None else order)[-MAX_RECORDS:]
        times = None if order is None or times is None else times[rows]
        step = len(numbers) // MAX_NUMBERS + 1
        fields = [(name, values[rows]) for name, values in itertools.islice(numbers.items(), 0, None, step)]
        whole = Order.of(times=times)
        return cls(rows, times, [(name, it) for name, it in fields if _varies(it) and not only_rises(it, whole, 1)])

    def gain(self, entity: Places, names: Sequence[str] = ()) -> int:
        """How many fields become counters, or lose most of their variance, if the records are grouped by entity (m,).

        The fields that tell the entities apart do not count, nor do counters that chance groups show as well: records
        far apart differ by what moves slowly.
        """
        if MIN_RECORDS * entity.max(initial=0) >= len(entity):
            return 0
        steady, order = _pace(entity) < STEADY, Order.of(entity, self.times)
        chance = Order.of(np.random.default_rng(0).permutation(entity), self.times)
        return sum(
            name not in names
            and (
                (only_rises(values, order, MIN_RISES) and not only_rises(values, chance, 1))
                or (steady and _separated(values, entity) >= SEPARATED)
            )
            for name, values in self.fields
        )

    def by_chance(self, found: Mapping[str, Places], names: Sequence[str], more: Sequence[str]) -> bool:
        """Whether dividing entities further gains no more than it would with the values of the added field shuffled."""
        shuffled = np.random.default_rng(0).permutation(_together(found, [name for name in more if name not in names]))
        divided = _together({"": shuffled, **found}, ["", *names])
        return self.gain(divided, more) >= self.gain(_together(found, more), more)

    def choose(self, found: Mapping[str, Places], groups: Iterable[tuple[str, ...]], least: int = 0) -> tuple[str, ...]:
        """The names that gain most and more than `least`; of equal ones those with the fewest entities."""
        gains = [(-self.gain(entity := _together(found, names), names), entity.max(), names) for names in groups]
        gain, _, best = min(gains, key=lambda found: found[:2], default=(0, 0, ()))
        return best if -gain > least else ()


def _varies(values: Vector) -> bool:
    """Whether a field has enough different values, and is no time."""
    present = values[~np.isnan(values)]
    return len(present) >= MIN_EVIDENCE and bool(np.ptp(present) > 0) and epoch_unit(present) is None


def _may_be_entities(texts: Texts) -> bool:
    """Whether values (m,), in the order of time, take turns, repeat and stay."""
    rows = np.array([row for row, value in enumerate(texts) if value is not None], np.intp)
    values = [value for value in texts if value is not None]
    count = len(set(values))
    turns = sum(map(operator.ne, values[1:], values[:-1]))
    return (
        count > 1
        and len(values) >= max(MIN_PRESENT * len(texts), MIN_RECORDS * count)
        and turns >= MIN_TURNS * count
        and not is_date_text(values)
        and not turnover(values, rows, len(texts))
    )


def _together(found: Mapping[str, Places], names: Sequence[str]) -> Places:
    """The numbers of the entities (m,) that several fields tell apart together."""
    total = found[names[0]]
    for name in names[1:]:
        total = np.unique(total * (found[name].max() + 1) + found[name], return_inverse=True)[1]
    return total


def _pace(entity: Places) -> float:
    """How much the distances between an entity's records vary, as a share of their mean."""
    rows = np.argsort(entity, kind="stable")
    distance = np.diff(rows).astype(np.float64)
    same = np.diff(entity[rows]) == 0
    if not same.any():
        return np.inf
    distance, group = distance[same], entity[rows][1:][same]
    count = np.bincount(group)
    mean = np.bincount(group, distance) / np.maximum(count, 1)
    return float(np.std(distance / mean[group]))


def _separated(values: Vector, entity: Places) -> float:
    """The share of the variance that lies between entities and not within them (ANOVA, adjusted for their number)."""
    present = ~np.isnan(values)
    values, entity = values[present], np.unique(entity[present], return_inverse=True)[1]
    count = np.bincount(entity)
    if len(values) <= len(count):
        return 0.0
    within = values - (np.bincount(entity, values) / count)[entity]
    left = float(within @ within) / (len(values) - len(count))
    return 1 - left / float(np.var(values, ddof=1))
