"""A model into a store as a training does it: published, promoted, and old ones pruned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aestream.registry.base import Registry
from tests import manifests


def put(registry: Registry, write: Callable[[Path], None] = manifests.write) -> str:
    """Make a new version the current one; return its name."""
    name = registry.publish(write)
    registry.promote(name)
    registry.prune()
    return name
