"""A sample of the past of topics."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from aestream import portions
from aestream.codecs.base import Codec, Decoder
from aestream.codecs.marks import marks_of, moments_of
from aestream.errors import DataError, UnreadableError
from aestream.features.roles import NO_MARKS, NO_ROLES, Roles
from aestream.inference import coverage
from aestream.inference.documents import Documents
from aestream.inference.infer import infer
from aestream.inference.spread import Spread
from aestream.sampling.gathering import MIN_ENTITIES, Gathering, typical
from aestream.sampling.sample import Choose, Progress, Sample
from aestream.transport import clocks
from aestream.transport.base import History
from aestream.types import Key, Places, Stamps, Vector

_INFERRED_FROM_RECORDS = 10_000
_INFERRED_FROM_BYTES = 64 * 2**20
_NEARLY_ALL = 0.99  # of the timestamps must be times; the others take the one before
# So many records of an entity are wanted, for a scaling and a threshold of its own (`detector.scales`). The sample
# reaches back at most so many times as far as the newest records do for that, in steps that are at most so large.
_ENOUGH, _MAX_REACH, _STEP = 150, 49, 7


@dataclass(frozen=True, slots=True)
class TopicSampler:
    """The newest `records` records of the input topics, none older than `period` seconds if that is given.

    Where these hold a few records only of each of very many entities, the sample reaches further back: it is all
    records of some entities, as many as there is room for. So it shows how the records of an entity follow each other,
    and how it differs from others.

    The past is read twice: once to infer the features from records spread over all of it, once to decode every record
    into them; and once or twice more to reach further back. So memory is bounded by `records` rows of features and
    their keys, whatever else a record holds.

    `roles` name the fields that tell entities and times, where records are to be judged with those before them; None:
    each is judged alone.
    """

    history: History
    codec: Codec
    records: int
    period: float | None
    choose: Choose = infer
    roles: Roles | None = None

    def sample(self, *, progress: Progress) -> Sample:
        """Infer the features, then decode the records."""
        documents = self.documents(progress)
        found, stamps = self.choose(documents), documents.timestamps
        del documents  # whole records take much memory
        schema = found.schema()
        roles = self.roles or NO_ROLES
        decoder = self.codec.decoder(schema, roles.names)
        gathered, reach = self._gather(decoder, len(schema), progress)
        matrix, beside = gathered.matrix, gathered.beside
        order, times, warnings = _in_order(beside.stamps)
        portions.reorder(matrix, order)
        # messages may hold several records: the newest are enough
        matrix, order, times = matrix[-self.records :], order[-self.records :], times[-self.records :]
        origin = {"offsets": gathered.offsets, "period_ms": [int(times[0]), int(times[-1])] if len(times) else []}
        sample = Sample(
            matrix,
            schema,
            found,
            gathered.invalid,
            origin,
            timestamps=times,
            warnings=warnings,
            roles=roles,
            share=gathered.share,
        )
        if self.roles is not None:
            sample = _by_time(sample, beside.moments[order], [beside.keys[row] for row in order.tolist()])
        by_field = len(found.stamps) > 0 and not np.array_equal(found.stamps, stamps)
        seen, wanted = max(gathered.seen, len(sample.matrix)), reach * self.records
        more = self._left_out_older(sample.timestamps, seen, wanted)
        warned = self._warnings(sample, seen, wanted, more=more, by_field=by_field)
        remedy = "raise `sample_records`, or `period` if that is set" if more else "wait until the topic holds more"
        return replace(sample, warnings=warned, remedy=remedy)

    def _gather(self, decoder: Decoder, features: int, progress: Progress) -> tuple[Gathering, int]:
        """Decode the newest records, and how many times as many as `records` were read for that.

        It is more than once where the entities have too few of them, and the topic holds more: then further back, step
        by step, for as long as that finds more of an entity. If it finds none, they come and go: the newest must do.
        """
        reach, found = 1, self._read_back(decoder, Gathering(features), 1, progress)
        many = self.roles is not None and len(set(found.keys)) > MIN_ENTITIES
        while many and found.seen >= _NEARLY_ALL * reach * self.records:
            count, seen, wanted = typical(found.keys), found.seen, min(_ENOUGH, self.records // MIN_ENTITIES)
            further = min(math.ceil(reach * wanted / count), _STEP * reach, _MAX_REACH)
            if further < 2 * reach:
                break
            del found  # not both at once
            found = self._read_back(decoder, Gathering(features, self.records), further, progress)
            many = typical(found.keys) >= count * (1 + found.seen / seen) / 2
            if not many and reach == 1:
                del found
                return self._read_back(decoder, Gathering(features), 1, progress), 1
            reach = further
        return found, reach

    def _read_back(self, decoder: Decoder, into: Gathering, reach: int, progress: Progress) -> Gathering:
        """Gather from so many times `records` messages."""
        wanted = reach * self.records
        for batch in self.history.read(records=wanted, period=self.period):
            decoded = decoder.decode(batch.values, batch.keys, batch.timestamps)
            marks = NO_MARKS if self.roles is None else marks_of(decoded, self.roles, moments_of(decoded))
            into.add(batch, decoded, marks)
            progress(into.seen, wanted)
        return into

    def documents(self, progress: Progress | None = None) -> Documents:
        """Read whole records that are spread over the sample, in time order, to infer the features from.

        `progress(0, wanted)` is called as they arrive. Raises DataError when there are none.
        """
        spread = Spread(records=_INFERRED_FROM_RECORDS, max_bytes=_INFERRED_FROM_BYTES)
        seen = 0
        why: str | None = None
        for batch in self.history.read(records=self.records, period=self.period):
            chosen = spread.choose(batch.keys)
            values = list(map(batch.values.__getitem__, chosen.tolist()))
            records = self.codec.documents(values)
            if why is None and not any(records):
                why = next(filter(None, map(self.codec.refusal, values)), None)
            spread.add(chosen, batch.keys, batch.timestamps, batch.values, records)
            seen += len(batch)
            if progress is not None:
                progress(0, self.records)
        found = spread.documents()
        if not seen:
            raise DataError(
                "the input topic has no records to train on: start a producer, or lengthen `period` if that is set"
            )
        if not len(found) and why is None:
            raise DataError(f"all of the {seen} records in the input topic are passed over: check `where` and `layout`")
        if not len(found):
            raise UnreadableError(
                f"none of the {seen} records in the input topic can be read: {why}; or check `topics`, and what is "
                "produced there"
            )
        order, times, _ = _in_order(found.timestamps)
        rows = order.tolist()
        return Documents(list(map(found.records.__getitem__, rows)), list(map(found.keys.__getitem__, rows)), times)

    def _warnings(self, sample: Sample, seen: int, wanted: int, *, more: bool, by_field: bool) -> Sequence[str]:
        """What to know about the times that a sample covers, for which `seen` of `wanted` messages were read.

        Where a field tells the time, it is known of some of the records only, and no cycle is looked for.
        """
        times, values, told = sample.timestamps, sample.numbers, sample.warnings
        if by_field:
            times, values, told = sample.inference.stamps, (), ()
        return [*told, *coverage.warnings(times, values, records=seen, wanted=wanted, more=more)]

    def _left_out_older(self, times: Stamps, seen: int, wanted: int) -> bool:
        """Whether the topic seems to hold records that are older than the sample."""
        if seen >= _NEARLY_ALL * wanted:
            return True
        if self.period is None or not len(times):
            return False
        return bool(time.time() * 1000 - times[0] > _NEARLY_ALL * self.period * 1000)


def _by_time(sample: Sample, times: Vector, keys: Sequence[Key]) -> Sample:
    """Add the times (n,) and keys (n,) of a sample's records, and sort them by time: messages may be in another order.

    The sample's matrix is sorted in place.

    Where neither a field nor the messages tell the time, as when all were written at once, the order stays.
    """
    if len(sample.timestamps) and (sample.roles.time is not None or np.ptp(sample.timestamps) > 0):
        stamps = sample.timestamps / 1000
        times = stamps if sample.roles.time is None else np.where(np.isnan(times), stamps, times)
    elif sample.roles.time is None:
        if len(counters := sample.schema.counters):
            raise DataError(
                f"{sample.schema.names[counters[0]]} is a counter, and the Kafka timestamps do not tell how fast it "
                "rises: name a field that holds the time in `time`"
            )
        return replace(sample, keys=keys)
    order = np.argsort(times, kind="stable")
    portions.reorder(sample.matrix, order)
    return replace(
        sample,
        keys=[keys[row] for row in order.tolist()],
        times=times[order],
        timestamps=sample.timestamps[order] if len(sample.timestamps) else sample.timestamps,
    )


def _in_order(stamps: Stamps) -> tuple[Places, Stamps, list[str]]:
    """The order of Kafka timestamps, (n,), the times in that order, in milliseconds, and warnings about them.

    Where they tell no time, the order is that of reading, and there are no times.
    """
    times, good = clocks.milliseconds(stamps, now=int(time.time() * 1000))
    if len(stamps) and good.mean() < _NEARLY_ALL:
        warning = (
            f"{1 - good.mean():.0%} of the Kafka timestamps are not times, or lie in the future, so the order of the "
            "records is unknown: name a field that holds the time in `time`"
        )
        return np.arange(len(stamps)), np.empty(0, np.int64), [warning]
    known = np.flatnonzero(good)
    if len(known) < len(times):
        times = times[known[np.maximum(np.cumsum(good) - 1, 0)]]
    order = np.argsort(times, kind="stable")  # partitions are read side by side
    unit = clocks.name(stamps)
    return order, times[order], [] if unit == "milliseconds" else [f"the Kafka timestamps are read as {unit}"]
