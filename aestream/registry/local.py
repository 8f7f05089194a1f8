"""A model store in a folder: `<store>/<model>/<version>/...` and a file `current` that names the version in use."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from aestream.artefact import MANIFEST, read_manifest
from aestream.errors import ModelError
from aestream.registry.base import Version

_POINTER = "current"
_STAGING = ".staging-"
_VERSION = "%Y%m%dT%H%M%SZ"  # sorts by age
_IS_VERSION = re.compile(r"\d{8}T\d{6}Z")
_IS_NAME = re.compile(r"\w[\w.+-]*", re.ASCII)  # of one folder, which cannot lead out of the store
_ABANDONED_SECONDS = 24 * 3600


class LocalRegistry:
    """Versions of one model in a local or shared folder, of which the newest `keep` are kept."""

    def __init__(self, store: Path, model: str, *, keep: int = 10) -> None:
        self._folder = store / model
        self._model = model
        self._keep = keep

    @property
    def model(self) -> str:
        """The model's name."""
        return self._model

    @property
    def place(self) -> str:
        """The folder of its versions."""
        return str(self._folder)

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
        pointer = self._folder / _POINTER
        try:
            text = pointer.read_text(errors="backslashreplace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ModelError(f"{pointer} cannot be read ({error.strerror}): check its permissions") from error
        if not _IS_NAME.fullmatch(text):
            remedy = "`aestream model rollback VERSION` fixes it, and `aestream model list` shows the versions"
            raise ModelError(f"{pointer} names {text[:40]!r}, which is not a version: {remedy}")
        return text

    def versions(self) -> Sequence[Version]:
        """Read the manifest of each folder."""
        found = []
        for path in sorted(self._folder.glob(f"*/{MANIFEST}")):
            if not path.parent.name.startswith("."):
                with contextlib.suppress(ModelError):  # being removed, or damaged: loading it would report that
                    found.append(Version(path.parent.name, read_manifest(path.parent)))
        return found

    def older(self, version: str) -> Sequence[str]:
        """Compare the names, which are times."""
        if not _IS_VERSION.fullmatch(version):
            return []
        names = [v.name for v in self.versions() if _IS_VERSION.fullmatch(v.name)]
        return [name for name in reversed(names) if name < version]

    def open(self, version: str) -> Path:
        """The version's own folder."""
        path = self._folder / version
        try:
            there = _IS_NAME.fullmatch(version) and (path / MANIFEST).is_file()
        except OSError as error:
            raise ModelError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
        if not there:
            raise ModelError(f"{self._folder} has no version {version!r}: `aestream model list` shows the versions")
        return path

    def rollback(self, version: str | None = None) -> str:
        """Switch the pointer back."""
        if version is None:
            current = self.current()
            older = self.older(current or "")
            if not older:
                raise ModelError(f"model {self._model!r} has no version before {current}: nothing to roll back to")
            version = older[0]
        self.open(version)
        try:
            self._point(version)
        except OSError as error:
            raise ModelError(f"the model store {self._folder} cannot be written: {error.strerror}") from error
        return version

    def _rename(self, staging: Path) -> str:
        """Name the staged folder after the time in UTC, or the next free second: such names sort by age."""
        moment = datetime.datetime.now(datetime.UTC)
        newest = max((v.name for v in self.versions()), default="")
        while True:
            name = moment.strftime(_VERSION)
            if name > newest and not (self._folder / name).exists():
                try:
                    staging.rename(self._folder / name)
                except OSError:
                    if not (self._folder / name).exists():
                        raise  # if it does exist, another trainer has just taken the name
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
            with contextlib.suppress(OSError):  # another trainer's, which has just been renamed
                if now - path.stat().st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
