"""What the stages pass to each other: columns and arrays of a batch, never one record at a time."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Headers = Sequence[tuple[str, bytes]]

Vector: TypeAlias = NDArray[np.float64]  # (n,)
Matrix: TypeAlias = NDArray[np.float64]  # (n, d): one row per record, one column per feature
Floats: TypeAlias = NDArray[np.float32]  # of any shape: what networks compute with
Flags: TypeAlias = NDArray[np.bool_]
Stamps: TypeAlias = NDArray[np.int64]  # milliseconds since the epoch
Codes: TypeAlias = NDArray[np.uint8]  # of an IntEnum
Places: TypeAlias = NDArray[np.intp]  # numbers of rows or columns
Key: TypeAlias = Hashable  # of an entity: str, bytes, int, None, or a tuple of these, as a snapshot can carry them
Scalar: TypeAlias = str | int | float | bool | None  # what a field of a record holds, as JSON has it
Arrays: TypeAlias = Mapping[str, NDArray[Any]]  # arrays by name, as a model directory keeps them


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Span(NamedTuple):
    """The rows `start..stop` of a batch that came from one partition, in offset order."""

    partition: Partition
    start: int
    stop: int


def spans_of(spans: Sequence[Span], rows: Places) -> list[Span]:
    """Which of some rows, at ascending places (m,) in a batch, came from which partition."""
    cuts = np.searchsorted(rows, [(start, stop) for _, start, stop in spans]).reshape(-1, 2).tolist()
    return [Span(span.partition, start, stop) for span, (start, stop) in zip(spans, cuts, strict=True)]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rows (n,) came from: their partitions, their offsets (n,), and the times of their messages (n,).

    The times are in seconds since 1970; 0 where a message has none.
    """

    spans: Sequence[Span]
    offsets: NDArray[np.int64]
    stamps: Vector


@dataclass(frozen=True, slots=True)
class Batch:
    """Records as they were consumed: columns of equal length, partition after partition."""

    spans: Sequence[Span] = ()
    offsets: Sequence[int] = ()
    timestamps: Sequence[int] = ()  # milliseconds since the epoch
    keys: Sequence[bytes | None] = ()
    values: Sequence[bytes | None] = ()
    headers: Sequence[Headers] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def positions(self) -> dict[Partition, int]:
        """The offset to commit for each partition once the batch is done: the last one, plus one."""
        return {span.partition: self.offsets[span.stop - 1] + 1 for span in self.spans}

    @property
    def sources(self) -> list[Partition]:
        """The partition of every row."""
        rows = (itertools.repeat(partition, stop - start) for partition, start, stop in self.spans)
        return list(itertools.chain.from_iterable(rows))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Messages for one topic, as columns of equal length.

    `sources` are the partitions of the records that the messages are about. `headers` is empty when no message has any.
    `owner` is the partition that all messages belong to, if that is not their source. `timestamps`, in milliseconds
    since the epoch, are empty, as None is a single one, for messages of now.
    """

    topic: str
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    sources: Sequence[Partition]
    headers: Sequence[Headers] = ()
    owner: Partition | None = None
    timestamps: Sequence[int | None] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def owners(self) -> set[Partition]:
        """The partitions that a member of the group must have to publish this."""
        return set(self.sources) if self.owner is None else {self.owner}

    def without(self, partitions: Collection[Partition]) -> Outgoing:
        """What belongs to other partitions than these."""
        owners = self.sources if self.owner is None else [self.owner] * len(self)
        stay = [row for row, owner in enumerate(owners) if owner not in partitions]
        headers = [self.headers[row] for row in stay] if self.headers else ()
        stamps = [self.timestamps[row] for row in stay] if self.timestamps else ()
        values, keys, sources = (
            [self.values[r] for r in stay],
            [self.keys[r] for r in stay],
            [self.sources[r] for r in stay],
        )
        return Outgoing(self.topic, values, keys, sources, headers, self.owner, stamps)

    def partitions(self, keep: Collection[str]) -> list[int | None]:
        """Each source's number if its topic is in `keep` or is this one; None leaves the choice to the key."""
        kept = {*keep, self.topic}
        number = {source: source.partition if source.topic in kept else None for source in set(self.sources)}
        return [number[source] for source in self.sources]


