"""A model store in a folder: `<store>/<model>/<version>/...` and a file `current` that names the version in use."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from aestream.errors import ModelError
from aestream.registry.base import Version

_POINTER = "current"
_MANIFEST = "manifest.json"
_STAGING = ".staging-"
_ABANDONED_SECONDS = 24 * 3600


class LocalRegistry:
    """Versions of one model in a local or shared folder; `keep` of them stay when new ones come."""

    def __init__(self, store: Path, model: str, *, keep: int = 10) -> None:
        self._folder = store / model
        self._model = model
        self._keep = keep

    @property
    def model(self) -> str:
        """The model's name."""
        return self._model

    def publish(self, write: Callable[[Path], None]) -> str:
        """Write into a hidden folder, rename it to its version, then switch the pointer."""
        try:
            return self._publish(write)
        except OSError as error:
            raise ModelError(f"the model store {self._folder} cannot be written: {error.strerror}") from error

    def _publish(self, write: Callable[[Path], None]) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self._folder))
        try:
            write(staging)
            staging.chmod(0o755)  # mkdtemp keeps others out; a worker may run as another user
            name = self._rename(staging)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        self._point(name)
        self._prune()
        return name

    def current(self) -> str | None:
        """Read the pointer."""
        try:
            return (self._folder / _POINTER).read_text().strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{self._folder / _POINTER} cannot be read: {error}") from error

    def versions(self) -> Sequence[Version]:
        """List the folders that hold a manifest, oldest first."""
        found = []
        for path in sorted(self._folder.glob(f"*/{_MANIFEST}")):
            if not path.parent.name.startswith("."):
                try:
                    found.append(Version(path.parent.name, json.loads(path.read_text())))
                except (OSError, ValueError):
                    continue  # being removed, or damaged: loading it would say so
        return found

    def open(self, version: str) -> Path:
        """The version's own folder."""
        path = self._folder / version
        if Path(version).name != version or not (path / _MANIFEST).is_file():
            raise ModelError(f"{self._folder} has no version {version!r}; `aestream model list` shows what there is")
        return path

    def rollback(self, version: str | None = None) -> str:
        """Switch the pointer back."""
        if version is None:
            current, names = self.current(), [v.name for v in self.versions()]
            older = [name for name in names if current is not None and name < current]
            if not older:
                raise ModelError(f"model {self._model!r} has no version before {current}: nothing to roll back to")
            version = older[-1]
        self.open(version)
        self._point(version)
        return version

    def _rename(self, staging: Path) -> str:
        """Give the staged folder the next free name: the time, in UTC, which also sorts."""
        moment = datetime.datetime.now(datetime.UTC)
        newest = max((v.name for v in self.versions()), default="")
        while True:
            name = moment.strftime("%Y%m%dT%H%M%SZ")
            if name > newest and not (self._folder / name).exists():
                try:
                    staging.rename(self._folder / name)
                except OSError:
                    if not (self._folder / name).exists():
                        raise  # and if it does, another trainer took the name this moment
                else:
                    _sync(self._folder)
                    return name
            moment += datetime.timedelta(seconds=1)

    def _point(self, version: str) -> None:
        """Replace the pointer in one step: a reader sees the old name or the new one."""
        handle, temporary = tempfile.mkstemp(prefix=_STAGING, dir=self._folder)
        with os.fdopen(handle, "w") as file:
            file.write(f"{version}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(self._folder / _POINTER)
        _sync(self._folder)

    def _prune(self) -> None:
        """Remove the oldest versions beyond `keep`, never the current one, and what a killed run left behind."""
        names = [v.name for v in self.versions()]
        for name in names[: -self._keep]:
            if name != self.current():
                shutil.rmtree(self._folder / name, ignore_errors=True)
        now = datetime.datetime.now(datetime.UTC).timestamp()
        for path in self._folder.glob(f"{_STAGING}*"):
            with contextlib.suppress(OSError):  # another trainer's, and finished just now
                if now - path.stat().st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
