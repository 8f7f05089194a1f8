"""The topics and the group that a worker needs: whether this user may use them, and how missing ones are created."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aestream.app import clients
from aestream.errors import ConfigurationError, TransportError
from aestream.settings.settings import Settings
from aestream.types import Batch, TopicState

RESULT_REMEDY = "create it with `aestream topics create`"
_BROKERS_DEFAULT = -1
# Small segments: only what lies in former ones is compacted, and whoever takes over a partition reads all of it.
_STATE_CONFIGS = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 * 2**20),
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.2",
}


@dataclass(frozen=True, slots=True)
class Survey:
    """The topics that a worker needs, as the broker describes them, and what keeps this user from using them."""

    inputs: Mapping[str, TopicState]
    results: Mapping[str, TopicState]
    state: TopicState | None  # None: what is remembered stays in memory, as is set
    problems: Mapping[str, str]  # for "topic x" or "group y", what is wrong with it, and the remedy

    @property
    def limits(self) -> dict[str, int]:
        """The largest message of each topic that is written, as far as the broker reports it."""
        written = [*self.results.values(), *([] if self.state is None else [self.state])]
        return {topic.name: topic.max_bytes for topic in written if topic.max_bytes is not None}


def survey(settings: Settings) -> Survey:
    """Check everything that a worker needs. Raises TransportError when no broker answers."""
    broker = clients.topics(settings)
    own = settings.state.topic
    inputs = broker.describe(settings.topics.input)
    results = dict(broker.describe([*_results(settings), *([] if own is None else [own])]))
    state = None if own is None else results.pop(own)
    refusals = {name: topic.refusal("READ", clients.INPUT_REMEDY) for name, topic in inputs.items()}
    refusals |= {name: topic.refusal("WRITE", RESULT_REMEDY) for name, topic in results.items()}
    problems = {f"topic {name}": refusal for name, refusal in refusals.items() if refusal is not None}
    group = clients.group_id(settings)
    refusal = broker.group_refusal(group)
    if refusal is not None:
        problems[f"group {group}"] = refusal
    return Survey(inputs, results, state, problems)


def surveyed(settings: Settings) -> Survey:
    """The same for a worker that is about to start. Raises TransportError with all problems in one line."""
    found = survey(settings)
    if found.problems:
        raise TransportError("; ".join(f"{what} {problem}" for what, problem in found.problems.items()))
    return found


def create(
    settings: Settings, *, partitions: int | None, replication: int, with_input: bool
) -> tuple[list[str], dict[str, tuple[int, int]]]:
    """Create the topics that are missing, and add the partitions that result topics lack.

    Returns the names of the new topics, and for topics with new partitions the number before and after. Without
    `partitions`, the result topics get as many as the input has, so that results keep the partition numbers of their
    records. The input topic is created only if `with_input` is set, with the broker's default number of partitions
    unless `partitions` is given. Raises TransportError when the number of partitions is not known.
    """
    need_input(settings)
    broker = clients.topics(settings)
    inputs = broker.describe(settings.topics.input)
    absent = [name for name, topic in inputs.items() if not topic.partitions]
    if partitions is None and (not inputs or (absent and not with_input)):
        pattern = settings.topics.input[0]
        what = f"topic {', '.join(absent)} does not exist" if absent else f"no topic matches {pattern}"
        raise TransportError(
            f"{what} (or is not shown to this user), so the number of partitions is not known: create the input first"
            f"{' (or with --with-input)' if absent else ''}, or give --partitions"
        )
    count = partitions or max((topic.partitions for topic in inputs.values()), default=0) or _BROKERS_DEFAULT
    own = settings.state.topic
    results = broker.describe([*_results(settings), *([] if own is None else [own])])
    new = [name for name, topic in results.items() if not topic.partitions] + (absent if with_input else [])
    grown = {name: (topic.partitions, count) for name, topic in results.items() if 0 < topic.partitions < count}
    made: list[str] = []
    for names, configs in (([n for n in new if n != own], {}), ([n for n in new if n == own], _STATE_CONFIGS)):
        if names:
            made += broker.create(names, partitions=count, replication=replication, configs=configs)
    if grown:
        broker.grow({name: more for name, (_, more) in grown.items()})
    return made, grown


def _results(settings: Settings) -> list[str]:
    """The topics that a worker writes."""
    names = (settings.topics.scores, settings.topics.anomalies, settings.topics.dead_letters)
    return [name for name in names if name]


def need_input(settings: Settings) -> None:
    """Raise ConfigurationError when no input topic is named."""
    if not settings.topics.input:
        raise ConfigurationError("AESTREAM_TOPICS__INPUT is not set: name the topic to read, e.g. telemetry")


def follow_anomalies(settings: Settings, last: int) -> Iterator[Batch]:
    """The anomalies topic from `last` records before its end, without end."""
    return clients.history(settings, [settings.topics.anomalies], RESULT_REMEDY).follow(last=last)
