"""What `aestream validate` checks: configuration, broker, topics, permissions and model, one line each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

from aestream.app import clients, models, partitions, samplers
from aestream.app.topics import RESULT_REMEDY, Survey, need_input, survey
from aestream.errors import AestreamError, TransportError, UnreadableError
from aestream.registry.fallback import fall_back
from aestream.service import schedule
from aestream.settings.settings import Settings
from aestream.types import TopicState

_SCORE_BYTES = 64 * 1024  # a score with its key, and its reconstruction if that is enabled
_LOOKED_AT = 5_000  # of the newest records
_BATCH_BYTES = 12  # the difference between Kafka's default for a topic and the client's for a message


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


def check_configuration(settings: Settings, *, group: bool = True) -> None:
    """Check what involves several settings; `group`: including what only a member of the group needs.

    Raises ConfigurationError.
    """
    need_input(settings)
    clients.check(settings)
    if group:
        clients.group_id(settings)
    schedule.parse(settings.trainer.schedule)
    models.registry(settings)
    models.verify_key(settings)


def run(settings: Settings) -> Iterator[Check]:
    """Check one thing after another; checks that need a broker are skipped if none answers.

    Raises ConfigurationError when a setting contradicts another.
    """
    check_configuration(settings)
    yield Check("configuration", Outcome.OK, f"input {', '.join(settings.topics.input)}")
    try:
        found = survey(settings)
    except TransportError as error:
        yield Check("broker", Outcome.FAILED, str(error))
        yield _model(settings)
        return
    yield Check("broker", Outcome.OK, f"{', '.join(settings.kafka.bootstrap_servers)} answers")
    if not found.inputs:
        yield Check(f"topics {settings.topics.input[0]}", Outcome.WARNING, "no topic matches the pattern yet")
    for topics, purpose in ((found.inputs, "readable"), (found.results, "writable")):
        for name, topic in topics.items():
            said = f"{_counted(topic.partitions)}, {purpose}"
            if topic.operations is None:
                said += " (the broker does not report permissions)"
            yield _found(f"topic {name}", said, found)
    yield _found(f"group {clients.group_id(settings)}", "can be joined", found)
    if settings.delivery == "exactly_once":
        yield _transactions(settings)
    if found.state is not None:
        yield _state(found.state)
    yield from _partitions(found)
    yield from _sizes(settings, found)
    yield from _records(settings)
    model = _model(settings)
    yield from _keys(settings, usable=model.outcome is Outcome.OK)
    yield model


def _found(what: str, well: str, found: Survey) -> Check:
    problem = found.problems.get(what)
    return Check(what, Outcome.OK, well) if problem is None else Check(what, Outcome.FAILED, problem)


def _transactions(settings: Settings) -> Check:
    what = f"transactional ids {clients.group_id(settings)}-*"
    try:
        clients.try_a_transaction(settings)
    except TransportError as error:
        return Check(what, Outcome.FAILED, str(error))
    return Check(what, Outcome.OK, "can be used")


def _state(topic: TopicState) -> Check:
    """A worker that cannot keep what it remembers works all the same."""
    for operation in ("READ", "WRITE"):
        refusal = topic.refusal(operation, RESULT_REMEDY)
        if refusal is not None:
            why = f"{refusal}; until then, entities begin anew after a restart of a worker"
            return Check(f"topic {topic.name}", Outcome.WARNING, why)
    if topic.compacted is False:
        why = "is not compacted: it grows without end, or loses what is remembered; set its cleanup.policy to compact"
        return Check(f"topic {topic.name}", Outcome.WARNING, why)
    return Check(f"topic {topic.name}", Outcome.OK, f"{_counted(topic.partitions)}, readable and writable")


def _counted(partitions: int) -> str:
    return f"{partitions} partition" if partitions == 1 else f"{partitions} partitions"


def _partitions(found: Survey) -> Iterator[Check]:
    """Results keep their record's partition number if both topics have the same number of partitions."""
    inputs = {name: topic.partitions for name, topic in found.inputs.items() if topic.partitions}
    for name, topic in found.results.items():
        others = {count for count in inputs.values() if topic.partitions and count != topic.partitions}
        if others:
            fewer = topic.partitions < max(others)
            remedy = ": `aestream topics create` adds the missing ones" if fewer else ""
            yield Check(
                f"topic {name}",
                Outcome.WARNING,
                f"{_counted(topic.partitions)} where the input has {', '.join(map(str, sorted(others)))}: results are "
                f"partitioned by key, and those without a key lose their order{remedy}",
            )


