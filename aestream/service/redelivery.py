"""Sends dead letters back to where their records came from: each once, however often it is stopped and begun again.

Progress is kept for each reason, in the offsets of a group that nobody joins, and it moves in the transaction that
sends the letters:

    offset    everything before it is done
    note      {reason: offset}, for the reasons that are done further than that

So letters may be sent reason by reason, in any order, and none is sent twice or left out.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from aestream.errors import DeliveryError, NoAnswerError, TransactionError, TransportError
from aestream.messages.letters import FOREIGN, Letter, letters
from aestream.transport.base import Bookmarks, History, Topics, TransactionalSink
from aestream.transport.size import message_bytes
from aestream.types import Outgoing, Partition, Reason, TopicState

_OTHER = FOREIGN  # the kind of all letters with another reason
KINDS = (*map(str, Reason), _OTHER)
_MOST_BYTES = 8 * 2**20  # of a transaction, or a single letter
_MOST_LETTERS = 1000
_PATIENCE_SECONDS = 60.0
_FLUSH_SECONDS = 1.0
_AGAIN = "run the same command again: it goes on where this one ended"

Positions = dict[str, int]  # by kind of letter, how far a partition is done


@dataclass(slots=True)
class Outcome:
    """What became of letters: how many were sent by topic and reason; how many were refused."""

    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be read: for each partition how far each kind is done, and where the topic ended at the start."""

    done: Mapping[Partition, Positions]
    ends: Mapping[Partition, int]
    kinds: Collection[str]

    @property
    def starts(self) -> dict[Partition, int]:
        """Where to begin reading."""
        found = {part: min(done[kind] for kind in self.kinds) for part, done in self.done.items()}
        return {part: start for part, start in found.items() if start < self.ends[part]}

    @property
    def count(self) -> int:
        """How many offsets are to be read."""
        return sum(self.ends[part] - start for part, start in self.starts.items())

    def due(self, letter: Letter) -> bool:
        """Whether a letter is wanted and not done."""
        kind = kind_of(letter)
        return kind in self.kinds and letter.place >= self.done[letter.partition][kind]


def kind_of(letter: Letter) -> str:
    """A letter's reason, as far as it is a known one."""
    return letter.reason if letter.reason in KINDS else _OTHER


def plan(topic: str, topics: Topics, history: History, bookmarks: Bookmarks, reason: str | None, remedy: str) -> Plan:
    """Find out what is left to do. Without `reason`, letters of all reasons are wanted.

    Raises TransportError when the topic or the group cannot be read; `remedy` says what to do if there is no topic.
    """
    state = topics.describe([topic])[topic]
    if (refusal := state.refusal("READ", remedy)) is not None:
        raise TransportError(f"topic {topic} {refusal}")
    bounds = history.bounds([Partition(topic, number) for number in range(state.partitions)])
    marks = bookmarks.read(bounds.keys())
    done = {part: _positions(marks.get(part), *edges) for part, edges in bounds.items()}
    return Plan(done, {part: end for part, (_, end) in bounds.items()}, KINDS if reason is None else (reason,))


def _positions(mark: tuple[int, str] | None, begin: int, end: int) -> Positions:
    """How far each kind is done; a mark behind the end is one of a former topic of this name."""
    offset, note = mark or (begin, "")
    try:
        ahead = json.loads(note or "{}")
    except ValueError:
        ahead = {}
    found = {kind: ahead.get(kind, offset) if isinstance(ahead, dict) else offset for kind in KINDS}
    return {kind: max(at, begin) if isinstance(at, int) and at <= end else begin for kind, at in found.items()}


def _mark(done: Positions) -> tuple[int, str]:
    offset = min(done.values())
    return offset, json.dumps({kind: at for kind, at in done.items() if at > offset})


