"""What is remembered of entities, kept in a compacted topic: written behind the commits, and read back from there."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from aestream.errors import AestreamError
from aestream.pipeline import LoadedModel
from aestream.service.state_topic import StateTopic
from aestream.service.take_over import Kept, TakeOver
from aestream.state.entries import Messages
from aestream.state.partition import Clock, PartitionState
from aestream.transport.base import Source
from aestream.types import Batch, Key, Partition, Start

_log = logging.getLogger(__name__)

_SECONDS = 10.0  # between two rounds of writing what has changed
_SHARE = 0.08  # of the time at most is spent on writing
_AT_ONCE = 1_000  # messages between two batches


@dataclass(slots=True)
class _Round:
    """The writing of one partition: what is still to be written, and what the marker will say at its end."""

    part: Partition
    next: int
    clock: Clock
    horizon: int
    left: deque[Key]


class Ledger:
    """Keeps what is remembered of the entities of each partition, and finds it again for whoever takes that over."""

    def __init__(self, topic: StateTopic, take_over: TakeOver) -> None:
        self._topic = topic
        self._take_over = take_over
        self._model: LoadedModel | None = None
        self._kept: dict[Partition, Kept] = {}
        self._round: _Round | None = None
        self._queue: deque[Partition] = deque()  # to be written after that
        self._began = 0.0  # when the first of them was
        self._spent = 0.0  # seconds since then
        self._due = 0.0

    def begin(self, model: LoadedModel, starts: Mapping[Partition, Start], source: Source) -> bool:
        """Let the entities of partitions go on from what is kept of them. False if the worker is to stop instead."""
        self._model = model
        self.drop(starts)
        if not model.pipeline.stream.remembers or not starts:
            return True
        kept = self._take_over.run(model, starts, source)
        if kept is None:
            return False
        self._kept |= kept
        self._write_markers(kept)
        return True

    def follow(self, batch: Batch) -> None:
        """Take note of how far the partitions are read: what is remembered of them is not written before a commit."""
        for part, offset in batch.positions.items():
            if part in self._kept:
                self._kept[part].next = offset

    def drop(self, parts: Collection[Partition]) -> None:
        """Forget partitions that are not ours any more, or are to begin again."""
        for part in parts:
            self._kept.pop(part, None)
            if self._round is not None and self._round.part == part:
                self._round = None
        if self._model is not None:
            self._model.pipeline.stream.forget(parts)

    def versions(self, part: Partition) -> list[str]:
        """The versions of the model that the next owner of a partition needs to see its records again, oldest first."""
        return [version for _, version in self._kept[part].marker.models] if part in self._kept else []

    def change(self, model: LoadedModel, source: Source) -> bool:
        """Go on with another model, from where everything is committed.

        Which version scores from which offset on is durable when this returns. False as for `begin`.
        """
        former, self._model = self._model, model
        if former is None or not model.pipeline.stream.adopt(former.pipeline.stream):
            starts = {part: Start(offset, ours=True) for part, offset in source.committed().items()}
            return self.begin(model, starts, source)
        _log.info("%d entities go on with model %s", len(model.pipeline.stream.store), model.version)
        for kept in self._kept.values():
            models = [*kept.marker.models, (kept.next, model.version)]
            kept.marker = msgspec.structs.replace(kept.marker, models=models)
        self._write_markers(self._kept)
        return True

    def due(self) -> bool:
        """Whether it is time to write, and no more was spent on it than may be."""
        now = time.monotonic()
        busy = self._round is not None or len(self._queue) > 0
        ready = self._spent <= _SHARE * (now - self._began) if busy else now >= self._due
        return ready and len(self._kept) > 0 and self._topic.usable()

    def write(self, committed: Mapping[Partition, int]) -> None:
        """Write some of what has changed, one partition after another; `committed` are the offsets that are now."""
        start = time.monotonic()
        if self._round is None and not self._queue:
            self._queue.extend(self._kept)
            self._began, self._spent = start, 0.0
        try:
            self._write(committed)
        except AestreamError as error:
            self._fail(error)
            return
        self._spent += time.monotonic() - start
        if self._round is None and not self._queue:
            self._due = self._began + _SECONDS

    def close(self, committed: Mapping[Partition, int]) -> None:
        """Write all that has changed, and close the connection."""
        if self._kept and self._topic.usable():
            if self._round is not None:  # what it has written may be written once more: let the marker count it
                self._write_markers({self._round.part: self._kept[self._round.part]})
            self._round, self._queue = None, deque(self._kept)
            while self._round is not None or self._queue:
                self.write(committed)
        self._topic.close()

    def _write(self, committed: Mapping[Partition, int]) -> None:
        """Write about so many messages; the client keeps those of a partition in order."""
        room = _AT_ONCE
        while room > 0 and (self._round is not None or self._queue):
            if self._round is None:
                self._round = self._new_round(self._queue.popleft(), committed)
            elif committed.get(self._round.part) != self._kept[self._round.part].next:
                break  # a round is not given up: an entry that is written twice must have a marker in between
            elif self._round.left:
                room -= self._write_entries(self._round, room)
            else:
                room -= self._end(self._round, room)
                self._round = None
        self._topic.flush()

    def _new_round(self, part: Partition, committed: Mapping[Partition, int]) -> _Round | None:
        """Begin to write a partition; None if it was taken away, perhaps, and not heard of yet."""
        if part not in self._kept or committed.get(part) != self._kept[part].next:
            return None
        state = self._state(part)
        clock = state.clock
        now = Clock(clock.elapsed, clock.latest, clock.against)
        return _Round(part, self._kept[part].next, now, state.horizon, deque(state.changed()))

    def _write_entries(self, to_do: _Round, most: int) -> int:
        """Write some entries; return how many."""
        keys = [to_do.left.popleft() for _ in range(min(most, len(to_do.left)))]
        state, kept = self._state(to_do.part), self._kept[to_do.part]
        places = state.entities.find(keys).tolist()
        known = [key for key, place in zip(keys, places, strict=True) if place >= 0 and kept.writer.fits(key)]
        values = self._loaded.pipeline.stream.entries(to_do.part, known)
        self._topic.send(to_do.part, kept.writer.entries(known, values, kept.marker.epoch))
        state.values["logged"][state.entities.find(known)] = values["offset"]
        return len(keys)

    def _end(self, to_do: _Round, most: int) -> int:
        """Write the marker, and only then delete some of what it does without; return how many messages that is."""
        state, kept, clock = self._state(to_do.part), self._kept[to_do.part], to_do.clock
        forgotten = state.useless(to_do.horizon)
        if self._is_written(to_do) and not forgotten and not kept.useless:
            return 0
        kept.marker = msgspec.structs.replace(
            kept.marker,
            next=to_do.next,
            horizon=to_do.horizon,
            models=_since(kept.marker.models, to_do.next),
            elapsed=clock.elapsed,
            latest=clock.latest,
            against=clock.against,
        )
        self._mark(to_do.part, kept)
        gone = forgotten[:most]
        useless, kept.useless = kept.useless[:most], kept.useless[most:]
        deleted = [*kept.writer.keys(gone), *useless]
        self._topic.send(to_do.part, Messages(deleted, [None] * len(deleted)))
        for key in gone:
            del state.gone[key]
        return 1 + len(deleted)

    def _is_written(self, to_do: _Round) -> bool:
        """Whether the marker says what it would say at the end of a round."""
        marker = self._kept[to_do.part].marker
        says = (marker.next, marker.horizon, marker.count, marker.total)
        return says == (to_do.next, to_do.horizon, *self._state(to_do.part).logged(to_do.horizon))

    def _write_markers(self, some: Mapping[Partition, Kept]) -> None:
        """Write markers at once."""
        if not self._topic.usable():
            return
        try:
            for part, kept in some.items():
                self._mark(part, kept)
            self._topic.flush()
        except AestreamError as error:
            self._fail(error)

    def _mark(self, part: Partition, kept: Kept) -> None:
        """Write the marker with the entries counted as they are; who was forgotten since its offset is not then."""
        count, total = self._state(part).logged(kept.marker.horizon)
        kept.marker = msgspec.structs.replace(kept.marker, count=count, total=total)
        self._topic.send(part, kept.writer.marker(kept.marker))

    def _fail(self, error: AestreamError) -> None:
        """Go on without the topic for a while; then, all is written anew."""
        self._topic.give_up(error)
        self._round = None
        self._queue.clear()
        for part, kept in self._kept.items():
            epoch = kept.marker.epoch + 1
            kept.marker = msgspec.structs.replace(kept.marker, epoch=epoch, born=epoch)
            self._state(part).rewrite()

    def _state(self, part: Partition) -> PartitionState:
        return self._loaded.pipeline.stream.store.of(part)

    @property
    def _loaded(self) -> LoadedModel:
        if self._model is None:
            raise RuntimeError("nothing was taken over yet")
        return self._model


def _since(models: Sequence[tuple[int, str]], offset: int) -> list[tuple[int, str]]:
    """The versions that score from an offset on."""
    before = [version for version in models if version[0] <= offset]
    return [*before[-1:], *(version for version in models if version[0] > offset)]
