"""The settings as users see them: names, defaults and meanings for the documentation, and the values in force."""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, BeforeValidator, ByteSize, SecretStr, TypeAdapter

from aestream.errors import AestreamError, ConfigurationError
from aestream.settings.settings import PREFIX, Settings
from aestream.settings.values import UNITS, seconds, without_passwords

_ADDRESSES = {"kafka.bootstrap_servers", "model.store"}

# Options that do not bear the name of their setting.
_OTHER_OPTIONS = {
    "connection": f"{PREFIX}KAFKA__*",
    "max_consecutive": f"{PREFIX}DEAD_LETTERS__MAX_CONSECUTIVE_COUNT",
    "max_ratio": f"{PREFIX}DEAD_LETTERS__MAX_INVALID_RATIO",
    "period": f"{PREFIX}TRAINER__SAMPLE_PERIOD",
    "topics": f"{PREFIX}TOPICS__INPUT",
}


def assignments(pairs: Sequence[str]) -> dict[str, Any]:
    """Nest the `kafka.group_id=x` pairs of the command line. Raises ConfigurationError for an unknown name."""
    known = {setting.dotted for setting in describe()}
    nested: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or name not in known:
            raise ConfigurationError(f"--set {name}: write SECTION.NAME=VALUE; `aestream config` lists the names")
        *sections, last = name.split(".")
        node = nested
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = value
    return nested


class Setting(NamedTuple):
    """One setting as the documentation shows it."""

    dotted: str
    variable: str
    default: str
    description: str
    section: str
    secret: bool
    duration: bool


def describe() -> list[Setting]:
    """All settings in order, with defaults as a user would write them."""
    return list(_describe(Settings, (), "Delivery guarantee"))


def environment_names() -> set[str]:
    """The names of all environment variables that are read."""
    return {setting.variable for setting in describe()} | {f"{PREFIX}CONFIG"}


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Variables that look like settings but are not: probably typing errors. They are ignored."""
    known = environment_names()
    return sorted(n for n in environment if n.startswith(PREFIX) and "__" in n and n.upper() not in known)


def in_variables(text: str) -> str:
    """Write the variable for each option in backquotes: AESTREAM_FEATURES__MISSING=impute for `missing=impute`.

    What is in backquotes and is not an option stays as it is.
    """
    return re.sub(r"`([a-z][a-z_]*)(=[^`]*)?`", _variable, text)


def _variable(match: re.Match[str]) -> str:
    variable = _variables().get(match[1])
    return match[0] if variable is None else f"{variable}{match[2] or ''}"


@contextmanager
def naming_variables() -> Iterator[None]:
    """Let the message of every AestreamError that passes name variables in place of options."""
    try:
        yield
    except AestreamError as error:
        error.args = (in_variables(str(error)),)
        raise


@functools.cache
def _variables() -> Mapping[str, str]:
    """The variable of each option, where only one setting has its name."""
    named = [(setting.dotted.rpartition(".")[2], setting.variable) for setting in describe()]
    settings = Counter(name for name, _ in named)
    return {name: variable for name, variable in named if settings[name] == 1} | _OTHER_OPTIONS


def _describe(model: type[BaseModel], path: tuple[str, ...], section: str) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        here = (*path, name)
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _describe(kind, here, (kind.__doc__ or "").rstrip("."))
            continue
        default = field.get_default(call_default_factory=True)
        secret = SecretStr in _kinds(kind)
        variable = PREFIX + "__".join(here).upper()
        duration = any(isinstance(m, BeforeValidator) and m.func is seconds for m in field.metadata)
        text = written(default, duration=duration)
        yield Setting(".".join(here), variable, text, field.description or "", section, secret, duration)


def _kinds(kind: Any) -> set[Any]:
    parts = get_args(kind)
    return {kind}.union(*(_kinds(part) for part in parts)) if parts else {kind}


def example() -> str:
    """A commented file of all variables with their defaults: config.example.env."""
    lines = [
        "# All settings of aestream with their defaults. To change one, remove the # in front of it.",
        "# Services read this file through EnvironmentFile= or --env-file. In the working folder, call it .env.",
    ]
    section = None
    for setting in describe():
        if setting.section != section:
            section = setting.section
            lines += ["", f"## {section}"]
        lines += ["", f"# {setting.description}", f"# {setting.variable}={setting.default}"]
    return "\n".join(lines) + "\n"


def in_force(settings: Settings) -> Iterator[str]:
    """`VARIABLE=value` for every setting, with secrets as asterisks."""
    for setting in describe():
        value: Any = settings
        for part in setting.dotted.split("."):
            value = getattr(value, part)
        text = written(value, duration=setting.duration)
        yield f"{setting.variable}={without_passwords(text) if setting.dotted in _ADDRESSES else text}"


def written(value: Any, *, duration: bool = False) -> str:
    """A value as a user would write it in the environment; a secret as asterisks."""
    if duration and value is not None:
        return _duration(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return _pairs(value)
    if isinstance(value, list):
        return ",".join(map(str, value))
    return _size(value) if isinstance(value, ByteSize) else str(value)


def _pairs(value: Mapping[str, Any]) -> str:
    """`name=value,name=value`, or JSON if a name could not be read back."""
    short = ",".join(f"{name}={size}" for name, size in value.items())
    plain = all("," not in name and name == name.strip() and not name.startswith("{") for name in value)
    return short if plain else json.dumps(value)


def _size(value: ByteSize) -> str:
    short = value.human_readable(separator="").replace(".0", "")
    return short if TypeAdapter(ByteSize).validate_python(short) == value else str(int(value))


def _duration(value: float) -> str:
    """Seconds as a whole number of the largest possible unit."""
    for unit in ("d", "h", "m", "s", "ms"):
        count = round(value / UNITS[unit], 6)  # 70 ms are 70.00000000000001 of the unit
        if count >= 1 and count.is_integer():
            return f"{count:.0f}{unit}"
    return f"{value:g}s"