class Redelivery:
    """Sends the letters of a plan back, or only says what it would send.

    `topics` tells about the topics that the letters came from; no message may have more than `max_bytes`. `refused` is
    called with each letter that cannot be sent, and why; `progress` with the number of offsets that are done.
    """

    def __init__(
        self,
        plan: Plan,
        history: History,
        topics: Topics,
        *,
        max_bytes: int,
        refused: Callable[[Letter, str], None],
        progress: Callable[[int], None],
    ) -> None:
        self._plan = plan
        self._history = history
        self._topics = topics
        self._max_bytes = max_bytes
        self._refused = refused
        self._progress = progress
        self._known: dict[str, TopicState] = {}
        self.outcome = Outcome()

    def rehearse(self) -> Outcome:
        """Look at all letters, and send none."""
        for portion, _ in self._portions():
            self._count(self._good(portion))
        return self.outcome

    def send(self, sink: TransactionalSink, bookmarks: Bookmarks) -> Outcome:
        """Send the letters, a transaction for each portion. Raises TransportError; what is committed stays done."""
        done = {part: dict(positions) for part, positions in self._plan.done.items()}
        for portion, ends in self._portions():
            for part, end in ends.items():
                done[part] |= {kind: max(end, done[part][kind]) for kind in self._plan.kinds}
            good = self._good(portion)
            try:
                sink.begin()
                for messages in self._messages(good):
                    sink.send(messages)
                _patiently(lambda: sink.flush(_FLUSH_SECONDS))
                marks = {part: _mark(done[part]) for part in ends}
                _patiently(partial(_committed, bookmarks, marks, sink))
            except TransactionError as error:
                raise TransportError(
                    f"letters were not sent, because the broker ended the transaction ({error}): {_AGAIN}, unless the "
                    "same command runs elsewhere"
                ) from error
            self._count(good)
        return self.outcome

    def _portions(self) -> Iterator[tuple[list[Letter], dict[Partition, int]]]:
        """The letters that are due, in portions, each with how far it goes in its partitions."""
        starts = self._plan.starts
        reached = dict(starts)
        for batch in self._history.between(starts, {part: self._plan.ends[part] for part in starts}):
            for portion in _cut(letters(batch)):
                ends = {letter.partition: letter.place + 1 for letter in portion}
                yield [letter for letter in portion if self._plan.due(letter)], ends
                reached |= ends
                self._progress(sum(reached[part] - start for part, start in starts.items()))
        rest = {part: self._plan.ends[part] for part, at in reached.items() if at < self._plan.ends[part]}
        if rest:  # nothing but markers of transactions is left
            yield [], rest
        self._progress(self._plan.count)

    def _good(self, portion: Sequence[Letter]) -> list[Letter]:
        """The letters that can be sent; tells of the others, before they are done with."""
        good = []
        for letter in portion:
            refusal = letter.refusal or self._refusal(letter)
            if refusal is None:
                good.append(letter)
            else:
                self.outcome.refused += 1
                self._refused(letter, refusal)
        return good

    def _refusal(self, letter: Letter) -> str | None:
        """Why a letter cannot be sent to the topic that it names. Raises TransportError if this user may not write."""
        topic = self._state(letter)
        if topic.name == letter.partition.topic:
            return "it names the dead-letter topic itself as the origin of its record"
        if not topic.partitions and not topic.hidden:
            return f"topic {topic.name} does not exist any more; its record was at {letter.origin}"
        if (refusal := topic.refusal("WRITE", "create it")) is not None:
            raise TransportError(f"topic {topic.name} {refusal}")  # that can be changed, and a refusal is for good
        size = message_bytes(letter.value, letter.key, letter.headers)
        if topic.max_bytes is not None and size > topic.max_bytes:
            return f"it has {size} bytes, and topic {topic.name} accepts {topic.max_bytes}: raise its max.message.bytes"
        return None if size <= self._max_bytes else f"it has {size} bytes: raise `max_request_size`"

    def _state(self, letter: Letter) -> TopicState:
        name = "" if letter.source is None else letter.source.topic
        if name not in self._known:
            self._known |= self._topics.describe([name])
        return self._known[name]

    def _messages(self, portion: Sequence[Letter]) -> Iterator[Outgoing]:
        """The records as they were, by topic; each to the partition that it was in, if there still is one."""
        by_topic: dict[str, list[Letter]] = {}
        for letter in portion:
            by_topic.setdefault(self._state(letter).name, []).append(letter)
        for topic, some in by_topic.items():
            count, elsewhere = self._known[topic].partitions, Partition("", 0)  # which leaves the choice to the key
            sources = [letter.source or elsewhere for letter in some]
            yield Outgoing(
                topic,
                [letter.value for letter in some],
                [letter.key for letter in some],
                [source if source.partition < count else elsewhere for source in sources],
                [letter.headers for letter in some],
                timestamps=[letter.stamp for letter in some],
            )

    def _count(self, good: Sequence[Letter]) -> None:
        self.outcome.sent.update((self._state(letter).name, letter.reason) for letter in good)


def _cut(found: Sequence[Letter]) -> Iterator[list[Letter]]:
    """Letters in portions that a transaction can hold."""
    portion: list[Letter] = []
    size = 0
    for letter in found:
        more = message_bytes(letter.value, letter.key, letter.headers)
        if portion and (len(portion) == _MOST_LETTERS or size + more > _MOST_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(letter)
        size += more
    if portion:
        yield portion


def _committed(bookmarks: Bookmarks, marks: Mapping[Partition, tuple[int, str]], sink: TransactionalSink) -> bool:
    try:
        bookmarks.move(marks, sink)
    except NoAnswerError:
        return False
    return True


def _patiently(done: Callable[[], bool]) -> None:
    """Wait until something is done. Raises DeliveryError when that takes too long."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise DeliveryError(f"no answer from Kafka in {_PATIENCE_SECONDS:.0f} s: {_AGAIN}")
