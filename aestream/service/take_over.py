"""Taking over partitions: from what the topic keeps of them, or else from their last records, up to where they are."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec
import numpy as np

from aestream.errors import DataError, ModelError, TransportError
from aestream.pipeline import LoadedModel
from aestream.service.replay import Replay
from aestream.service.service import Service
from aestream.service.state_topic import StateTopic
from aestream.state.entities import Entities
from aestream.state.entries import Address, Found, Marker, Reader, Writer
from aestream.state.partition import Clock, PartitionState
from aestream.state.store import Store
from aestream.transport.base import History, Source
from aestream.types import Partition, Start

_log = logging.getLogger(__name__)

# Without anything that is kept, so many of a partition's last records are seen again, and no more of all together.
_SEEN_AGAIN, _SEEN_AGAIN_OF_ALL = 50_000, 200_000
_MOST = 1_000_000  # what is kept is of no use if more records than this came after it
_AWAIT_SECONDS = 1.0
_TRIES = 2  # to read the past, where the broker answers: with the state topic, and without
_WAITS = "what is remembered of entities"


@dataclass(slots=True)
class Kept:
    """A partition as the topic has it: its marker as it was written last, and the offset after its last record.

    `useless` are the keys of messages that nobody needs any more.
    """

    writer: Writer
    marker: Marker
    next: int
    useless: Sequence[bytes] = ()


@dataclass(slots=True)
class _Work:
    """What is to be done to take over some partitions."""

    kept: dict[Partition, Kept] = field(default_factory=dict)
    states: dict[Partition, PartitionState] = field(default_factory=dict)
    models: dict[str, LoadedModel] = field(default_factory=dict)
    anew: dict[Partition, str | None] = field(default_factory=dict)  # why what was kept is of no use, if anything was

    def take(self, reader: Reader, found: Found, offset: int, model: LoadedModel) -> None:
        """Let a partition go on from what was found, to be scored by `model` from this offset on."""
        part, store = reader.address.part, model.pipeline.stream.store
        versions = [since for since in found.marker.models if since[0] <= offset]
        if versions[-1][1] != model.version:
            versions.append((offset, model.version))
        marker = msgspec.structs.replace(found.marker, epoch=reader.next_epoch, models=versions)
        self.kept[part] = Kept(Writer(reader.address, store.layout), marker, offset, sorted(reader.useless))
        self.states[part] = state = _state(found, store)
        state.gone.update((key, 0) for key in reader.entities if key not in state.entities)


class _TooSlowError(Exception):
    """Seeing records again takes too long."""


class TakeOver:
    """Lets the entities of partitions go on where they were, for the workers of the consumer group `group`.

    `patience` bounds, in seconds, how long records are seen again: a worker that is away from its group for longer than
    the group allows would lose the partitions.
    """

    def __init__(
        self, group: str, topic: StateTopic, history: History, replay: Replay, service: Service, *, patience: float
    ) -> None:
        self._group = group
        self._topic = topic
        self._history = history
        self._replay = replay
        self._service = service
        self._patience = patience

    def run(
        self, model: LoadedModel, starts: Mapping[Partition, Start], source: Source
    ) -> Mapping[Partition, Kept] | None:
        """Bring what `model` remembers of partitions to where their reading starts.

        Returns how the topic has them, or None if the worker was asked to stop meanwhile. Waits for a broker that is
        away; a topic that cannot be read is given up, and then the past of the partitions is too.
        """
        with self._service.stop.interrupting():  # nothing is written or committed here
            return self._run(model, starts, source)
        return None

    def _run(
        self, model: LoadedModel, starts: Mapping[Partition, Start], source: Source
    ) -> Mapping[Partition, Kept] | None:
        began, failed = time.monotonic(), 0
        while self._going():
            try:
                work = self._look(model, starts, blind=failed >= _TRIES)
                if work is None:
                    return None
                since = time.monotonic()
                stretches = {part: one.marker.stretches(one.next) for part, one in work.kept.items()}
                seen = self._replay.run(work.states, stretches, work.models, model, partial(self._in_time, since))
            except _TooSlowError:
                _log.warning("entities begin anew, because more than %.0f s passed with their records", self._patience)
                failed = _TRIES
                continue
            except TransportError as error:
                if source.answers():
                    failed += 1
                    self._topic.give_up(error)
                if failed == _TRIES:
                    _log.warning("entities begin anew, because the last records cannot be read: %s", error)
                self._service.stop.wait(_AWAIT_SECONDS)
                continue
            if seen is None or not self._going():  # at the end, the topic is not even looked up
                return None
            self._tell(work, seen, time.monotonic() - began, model)
            return work.kept
        return None

    def _going(self) -> bool:
        """Whether to go on: the worker shows that it is alive, and was not asked to stop."""
        self._service.wait_for(_WAITS)
        self._service.beat()
        return not self._service.stop.is_set()

    def _in_time(self, since: float) -> bool:
        """The same; raises _TooSlowError once it takes too long."""
        if time.monotonic() - since > self._patience:
            raise _TooSlowError
        return self._going()

    def _look(self, model: LoadedModel, starts: Mapping[Partition, Start], *, blind: bool) -> _Work | None:
        """Find out how each partition goes on; `blind`: without reading anything. None: stopped meanwhile."""
        bounds: Mapping[Partition, tuple[int, int]] = {part: (at, at) for part, (at, _) in starts.items()}
        if not blind:
            with self._service.asking():
                bounds = self._history.bounds(starts)
        readers = self._read(model.pipeline.stream.store, starts, blind=blind)
        if readers is None:
            return None
        work = _Work(models={model.version: model})
        again = min(_SEEN_AGAIN, _SEEN_AGAIN_OF_ALL // len(starts))
        while readers:  # one after another, so that not all is in memory twice
            part, reader = readers.popitem()
            try:
                found = reader.found()
                if found is not None:
                    _check(found, starts[part], bounds[part], model.pipeline.stream.reading)
                    versions = [version for _, _, version in found.marker.stretches(starts[part].offset)]
                    work.models |= self._replay.models(versions, model)
                else:
                    work.anew[part] = None
            except (DataError, ModelError) as error:
                found, work.anew[part] = None, str(error)
            if found is None:
                begins = _begins(starts[part].offset, bounds[part], again)
                found = _nothing(reader, model, begins)
            work.take(reader, found, starts[part].offset, model)
        return work

    def _read(self, store: Store, starts: Mapping[Partition, Start], *, blind: bool) -> dict[Partition, Reader] | None:
        """Read what the topic has of partitions. None: stopped meanwhile."""
        ids = self._topic.ids({part.topic for part in starts})
        readers = {
            part: Reader(Address(self._group, part.topic, ids[part.topic], part.partition), store.layout)
            for part in starts
        }
        self._topic.expect(store.layout.itemsize)
        if not blind and self._topic.usable():
            for _ in self._topic.read({(self._group, part): reader for part, reader in readers.items()}):
                if not self._going():
                    return None
        return readers

    def _tell(self, work: _Work, seen: int, seconds: float, model: LoadedModel) -> None:
        """Log what became of the entities."""
        unused = [(part, why) for part, why in work.anew.items() if why is not None]
        if unused:
            ((topic, number), why), more = unused[0], len(unused) - 1
            _log.warning(
                "what was kept of the entities in %s/%d%s is not used: %s%s",
                topic,
                number,
                f" and {more} more partitions" if more else "",
                why,
                f" (in {topic}/{number})" if more else "",
            )
        anew, count = len(work.anew), len(model.pipeline.stream.store)
        _log.info(
            "%d entities are remembered, after %.1f s and %d records that were seen again%s",
            count,
            seconds,
            seen,
            f"; in {anew} of {len(work.kept)} partitions, nothing was there to go on from" if anew else "",
        )


def _check(found: Found, start: Start, bounds: tuple[int, int], reading: str) -> None:
    """Raise DataError if a partition with these bounds, which starts here, cannot go on from what was found.

    `reading` says what rows mean to the model.
    """
    first, end = bounds
    offset = found.marker.next
    if not start.ours and start.offset != offset:
        raise DataError(
            f"the group's offset was set to {start.offset}, and not by a worker; it was kept as of offset {offset}"
        )
    if offset > start.offset or found.values["offset"].max(initial=0) > start.offset:
        raise DataError(f"it goes on at offset {start.offset}, before what was kept")
    if start.offset > end:
        raise DataError(f"it ends at offset {end}, before {start.offset}, where it goes on")
    if first > offset:
        raise DataError(
            f"its records from offset {offset} to {first - 1} are deleted, and it was kept as of before them"
        )
    if found.marker.reading != reading:
        raise DataError("it was kept by a model of other features")
    if start.offset - offset > _MOST:
        raise DataError(f"it was kept as of offset {offset}, which is too far before {start.offset}")


def _begins(offset: int, bounds: tuple[int, int], again: int) -> int:
    """Where records are seen again, so many at most, if nothing is kept of a partition that goes on at this offset."""
    first, end = bounds
    return max(offset - again, min(first, offset)) if offset <= end else offset


def _nothing(reader: Reader, model: LoadedModel, begins: int) -> Found:
    """What there is to go on from if nothing is kept: nothing, as of this offset; what the topic has is of no use."""
    stream, epoch = model.pipeline.stream, reader.next_epoch
    marker = Marker(begins, epoch, epoch, [(begins, model.version)], stream.reading)
    return Found(marker, (), np.zeros(0, stream.store.layout))


def _state(found: Found, store: Store) -> PartitionState:
    """What was found of a partition."""
    entities, marker = Entities(store.layout, store.blank), found.marker
    places = entities.places(found.keys)
    entities.values[places] = found.values
    return PartitionState(entities, Clock(marker.elapsed, marker.latest, marker.against), marker.horizon)