def _sizes(settings: Settings, found: Survey) -> Iterator[Check]:
    """Dead letters must be able to hold any record of the input, and the other topics a score with its key."""
    largest = max((topic.max_bytes or 0 for topic in found.inputs.values()), default=0)
    for name, limit in found.limits.items():
        if name not in found.results:
            continue  # that for state is looked at by whoever knows how large an entry is
        if name != settings.topics.dead_letters:
            if limit < _SCORE_BYTES:
                why = "a result with a long key or a reconstruction becomes a dead letter; raise its max.message.bytes"
                yield Check(f"topic {name}", Outcome.WARNING, f"accepts {limit} bytes: {why}")
        elif limit < largest:
            why = f"larger dead letters are cut; raise its max.message.bytes to {largest}"
            yield Check(f"topic {name}", Outcome.WARNING, f"accepts {limit} bytes and the input {largest}: {why}")
        elif settings.kafka.max_request_size < largest - _BATCH_BYTES:
            yield Check(
                f"topic {name}",
                Outcome.WARNING,
                f"AESTREAM_KAFKA__MAX_REQUEST_SIZE is {settings.kafka.max_request_size} and the input accepts "
                f"{largest}: larger dead letters are cut; raise it",
            )


def _records(settings: Settings) -> Iterator[Check]:
    """What a model could see in the newest records. A topic without any is no failure: they may come."""
    sampler = samplers.of_topics(settings, settings.topics.input)
    try:
        documents = replace(sampler, records=_LOOKED_AT).documents()
        seen = samplers.inference(settings, documents)
    except AestreamError as error:
        unreadable = isinstance(error, UnreadableError)
        yield Check("records", Outcome.FAILED if unreadable else Outcome.WARNING, str(error))
        return
    used = sum(bool(note.used) for note in seen.notes)
    refused = seen.review.refusal and not settings.trainer.force
    if refused:
        yield Check("records", Outcome.FAILED, f"training would refuse them: {seen.review.refusal}")
    else:
        told = f"{used} of {len(seen.notes)} fields of the newest records are features"
        yield Check("records", Outcome.OK, f"{told}; `aestream init` shows each, and looks at older ones too")
    for warning in seen.review.warnings:
        yield Check("records", Outcome.WARNING, warning)


def _keys(settings: Settings, *, usable: bool) -> Iterator[Check]:
    """Whether each entity is in one partition only, if they are remembered: by the model, or else by the setting."""
    remembers, roles = settings.features.window != 1, samplers.roles(settings)
    if usable:
        detector = models.load_detector(settings)
        remembers, roles = detector.remembers, models.roles(settings, detector, topic=True)
    if not remembers:
        return
    history = clients.history(settings, settings.topics.input)
    try:
        found = partitions.find_splits(history, samplers.codec(settings), roles, records=_LOOKED_AT, keyless=usable)
    except AestreamError as error:
        yield Check("keys", Outcome.WARNING, str(error))
        return
    if found is not None:
        yield Check("keys", Outcome.WARNING, found)


def _model(settings: Settings) -> Check:
    """A missing model is a warning: the worker waits until the trainer has trained one."""
    store = models.registry(settings)
    load = partial(models.load_model, settings)
    version = None
    try:
        version = store.current()
        if version is None:
            return Check("model", Outcome.WARNING, "none yet: `aestream train` makes one, and the worker waits for it")
        load(version)
    except AestreamError as error:
        older = version and fall_back(store, version, load)
        serves = f"a worker serves with {settings.model.name}@{older[0]}" if older else "a worker waits"
        return Check("model", Outcome.FAILED, f"{error}; until then {serves}")
    return Check("model", Outcome.OK, f"{settings.model.name}@{version} loads")
