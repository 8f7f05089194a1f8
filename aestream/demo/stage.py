"""The settings that the demo shares with the worker, and the same as environment variables."""

from __future__ import annotations

import argparse
import os
import shlex
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aestream.app.process import free_port
from aestream.settings import reference, settings
from aestream.settings.settings import PREFIX, Settings

_MODELS = "models"


@dataclass(frozen=True, slots=True)
class Stage:
    """The settings, the variables that pass them to another process, and the temporary folder.

    `own` are those that the demo chose; `given` are those from --set and --config.
    """

    settings: Settings
    own: Mapping[str, str]
    given: Mapping[str, str]
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment for a process of the demo."""
        return {**os.environ, **self.given, **self.own}

    @property
    def topics(self) -> dict[str, str]:
        """The topics of records and results by their role."""
        names = self.settings.topics
        return {
            "input": names.input[0],
            "scores": names.scores or "",
            "anomalies": names.anomalies,
            "dead letters": names.dead_letters,
        }

    @property
    def created(self) -> list[str]:
        """All topics of the demo."""
        return [*self.topics.values(), self.settings.state.topic or ""]

    def command(self, name: str) -> str:
        """How to run a command of aestream with these settings in a shell."""
        variables = {**self.given, **self.own}
        return " ".join([*(f"{key}={shlex.quote(value)}" for key, value in variables.items()), "aestream", name])


def user_settings(options: argparse.Namespace) -> Settings:
    """The settings as the user gave them. Raises ConfigurationError."""
    return settings.load(options.config, reference.assignments([*options.set, *_asked(options)]))


def prepare(options: argparse.Namespace, *, bootstrap: str, folder: Path, time: str) -> Stage:
    """The user's settings, with the demo's own topics, group, store and port; `time` is the field that holds the time.

    On a Kafka that others use too, the names end in a suffix that is unique to this run.
    """
    suffix = f"-{uuid.uuid4().hex[:8]}" if options.bootstrap_servers else ""
    prefix = f"aestream-demo{suffix}"
    pairs = [
        f"kafka.bootstrap_servers={bootstrap}",
        *([] if options.bootstrap_servers else ["kafka.security_protocol=PLAINTEXT"]),
        f"kafka.group_id={prefix}",
        "kafka.auto_offset_reset=latest",  # the worker starts after the training part
        f"topics.input={prefix}-input",
        f"topics.scores={prefix}-scores",
        f"topics.anomalies={prefix}-anomalies",
        f"topics.dead_letters={prefix}-dead-letters",
        f"state.topic={prefix}-state",
        "features.key=",  # the records' own keys
        f"features.time={time}",
        f"model.store={folder / _MODELS}",
        f"http.port={free_port()}",
        "log.format=plain",
        *_asked(options),
    ]
    loaded = settings.load(options.config, reference.assignments([*options.set, *pairs]))
    given = _variables(options.set)
    if options.config is not None:
        given[f"{PREFIX}CONFIG"] = str(options.config)
    return Stage(loaded, _variables(pairs), given, folder)


def _asked(options: argparse.Namespace) -> list[str]:
    rate = options.false_alarm_rate
    return [] if rate is None else [f"threshold.false_alarm_rate={rate}"]


def _variables(pairs: list[str]) -> dict[str, str]:
    """`kafka.group_id=x` as an environment variable and its value."""
    split = [pair.partition("=") for pair in pairs]
    return {PREFIX + name.replace(".", "__").upper(): value for name, _, value in split}