class Reason(StrEnum):
    """Why a record became a dead letter: the label `reason` of `aestream_dead_letters_total`."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    BAD_JSON = "bad_json"
    WRONG_SHAPE = "wrong_shape"
    MISSING_FEATURE = "missing_feature"
    NOT_NUMERIC = "not_numeric"
    WRONG_TYPE = "wrong_type"
    NOT_FINITE = "not_finite"


class Eviction(StrEnum):
    """Why what was remembered of an entity is forgotten: the label `reason` of `aestream_state_evictions_total`."""

    TIME_TO_LIVE = "ttl"
    BYTES = "bytes"


class PassedOver(StrEnum):
    """Why a record is not to be scored: the label `reason` of `aestream_records_passed_over_total`."""

    FILTERED = "filtered"
    DELETED = "deleted"
    TOMBSTONE = "tombstone"
    NO_RECORDS = "no_records"


@dataclass(frozen=True, slots=True)
class Invalid:
    """A record that cannot be scored: its row in the batch, and why."""

    row: int
    reason: Reason
    message: str


class Membership(StrEnum):
    """A worker's place in its consumer group. `outside`: it is not a member, and no join is under way."""

    MEMBER = "member"
    JOINING = "joining"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class Position:
    """How far the commits of a partition lag behind its end.

    `lag_seconds` is the age of the last record that was read, or 0 when nothing is left to score. `readable_records`
    are those that can be read now: no open transaction holds them back, and the broker answers.
    """

    lag_records: int
    lag_seconds: float
    readable_records: int = 0


class Start(NamedTuple):
    """Where the reading of a partition begins, and whether that is `ours`: where a worker's commits left off."""

    offset: int
    ours: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """How a source's partitions have changed.

    `revoked` ones were handed over in a rebalance; `lost` ones were taken away by the group without a handover; one
    that came back is among `assigned` as well. `starts` says where the reading of each assigned one begins, and of each
    that goes on elsewhere: because records were deleted, or the topic was created again. `missed` counts, by topic,
    records that were deleted before they were read.
    """

    starts: Mapping[Partition, Start] = field(default_factory=dict)
    assigned: frozenset[Partition] = frozenset()
    revoked: frozenset[Partition] = frozenset()
    lost: frozenset[Partition] = frozenset()
    missed: Mapping[str, int] = field(default_factory=dict)

    @property
    def rebalances(self) -> Mapping[str, frozenset[Partition]]:
        """The partitions by what happened to them, in the order of events; without what did not happen."""
        events = {"revoked": self.revoked, "lost": self.lost, "assigned": self.assigned}
        return {event: partitions for event, partitions in events.items() if partitions}


@dataclass(frozen=True, slots=True)
class TopicState:
    """What a broker reports about a topic.

    `operations` are those that this user may perform, `max_bytes` is the largest message that the topic accepts; each
    is None when the broker does not say. `partitions` is 0 when there is no such topic, or when it is `hidden`: not
    shown to this user. `id` is another one when the topic is deleted and created again; empty if not known.
    `compacted`: whether the last message of each key is kept, and only that; None if not known. `replicas` is the
    number of copies of a partition, 0 if not known.
    """

    name: str
    partitions: int = 0
    operations: frozenset[str] | None = None
    max_bytes: int | None = None
    hidden: bool = False
    id: str = ""
    compacted: bool | None = None
    replicas: int = 0

    def refusal(self, operation: str, remedy: str) -> str | None:
        """Why the topic cannot be used for `operation`, READ or WRITE; None if it can, or if the broker does not say.

        `remedy` says what to do when there is no such topic.
        """
        if self.hidden:
            return f"is not shown to this user: grant {operation} on it, or, if it does not exist, {remedy}"
        if not self.partitions:
            return f"does not exist: {remedy}"
        if self.operations is not None and operation not in self.operations:
            return f"is denied to this user: grant {operation} on it"
        return None


class Status(IntEnum):
    """How far a record could be judged: `warming` and `late` ones have a score, but are never flagged."""

    SCORED = 0
    WARMING = 1  # too little is known yet of its entity
    LATE = 2  # older than its entity's last record


class Level(IntEnum):
    """Where an entity's errors lie: as in training, held (a threshold raised for a while), or moved for good."""

    USUAL = 0
    HELD = 1
    MOVED = 2


class Phase(IntEnum):
    """A record's place in an episode, which is a group of anomalies of one entity close in time."""

    NONE = 0
    OPENED = 1
    ONGOING = 2
    CLOSED = 3


class Split(NamedTuple):
    """An entity that is spread over two partitions of one topic."""

    key: Key
    partitions: tuple[Partition, Partition]


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered: entities by their level, open episodes, bytes, and who was forgotten since the last look.

    `parts` are the entities by partition and level; None stands for records that come from no topic. `split_keys`
    entities have turned up in a second partition since then; `split` is the first one ever.
    """

    parts: Mapping[Partition | None, Mapping[Level, int]]
    episodes: int
    bytes: int
    evicted: Mapping[Eviction, int]
    split_keys: int = 0
    split: Split | None = None

    @property
    def levels(self) -> dict[Level, int]:
        """How many entities there are of each level."""
        return {level: sum(part[level] for part in self.parts.values()) for level in Level}


@dataclass(frozen=True, slots=True)
class Standing:
    """What a worker says of a partition with each commit: the model's versions that it needs, and its entities.

    `entities` are those that are remembered, and `moved` those of them whose level has moved for good.
    """

    versions: tuple[str, ...] = ()
    entities: int = 0
    moved: int = 0
