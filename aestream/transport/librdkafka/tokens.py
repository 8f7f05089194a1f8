"""Tokens for OAUTHBEARER, as librdkafka asks for them."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

_log = logging.getLogger("kafka.librdkafka")  # a child of the logger that `hear_client` opens

_LIFE_SECONDS = 300.0  # a token is asked for again before that, as its file may have been renewed
_PRINCIPAL = "aestream"  # librdkafka wants one; the broker reads it from the token

Token = tuple[str, float, str, Mapping[str, str]]


def token_callback(provider: Any) -> Callable[[str], Token]:
    """A callback that returns the token of a provider, with `token()` and `extensions()`, and when it ends."""

    def ask(_config: str) -> Token:
        try:
            token, extensions = provider.token(), dict(provider.extensions())
        except Exception as error:
            _log.warning("no token: %s", error)  # librdkafka says only that there is none, and asks again
            raise
        return token, min(_end_of(token), time.time() + _LIFE_SECONDS), _PRINCIPAL, extensions

    return ask


def _end_of(token: str) -> float:
    """When a token ends, in seconds since the epoch; infinite if it does not say so."""
    with contextlib.suppress(ValueError, TypeError, IndexError):
        claims = token.split(".")[1]
        end = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
        return float(end)
    return float("inf")
