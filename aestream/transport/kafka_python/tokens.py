"""Tokens for OAUTHBEARER: from a file that something else renews, or from a class of the user's own."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kafka import errors as kafka_errors
from kafka.net.sasl.oauth import AbstractTokenProvider

from aestream.errors import ConfigurationError


class NoTokenError(kafka_errors.KafkaConnectionError):  # type: ignore[misc]
    """There is no token at the moment. The client tries again, as it does while a broker does not answer."""


class FileTokens(AbstractTokenProvider):  # type: ignore[misc]
    """The token in a file, which is read at each login: it may be replaced at any time, as Kubernetes does."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def token(self) -> str:
        """Return the file's text. Raises NoTokenError when there is none."""
        try:
            token = Path(self._path).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise NoTokenError(f"`sasl_oauth_token_file`: {self._path} cannot be read ({reason})") from error
        if not token:
            raise NoTokenError(f"`sasl_oauth_token_file`: {self._path} is empty: it should hold a token")
        return token


class ProvidedTokens(AbstractTokenProvider):  # type: ignore[misc]
    """The tokens of an object with a method `token()`, and perhaps `extensions()`, as kafka-python describes them."""

    def __init__(self, name: str, provider: Any) -> None:
        super().__init__()
        self._name = name
        self._provider = provider

    def token(self) -> str:
        """Return what the provider returns. Raises NoTokenError when it raises, or returns no text."""
        try:
            token = self._provider.token()
        except Exception as error:  # whatever the user's code raises
            raise NoTokenError(f"{_named(self._name)} gives no token ({_said(error)})") from error
        if not isinstance(token, str) or not token:
            raise NoTokenError(f"{_named(self._name)} gives no token, but {type(token).__name__}: return text")
        return token

    def extensions(self) -> Mapping[str, str]:
        """Return what the login carries beside the token. Raises NoTokenError when the provider raises."""
        found = getattr(self._provider, "extensions", dict)
        try:
            return dict(found())
        except Exception as error:
            raise NoTokenError(f"{_named(self._name)} gives no extensions ({_said(error)})") from error


@functools.cache  # all clients of a process share one, which may keep its token
def provided(name: str) -> ProvidedTokens:
    """What `package.module:Class` makes when it is called without arguments.

    Raises ConfigurationError when it cannot be imported or made, or has no method `token()`.
    """
    module, _, attribute = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), attribute)()
    except Exception as error:  # whatever the user's code raises
        raise ConfigurationError(
            f"{_named(name)} cannot be made ({_said(error)}): write package.module:Class, and have the module on "
            "PYTHONPATH"
        ) from error
    if not callable(getattr(made, "token", None)):
        raise ConfigurationError(f"{_named(name)} has no method token(): write one that returns a token as text")
    return ProvidedTokens(name, made)


def _named(name: str) -> str:
    return f"`sasl_oauth_token_provider`: {name}"


def _said(error: Exception) -> str:
    """The exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
