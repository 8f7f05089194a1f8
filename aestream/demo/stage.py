"""Where the demo plays: the settings that it shares with the worker, as the environment variables they are."""

from __future__ import annotations

import argparse
import os
import shlex
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aestream.demo.brokers import free_port
from aestream.settings import reference, settings
from aestream.settings.settings import PREFIX, Settings

_MODELS = "models"


@dataclass(frozen=True, slots=True)
class Stage:
    """The settings, and the variables that say the same to another process.

    `own` are those that the demo chose; `given` those that came by --set and --config.
    """

    settings: Settings
    own: Mapping[str, str]
    given: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """What a process of this stage runs with."""
        return {**os.environ, **self.given, **self.own}

    @property
    def topics(self) -> dict[str, str]:
        """The four topics by their role."""
        names = self.settings.topics
        return {
            "input": names.input[0],
            "scores": names.scores or "",
            "anomalies": names.anomalies,
            "dead letters": names.dead_letters,
        }

    def command(self, name: str) -> str:
        """How a person would run a command of aestream here, in a shell."""
        variables = {**self.given, **self.own}
        return " ".join([*(f"{key}={shlex.quote(value)}" for key, value in variables.items()), "aestream", name])


def user_settings(options: argparse.Namespace) -> Settings:
    """The settings as the user gave them. Raises ConfigurationError before anything is started."""
    return settings.load(options.config, reference.assignments([*options.set, *_asked(options)]))


def prepare(options: argparse.Namespace, *, bootstrap: str, folder: Path) -> Stage:
    """The user's settings, with our own names and places instead of theirs.

    On a Kafka that others use as well, the names end in a suffix of this run.
    """
    suffix = f"-{uuid.uuid4().hex[:8]}" if options.bootstrap_servers else ""
    prefix = f"aestream-demo{suffix}"
    pairs = [
        f"kafka.bootstrap_servers={bootstrap}",
        *([] if options.bootstrap_servers else ["kafka.security_protocol=PLAINTEXT"]),
        f"kafka.group_id={prefix}",
        "kafka.auto_offset_reset=latest",  # the worker begins behind the training part
        f"topics.input={prefix}-input",
        f"topics.scores={prefix}-scores",
        f"topics.anomalies={prefix}-anomalies",
        f"topics.dead_letters={prefix}-dead-letters",
        f"model.store={folder / _MODELS}",
        f"http.port={free_port()}",
        "log.format=plain",
        *_asked(options),
    ]
    loaded = settings.load(options.config, reference.assignments([*options.set, *pairs]))
    given = _variables(options.set)
    if options.config is not None:
        given[f"{PREFIX}CONFIG"] = str(options.config)
    return Stage(loaded, _variables(pairs), given)


def _asked(options: argparse.Namespace) -> list[str]:
    rate = options.false_alarm_rate
    return [] if rate is None else [f"threshold.false_alarm_rate={rate}"]


def _variables(pairs: list[str]) -> dict[str, str]:
    """`kafka.group_id=x` as an environment variable and its value."""
    split = [pair.partition("=") for pair in pairs]
    return {PREFIX + name.replace(".", "__").upper(): value for name, _, value in split}
