"""What is remembered of entities, kept in a compacted topic: written behind the commits, and read back from there."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

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
_AT_ONCE = 1_000  # entries between two batches


@dataclass(slots=True)
class _Round:
    """One round of writing: what is still to be written, and what the markers will say at its end."""

    began: float
    marks: dict[Partition, tuple[int, Clock]] = field(default_factory=dict)
    chunks: deque[tuple[Partition, list[Key]]] = field(default_factory=deque)
    spent: float = 0.0


class Ledger:
    """Keeps what is remembered of the entities of each partition, and finds it again for whoever takes that over."""

    def __init__(self, topic: StateTopic, take_over: TakeOver) -> None:
        self._topic = topic
        self._take_over = take_over
        self._model: LoadedModel | None = None
        self._kept: dict[Partition, Kept] = {}
        self._round: _Round | None = None
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
        """Take note of how far the partitions were read."""
        for part, offset in batch.positions.items():
            if part in self._kept:
                self._kept[part].next = offset

    def drop(self, parts: Collection[Partition]) -> None:
        """Forget partitions that are not ours any more, or are to begin again."""
        for part in parts:
            self._kept.pop(part, None)
            if self._round is not None:
                self._round.marks.pop(part, None)
        if self._model is not None:
            self._model.pipeline.stream.forget(parts)

    def versions(self, part: Partition) -> list[str]:
        """The versions of the model that the next owner of a partition needs to see its records again, oldest first."""
        return [version for _, version in self._kept[part].marker.models] if part in self._kept else []

    def change(self, model: LoadedModel, source: Source) -> bool:
        """Go on with another model, from where everything is committed.

        Which version scores from which offset on is durable when this returns. False as for `begin`.
        """
        former, self._model, self._round = self._model, model, None
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
        """Whether it is time to write."""
        if self._round is not None:
            return True
        return bool(self._kept) and time.monotonic() >= self._due and self._topic.usable()

    def write(self, committed: Mapping[Partition, int]) -> None:
        """Write some of what has changed; `committed` are the offsets that are now."""
        if self._round is None:
            self._round = self._new_round(committed)
        self._step(self._round, committed)

    def close(self, committed: Mapping[Partition, int]) -> None:
        """Write all that has changed, and close the connection."""
        if self._kept and self._topic.usable():
            self._round = self._new_round(committed)
            while self._round is not None:
                self._step(self._round, committed)
        self._topic.close()

    def _new_round(self, committed: Mapping[Partition, int]) -> _Round:
        found = _Round(time.monotonic())
        for part, kept in self._kept.items():
            if committed.get(part) != kept.next:  # taken away, perhaps, and not heard of yet
                continue
            state = self._state(part)
            keys = state.changed()
            if keys or state.gone or kept.useless or kept.marker.next != kept.next:
                clock = state.clock
                found.marks[part] = kept.next, Clock(clock.elapsed, clock.latest, clock.against)
                found.chunks.extend((part, keys[at : at + _AT_ONCE]) for at in range(0, len(keys), _AT_ONCE))
        return found

    def _step(self, to_do: _Round, committed: Mapping[Partition, int]) -> None:
        """Write one chunk, or what ends the round."""
        start = time.monotonic()
        try:
            if to_do.chunks:
                self._write_chunk(*to_do.chunks.popleft(), to_do, committed)
            else:
                self._end(to_do)
                self._round = None
        except AestreamError as error:
            self._fail(error)
            return
        now = time.monotonic()
        to_do.spent += now - start
        if self._round is None:
            self._due = max(to_do.began + _SECONDS, now + to_do.spent / _SHARE - (now - to_do.began))

    def _write_chunk(
        self, part: Partition, keys: Sequence[Key], to_do: _Round, committed: Mapping[Partition, int]
    ) -> None:
        kept = self._kept.get(part)
        if kept is None or part not in to_do.marks or committed.get(part) != kept.next:
            to_do.marks.pop(part, None)
            return
        state = self._state(part)
        known = [key for key, place in zip(keys, state.entities.find(keys).tolist(), strict=True) if place >= 0]
        values = self._loaded.pipeline.stream.entries(part, known)
        self._topic.send(part, kept.writer.entries(known, values, kept.marker.epoch))
        self._topic.flush()
        state.values["logged"][state.entities.find(known)] = values["offset"]

    def _end(self, to_do: _Round) -> None:
        """Write the markers, and only then delete what they do without."""
        ended = {part: self._kept[part] for part in to_do.marks if part in self._kept}
        for part, kept in ended.items():
            offset, clock = to_do.marks[part]
            kept.marker = msgspec.structs.replace(
                kept.marker,
                next=offset,
                models=_since(kept.marker.models, offset),
                elapsed=clock.elapsed,
                latest=clock.latest,
                against=clock.against,
            )
            self._mark(part, kept)
        self._topic.flush()
        for part, kept in ended.items():
            state = self._state(part)
            self._topic.send(part, kept.writer.deletions(list(state.gone)))
            self._topic.send(part, Messages(list(kept.useless), [None] * len(kept.useless)))
            kept.useless = ()
            state.gone.clear()
        self._topic.flush()

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
        state = self._state(part)
        count, total = state.logged()
        kept.marker = msgspec.structs.replace(kept.marker, horizon=state.horizon, count=count, total=total)
        self._topic.send(part, kept.writer.marker(kept.marker))

    def _fail(self, error: AestreamError) -> None:
        """Go on without the topic for a while; then, all is written anew."""
        self._topic.give_up(error)
        self._round = None
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
