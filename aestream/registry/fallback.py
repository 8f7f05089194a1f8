"""What serves when the current version is damaged: the newest older version that loads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from aestream.registry.base import Registry

T = TypeVar("T")


def fall_back(registry: Registry, current: str, load: Callable[[str], T]) -> tuple[str, T] | None:
    """Load the newest version before `current` that can be loaded; None if there is none.

    A version newer than the current one was rolled back from, and an unpromoted one was never meant to serve: neither
    is tried.
    """
    for version in registry.older(current):
        try:
            return version, load(version)
        except Exception:  # noqa: BLE001, S112 - whatever is wrong with this version, an older one may load
            continue
    return None
