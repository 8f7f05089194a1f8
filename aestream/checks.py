"""What `aestream validate` looks at: configuration, broker, topics, permissions, model; one line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from aestream import app, clients
from aestream.errors import AestreamError
from aestream.registry.fallback import fall_back
from aestream.settings import Settings
from aestream.types import TopicState


class Outcome(StrEnum):
    """How a check ended. A warning does not fail the validation."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    outcome: Outcome
    message: str


def run(settings: Settings) -> Iterator[Check]:
    """Check one thing after the other; what needs a broker is left out when there is none.

    Raises ConfigurationError when a setting contradicts another.
    """
    app.check_configuration(settings)
    yield Check("configuration", Outcome.OK, f"input {', '.join(settings.topics.input)}")
    names = [settings.topics.anomalies, settings.topics.dead_letters]
    if settings.topics.scores:
        names.insert(0, settings.topics.scores)
    try:
        topics = clients.topics(settings)
        found = topics.describe(settings.topics.input)
        results = topics.describe(names)
    except AestreamError as error:
        yield Check("broker", Outcome.FAILED, str(error))
        yield _model(settings)
        return
    yield Check("broker", Outcome.OK, f"{', '.join(settings.kafka.bootstrap_servers)} answers")
    yield from _inputs(settings, found)
    yield from (_result(name, results) for name in names)
    try:
        topics.group_allowed(clients.group_id(settings))
        yield Check("group", Outcome.OK, f"{clients.group_id(settings)} may be joined")
    except AestreamError as error:
        yield Check("group", Outcome.FAILED, str(error))
    yield _model(settings)


def _inputs(settings: Settings, found: Mapping[str, TopicState]) -> Iterator[Check]:
    wanted = settings.topics.input
    missing = [] if wanted[0].startswith("^") else [name for name in wanted if name not in found]
    for name in missing:
        yield Check(f"topic {name}", Outcome.FAILED, "does not exist: create it, or mend AESTREAM_TOPICS__INPUT")
    if not found and not missing:
        yield Check(f"topics {wanted[0]}", Outcome.WARNING, "no topic matches the pattern yet")
    for topic in found.values():
        yield _allowed(topic, "READ", "to be read")


def _result(name: str, found: Mapping[str, TopicState]) -> Check:
    if name not in found:
        return Check(f"topic {name}", Outcome.FAILED, "does not exist: `aestream topics create` makes it")
    return _allowed(found[name], "WRITE", "to be written")


def _allowed(topic: TopicState, operation: str, purpose: str) -> Check:
    name, partitions = f"topic {topic.name}", f"{topic.partitions} partitions"
    if topic.operations is None:
        return Check(name, Outcome.OK, f"{partitions}, {purpose} (the broker does not tell permissions)")
    if operation in topic.operations:
        return Check(name, Outcome.OK, f"{partitions}, {purpose}")
    return Check(name, Outcome.FAILED, f"{operation} is denied: grant the ACL to this user")


def _model(settings: Settings) -> Check:
    """A missing model is a warning: the worker waits for it and the trainer makes it."""
    store = app.registry(settings)
    load = partial(app.load_model, settings)
    version = None
    try:
        version = store.current()
        if version is None:
            return Check("model", Outcome.WARNING, "none yet: `aestream train` makes one, the worker waits for it")
        load(version)
    except AestreamError as error:
        older = version and fall_back(store, version, load)
        serves = f"a worker serves with {settings.model.name}@{older[0]}" if older else "a worker waits"
        return Check("model", Outcome.FAILED, f"{error}; until then {serves}")
    return Check("model", Outcome.OK, f"{settings.model.name}@{version} loads")
