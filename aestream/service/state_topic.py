"""The compacted topic that keeps what is remembered of entities, as far as it can be used."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping

from aestream.errors import AestreamError, TransportError
from aestream.service.service import Service
from aestream.state.entries import Messages, Reader, sort_out
from aestream.transport.base import History, Outlet, Topics
from aestream.types import Outgoing, Partition, TopicState

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 60.0
_FRAME = 2048  # bytes of a message beside what is remembered of an entity


class StateTopic:
    """Reads and writes the topic `name`; None: there is none, and everything stays in memory.

    `open_outlet` opens the way to write to it, given the largest message that it accepts.
    `remedy` says what to do about a topic that does not exist. `drain_timeout` bounds, in seconds, how long the end
    waits for a broker.
    """

    def __init__(
        self,
        name: str | None,
        *,
        topics: Topics,
        history: History,
        open_outlet: Callable[[Mapping[str, int]], Outlet],
        remedy: str,
        service: Service,
        drain_timeout: float,
    ) -> None:
        self._name = name
        self._topics = topics
        self._history = history
        self._open_outlet = open_outlet
        self._remedy = remedy
        self._service = service
        self._drain_timeout = drain_timeout
        self._state: TopicState | None = None  # None: it cannot be used
        self._limits: Mapping[str, int] = {}
        self._entry = 0  # bytes
        self._outlet: Outlet | None = None
        self._waiting: list[Outgoing] = []
        self._again = 0.0  # when it is looked up once more
        self._told: str | None = None  # what is wrong with it, as last logged

    def usable(self) -> bool:
        """Whether the topic can be used; looked up once a minute while it cannot. Says so when that changes.

        At the end, it is not looked up any more.
        """
        if self._state is None and self._name is not None and self._running and time.monotonic() >= self._again:
            self._again = time.monotonic() + _RETRY_SECONDS
            try:
                self._look(self._name)
            except AestreamError as error:
                self._tell(str(error))
            else:
                self._tell(None)
        return self._state is not None

    def give_up(self, why: AestreamError) -> None:
        """Do without the topic for a minute."""
        self._state, self._again = None, time.monotonic() + _RETRY_SECONDS
        self._tell(str(why))
        self.close()

    def ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """The ids of topics. Raises TransportError when no broker answers."""
        with self._service.asking():
            return {name: state.id for name, state in self._topics.describe(sorted(topics)).items()}

    def read(self, readers: Mapping[tuple[str, Partition], Reader]) -> Iterator[int]:
        """Hand the messages about some partitions to their readers; yields the number of each batch's messages.

        Raises TransportError when the topic cannot be read.
        """
        places = {self._place(part) for _, part in readers}
        with self._service.asking():
            bounds = self._history.bounds(places)
        starts, ends = ({place: bounds[place][end] for place in places} for end in (0, 1))
        for batch in self._history.between(starts, ends):
            sort_out(readers, batch.keys, batch.values)
            yield len(batch)

    def send(self, part: Partition, messages: Messages) -> None:
        """Let messages about a partition wait for `flush`."""
        place = self._place(part)
        if messages.keys:
            places = [place] * len(messages.keys)
            self._waiting.append(Outgoing(place.topic, messages.values, messages.keys, places, owner=part))

    def flush(self) -> None:
        """Publish what waits. Raises DeliveryError when it is not acknowledged."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        if self._outlet is None:
            self._outlet = self._open_outlet(self._limits)
        self._outlet.record(waiting, patience=self._patience)

    def expect(self, entry: int) -> None:
        """Expect entries of so many bytes, beside their keys: the topic must accept them."""
        self._entry = entry

    def close(self) -> None:
        """Close the way to write. What was not flushed is dropped."""
        self._waiting.clear()
        if self._outlet is not None:
            self._outlet.close()
            self._outlet = None

    def _patience(self) -> bool:
        """Whether to wait on. Raises TransportError if the topic cannot be used any more."""
        self._service.beat()
        if self._running:
            self._look(self._name or "")  # a topic that was deleted acknowledges nothing
        return self._service.draining(self._drain_timeout)

    @property
    def _running(self) -> bool:
        """Whether there is time to look: a broker that is away may take half a minute not to answer."""
        return self._service.draining(0.0)

    def _place(self, part: Partition) -> Partition:
        """Where the messages about a partition are: by its number."""
        if self._state is None:
            raise TransportError(f"topic {self._name} cannot be used")
        return Partition(self._state.name, part.partition % self._state.partitions)

    def _look(self, name: str) -> None:
        """Raise TransportError if the topic cannot be used."""
        with self._service.asking():
            found = self._topics.describe([name])[name]
        for operation in ("READ", "WRITE"):
            refusal = found.refusal(operation, self._remedy)
            if refusal is not None:
                raise TransportError(f"topic {name} {refusal}")
        if found.max_bytes is not None and self._entry + _FRAME > found.max_bytes:
            raise TransportError(
                f"topic {name} accepts {found.max_bytes} bytes, and what is remembered of an entity has {self._entry}: "
                "raise its max.message.bytes"
            )
        self._limits = {} if found.max_bytes is None else {name: found.max_bytes}
        if self._state is None:
            self._state = found
        elif found.id != self._state.id:
            raise TransportError(f"topic {name} was created again")

    def _tell(self, problem: str | None) -> None:
        if problem is not None and problem != self._told:
            _log.warning("what is remembered of entities stays in memory, and a restart begins anew: %s", problem)
        if problem is None and self._told is not None:
            _log.info("what is remembered of entities is kept in %s from now on", self._name)
        self._told = problem
