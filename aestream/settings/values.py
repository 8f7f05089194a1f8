"""How the values of settings are written (durations, lists, mappings, `none`), as types that pydantic reads."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from aestream.detector.options import FEATURE_RULES, RULES

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: object) -> object:
    """Parse a duration such as `20ms`, `30s`, `5m`, `24h`, `7d`; a bare number is seconds.

    Raises ValueError for anything else.
    """
    if not isinstance(text, str):
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write 20ms, 30s, 5m, 24h or 7d")
    return float(match[1]) * UNITS[match[2] or "s"]


def items(value: object) -> object:
    """Split `a, b` into its items; leave a list alone."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def pairs(value: object) -> object:
    """Read `name=value, name=value`, or a JSON object if a name contains a comma; leave a mapping alone.

    Raises ValueError for anything else.
    """
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is not a JSON object: {error}") from error
    found = [item.rpartition("=") for item in value.split(",") if item.strip()]
    if not all(name.strip() and separator for name, separator, _ in found):
        raise ValueError(f"{value!r} is not a mapping; write name=value, name=value")
    return {name.strip(): size.strip() for name, _, size in found}


def without_passwords(text: str) -> str:
    """Hide the password in addresses such as `user:password@host` or `scheme://user:password@host`."""
    return re.sub(r"((?:^|[\s,/])[^\s,/:@]*):\S+@", r"\1:***@", text)


def none_if_off(value: object) -> object:
    """Read `off`, `none` and an empty text as None; leave anything else alone."""
    return None if isinstance(value, str) and value.strip().lower() in {"", "off", "none"} else value


def number_if_digits(value: object) -> object:
    """Read a text of digits as a whole number; leave a word alone."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"\s*\d+\s*", value) else value


def obeys(option: str) -> AfterValidator:
    """Check a setting against the rule of the detector's option. None always passes."""
    rule = RULES[option]

    def check(value: Any) -> Any:
        if value is not None and not rule.holds(value):
            raise ValueError(rule.advice)
        return value

    return AfterValidator(check)


def each_obeys(option: str) -> AfterValidator:
    """Check every value of a mapping by feature against the rule of the detector's option."""
    rule = FEATURE_RULES[option]

    def check(values: dict[str, Any]) -> dict[str, Any]:
        for feature, value in values.items():
            if not rule.holds(value):
                raise ValueError(f"{feature}={value}: {rule.advice}")
        return values

    return AfterValidator(check)


Duration = Annotated[float, BeforeValidator(seconds), Field(ge=0)]
OptionalDuration = Annotated[Duration | None, BeforeValidator(none_if_off)]
Names = Annotated[list[str], NoDecode, BeforeValidator(items)]
Numbers = Annotated[dict[str, float], NoDecode, BeforeValidator(pairs)]
Words = Annotated[dict[str, str], NoDecode, BeforeValidator(pairs)]
OptionalText = Annotated[str | None, BeforeValidator(none_if_off)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(none_if_off)]
OptionalCount = Annotated[int | None, BeforeValidator(none_if_off)]
CountOrWord = Annotated[int | str, BeforeValidator(number_if_digits)]
OptionalNumber = Annotated[float | None, BeforeValidator(none_if_off)]
