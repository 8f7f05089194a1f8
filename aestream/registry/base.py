"""What a model store does: it keeps versions of a model, immutable once published, and points at one of them.

A new version is published, then promoted. In between it can be examined, and no worker uses it. Old versions go only
when they are pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aestream.artefact import Manifest


@dataclass(frozen=True, slots=True)
class Version:
    """One published version: its name, its manifest, and whether it has ever been promoted."""

    name: str
    manifest: Manifest
    promoted: bool


class Registry(Protocol):
    """The versions of one model."""

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    @property
    def place(self) -> str:
        """Where its versions are kept, for messages."""
        ...

    def publish(self, write: Callable[[Path], None]) -> str:
        """Let `write` fill a folder and store it as a new version; return its name, which sorts after all older ones.

        Readers see either nothing of it or all of it, and the current version stays the same. If `write` raises,
        nothing changes. Raises ModelError when the store cannot be written.
        """
        ...

    def promote(self, version: str) -> None:
        """Make a version the current one, whether new or old.

        Raises ModelError when there is no such version or the store cannot be written.
        """
        ...

    def prune(self, needed: Callable[[], Collection[str]] = tuple) -> None:
        """Remove old versions: those promoted before the newest ones, and those that nobody promoted within a day.

        The current version stays, and so do those that `needed` names; it is asked only if there is one to remove.
        """
        ...

    def current(self) -> str | None:
        """The name of the version in use; None while there is none. Raises ModelError when it cannot be read."""
        ...

    def versions(self) -> Sequence[Version]:
        """All versions whose manifest can be read, oldest first."""
        ...

    def older(self, version: str) -> Sequence[str]:
        """The names of the promoted versions before this one, newest first; none if its name does not tell its age."""
        ...

    def open(self, version: str) -> Path:
        """A local folder with the version's files, to be read at once: the version may be removed later.

        Raises ModelError when there is no such version.
        """
        ...

    def rollback(self) -> str:
        """Promote the version before the current one; return its name.

        Raises ModelError when there is none.
        """
        ...
