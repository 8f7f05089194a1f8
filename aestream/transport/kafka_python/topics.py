"""Topics and groups as a broker describes them, and the creation of topics, over kafka-python 3."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, MemberToRemove

from aestream.errors import TransportError
from aestream.transport.kafka_python.contact import make_contact
from aestream.transport.kafka_python.errors import broker_errors
from aestream.transport.notes import Note
from aestream.transport.wording import Connection, matching
from aestream.types import Partition, Standing, TopicState

_COORDINATOR_SECONDS = 15.0
_RETRY_SECONDS = 0.5
_LIMIT, _POLICY = "max.message.bytes", "cleanup.policy"
_NOBODY = MemberToRemove(member_id="aestream-asks-whether-it-may-use-the-group")

_Answer = TypeVar("_Answer")


class KafkaTopics:
    """Describes topics and groups, and creates topics. `connection` holds the client's settings under its own names.

    Every method raises TransportError when no broker answers.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reached = False

    def describe(self, names: Sequence[str]) -> Mapping[str, TopicState]:
        """The topics of these names, even if they do not exist; for a pattern, those that match and are shown.

        Topics are requested by name: a list of all silently leaves out those that this user may not describe.
        """
        with self._admin() as admin:
            wanted = matching(names, admin.list_topics() if names[0].startswith("^") else ())
            if not wanted:
                return {}
            found = {topic["name"]: topic for topic in admin.describe_topics(wanted)}
            configs = _configs(admin, [name for name in wanted if found[name]["partitions"]])
        return {name: _state(found[name], configs.get(name, {})) for name in wanted}

    def group_refusal(self, group_id: str) -> str | None:
        """Why this user may not use a group; None if it may.

        Reading a group's offsets needs DESCRIBE only. Leaving it needs READ, as joining and committing do, and changes
        nothing for a member that does not exist.
        """
        with self._admin() as admin:
            try:
                _of_the_group(lambda: admin.remove_group_members(group_id, [_NOBODY]))
            except kafka_errors.GroupAuthorizationFailedError:
                return "is denied to this user: grant READ on it"
            except (kafka_errors.UnknownMemberIdError, kafka_errors.GroupIdNotFoundError):
                pass
        return None

    def standings(self, group_id: str) -> Mapping[Partition, Standing]:
        """Read the notes of the group's committed offsets. Raises TransportError when it may not be described."""
        with self._admin() as admin:
            try:
                found = _of_the_group(lambda: admin.list_group_offsets([group_id])[group_id])
            except kafka_errors.GroupIdNotFoundError:
                return {}
            except kafka_errors.GroupAuthorizationFailedError as error:
                raise TransportError(f"group {group_id} is denied to this user: grant DESCRIBE on it") from error
        notes = {Partition(*partition): Note.read(place.metadata) for partition, place in found.items()}
        return {partition: note.standing for partition, note in notes.items() if note and note.standing}

    def create(
        self, names: Sequence[str], *, partitions: int, replication: int, configs: Mapping[str, str] | None = None
    ) -> list[str]:
        """Create topics; return those that did not exist. -1 partitions or replicas mean the broker's default.

        `configs` are settings of topics under Kafka's names. Raises TransportError when the broker refuses.
        """
        options = {"num_partitions": partitions, "replication_factor": replication, "configs": dict(configs or {})}
        wanted = dict.fromkeys(names, options)
        there = kafka_errors.TopicAlreadyExistsError.errno
        with self._admin() as admin:
            answers = admin.create_topics(wanted, raise_errors=False)["topics"]
            _refused("created", "CREATE", [answer for answer in answers if answer["error_code"] != there])
            made = [answer["name"] for answer in answers if not answer["error_code"]]
            with contextlib.suppress(kafka_errors.KafkaTimeoutError):  # created, but not shown to this user
                admin.wait_for_topics(made)
        return made

    def grow(self, partitions: Mapping[str, int]) -> None:
        """Add partitions to topics, up to these counts. Raises TransportError when refused."""
        with self._admin() as admin:
            answer = admin.create_partitions(dict(partitions), raise_errors=False)
            _refused("given more partitions", "ALTER", answer.to_dict()["results"])

    def delete(self, names: Sequence[str], *, group_id: str | None = None) -> None:
        """Delete the topics that exist, and a group without members. Raises TransportError when refused."""
        there = sorted(name for name, topic in self.describe(names).items() if topic.partitions)
        with self._admin() as admin:
            if there:
                _refused("deleted", "DELETE", admin.delete_topics(there, raise_errors=False)["topics"])
            if group_id is not None:
                _of_the_group(lambda: _delete_group(admin, group_id))

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        with broker_errors(self._connection):
            if not self._reached:
                make_contact(self._connection)
                self._reached = True
            admin = KafkaAdminClient(**self._connection)
            try:
                yield admin
            finally:
                admin.close()


def _of_the_group(ask: Callable[[], _Answer]) -> _Answer:
    """Ask a group's coordinator. A new broker has none before the first request, which makes its offsets topic."""
    deadline = time.monotonic() + _COORDINATOR_SECONDS
    while True:
        try:
            return ask()
        except kafka_errors.RetriableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)


def _delete_group(admin: Any, group_id: str) -> None:
    """Delete a group, if there is one. Raises TransportError when the broker refuses, or members are left."""
    said = admin.delete_groups([group_id])[group_id]
    if said in {"OK", kafka_errors.GroupIdNotFoundError.__name__}:
        return
    error = getattr(kafka_errors, said)
    if issubclass(error, kafka_errors.RetriableError):
        raise error
    denied = issubclass(error, kafka_errors.GroupAuthorizationFailedError)
    raise TransportError(f"group {group_id} cannot be deleted: {'grant this user DELETE on it' if denied else said}")


def _configs(admin: Any, names: Sequence[str]) -> dict[str, Mapping[str, str]]:
    """The settings of each topic whose configuration this user may describe."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, [_LIMIT, _POLICY]) for name in names]
    if not resources:
        return {}
    try:
        found = admin.describe_configs(resources, config_filter="all").get("topic", {})
    except kafka_errors.KafkaError:  # an old broker, or an emulated one
        return {}
    return {name: {key: told["value"] for key, told in configs.items()} for name, configs in found.items()}


def _state(found: Mapping[str, Any], configs: Mapping[str, str]) -> TopicState:
    told = frozenset(found["authorized_operations"] or ())  # a user who is shown a topic may at least describe it
    return TopicState(
        found["name"],
        len(found["partitions"]),
        told or None,
        int(configs[_LIMIT]) if _LIMIT in configs else None,
        hidden=found["error_code"] == kafka_errors.TopicAuthorizationFailedError.errno,
        id=str(found.get("topic_id") or ""),
        compacted=configs[_POLICY] == "compact" if _POLICY in configs else None,
        replicas=max((len(partition["replica_nodes"]) for partition in found["partitions"]), default=0),
    )


def _refused(done: str, operation: str, answers: Sequence[Mapping[str, Any]]) -> None:
    """Raise TransportError for the topics that the broker refused."""
    denied = kafka_errors.TopicAuthorizationFailedError.errno
    problems = []
    for answer in answers:
        code = answer["error_code"]
        if code:
            reason = answer["error_message"] or kafka_errors.for_code(code).__name__
            why = f"grant this user {operation} on it" if code == denied else reason
            problems.append(f"topic {answer['name']} cannot be {done}: {why}")
    if problems:
        raise TransportError("; ".join(problems))
