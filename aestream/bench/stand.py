"""The temporary topics and the group of a bench, the settings of its worker, and their removal."""

from __future__ import annotations

import argparse
import os
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from aestream.app import clients, topics
from aestream.app.process import free_port
from aestream.errors import ConfigurationError, TransportError
from aestream.settings import reference, settings
from aestream.settings.settings import PREFIX, Settings
from aestream.types import TopicState

NAME = "aestream-bench"
_MOST_PARTITIONS = 4  # one process is measured: in production, it has a part of the partitions
_RIGHTS = (
    f"a bench needs CREATE, READ, WRITE and DELETE on topics that begin with {NAME}-, and READ and DELETE on groups "
    "that do; --scoring-only needs none of them"
)
_SERVICE_MANAGER = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")  # which waits for another process
_SLACK_SECONDS = 10.0
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Stand:
    """The settings of the bench's worker: the user's own, but for topics, group, state and HTTP.

    `environment` passes them to a process. `name` is what all topics and the group begin with.
    """

    name: str
    settings: Settings
    environment: Mapping[str, str]

    @property
    def input(self) -> str:
        """The topic that the records are copied to."""
        return self.settings.topics.input[0]

    @property
    def topics(self) -> list[str]:
        """All topics of the bench."""
        names = self.settings.topics
        results = (names.scores, names.anomalies, names.dead_letters, self.settings.state.topic)
        return [self.input, *(name for name in results if name)]

    def create(self, like: Mapping[str, TopicState]) -> int:
        """Create the topics, as many times replicated as those of the input; return how many partitions each has.

        Raises TransportError when this user may not.
        """
        partitions = min(sum(topic.partitions for topic in like.values()), _MOST_PARTITIONS)
        replication = max((topic.replicas for topic in like.values()), default=0) or -1
        largest = max((topic.max_bytes or 0 for topic in like.values()), default=0)
        configs = {"retention.ms": "-1"}  # the copies are as old as the records
        if largest:
            configs["max.message.bytes"] = str(largest)
        broker = clients.topics(self.settings)
        try:
            broker.create([self.input], partitions=partitions, replication=replication, configs=configs)
            _check(broker.describe([self.input])[self.input])
            topics.create(self.settings, partitions=partitions, replication=replication, with_input=False)
        except TransportError as error:
            raise TransportError(f"{error}; {_RIGHTS}" if "grant" in str(error) else str(error)) from error
        return partitions

    def remove(self) -> None:
        """Delete the topics and the group. Raises TransportError when that fails.

        A group keeps a worker that was killed until its session times out.
        """
        deadline = time.monotonic() + self.settings.kafka.session_timeout_ms / 1000 + _SLACK_SECONDS
        broker = clients.topics(clients.in_contact(self.settings))
        while True:
            try:
                broker.delete(self.topics, group_id=self.settings.kafka.group_id)
            except TransportError as error:
                if time.monotonic() > deadline or "grant" in str(error):
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return


def _check(made: TopicState) -> None:
    """Raise TransportError if this user may not use or delete a topic: the others would be left behind as well."""
    for operation in ("DELETE", "READ", "WRITE"):
        refusal = made.refusal(operation, "try again")
        if refusal is not None:
            raise TransportError(f"topic {made.name} {refusal}")


def prepare(options: argparse.Namespace, user: Settings) -> Stand:
    """Choose the names, and let the user's settings have them. Raises ConfigurationError."""
    name = f"{NAME}-{uuid.uuid4().hex[:8]}"
    pairs = [
        f"kafka.group_id={name}",
        "kafka.group_instance_id=off",
        "kafka.auto_offset_reset=earliest",
        f"topics.input={name}-input",
        f"topics.scores={f'{name}-scores' if user.topics.scores else 'off'}",
        f"topics.anomalies={name}-anomalies",
        f"topics.dead_letters={name}-dead-letters",
        f"state.topic={f'{name}-state' if user.state.topic else 'off'}",
        "http.host=127.0.0.1",
        f"http.port={free_port()}",
        *(f"http.{one}=off" for one in ("tls_certfile", "tls_keyfile", "username", "password")),
        "log.format=plain",
    ]
    loaded = settings.load(options.config, reference.assignments([*options.set, *pairs]))
    given = {} if options.config is None else {f"{PREFIX}CONFIG": str(options.config)}
    outside = {key: value for key, value in os.environ.items() if key not in _SERVICE_MANAGER}
    stand = Stand(name, loaded, {**outside, **given, **_variables([*options.set, *pairs])})
    pattern = user.topics.input[0]
    read = [topic for topic in stand.topics if pattern.startswith("^") and re.match(pattern, topic)]
    if read:
        raise ConfigurationError(
            f"AESTREAM_TOPICS__INPUT: {pattern} matches {read[0]}, a temporary topic of a bench, which your own "
            "workers would read: choose a narrower pattern, or --scoring-only"
        )
    return stand


def _variables(pairs: list[str]) -> dict[str, str]:
    """`kafka.group_id=x` as an environment variable and its value."""
    split = [pair.partition("=") for pair in pairs]
    return {PREFIX + name.replace(".", "__").upper(): value for name, _, value in split}
