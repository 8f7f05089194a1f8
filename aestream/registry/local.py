"""A model store in a folder: `<store>/<model>/<version>/...` and a file `current` that names the version in use.

An empty file `.unpromoted-<version>` marks a version that has never been the current one.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from aestream.artefact import MANIFEST, read_manifest, sync
from aestream.errors import ModelError
from aestream.registry.base import Version

_POINTER = "current"
_STAGING = ".staging-"
_UNPROMOTED = ".unpromoted-"
_VERSION = "%Y%m%dT%H%M%SZ"  # sorts by age
_IS_VERSION = re.compile(r"\d{8}T\d{6}Z")
_IS_NAME = re.compile(r"\w[\w.+-]*", re.ASCII)  # of one folder, which cannot lead out of the store
_ABANDONED_SECONDS = 24 * 3600


class LocalRegistry:
    """Versions of one model in a local or shared folder.

    Pruning keeps the newest `keep` promoted versions. A version that is not promoted stays for a day.
    """

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
        """Write into a hidden folder, then rename it to its version."""
        try:
            return self._publish(write)
        except OSError as error:
            raise self._unwritable(error) from error

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
        return name

    def promote(self, version: str) -> None:
        """Switch the pointer, then remove the mark."""
        self.open(version)
        try:
            self._point(version)
            self._mark(version).unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def prune(self, needed: Callable[[], Collection[str]] = tuple) -> None:
        """Remove promoted versions beyond `keep`, others after a day, and what killed runs left behind."""
        with contextlib.suppress(ModelError, OSError):  # the pointer is damaged: keep all versions
            old = [version.name for version in self.versions() if version.promoted][: -self._keep]
            for name in sorted({*old} - {*needed()}) if old else ():
                self._remove(name)
            for mark in self._abandoned(_UNPROMOTED):
                self._remove(mark.name.removeprefix(_UNPROMOTED))
                mark.unlink(missing_ok=True)
        for path in self._abandoned(_STAGING):
            with contextlib.suppress(OSError):  # another trainer removed it just now
                shutil.rmtree(path) if path.is_dir() else path.unlink()

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
                    name = path.parent.name
                    found.append(Version(name, read_manifest(path.parent), promoted=not self._mark(name).exists()))
        return found

    def older(self, version: str) -> Sequence[str]:
        """Compare the names, which are times."""
        if not _IS_VERSION.fullmatch(version):
            return []
        names = [v.name for v in self.versions() if v.promoted and _IS_VERSION.fullmatch(v.name)]
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

    def rollback(self) -> str:
        """Switch the pointer to the version before."""
        current = self.current()
        older = self.older(current or "")
        if not older:
            raise ModelError(f"model {self._model!r} has no version before {current}: nothing to roll back to")
        self.promote(older[0])
        return older[0]

    def _rename(self, staging: Path) -> str:
        """Name the staged folder after the time in UTC, or the next free second: such names sort by age."""
        moment = datetime.datetime.now(datetime.UTC)
        newest = max((path.name for path in self._folder.iterdir() if _IS_VERSION.fullmatch(path.name)), default="")
        while True:
            name = moment.strftime(_VERSION)
            if name > newest and self._take(name, staging):
                sync(self._folder)
                return name
            moment += datetime.timedelta(seconds=1)

    def _take(self, name: str, staging: Path) -> bool:
        """Rename the staged folder, unless another trainer has the name: creating the mark claims it."""
        try:
            self._mark(name).touch(exist_ok=False)
        except FileExistsError:
            return False
        if (self._folder / name).exists():  # promoted already, so its mark was gone
            self._mark(name).unlink(missing_ok=True)
            return False
        staging.rename(self._folder / name)
        return True

    def _mark(self, version: str) -> Path:
        return self._folder / f"{_UNPROMOTED}{version}"

    def _point(self, version: str) -> None:
        """Replace the pointer in one step: a reader sees the old name or the new one."""
        handle, temporary = tempfile.mkstemp(prefix=_STAGING, dir=self._folder)
        with os.fdopen(handle, "w") as file:
            file.write(f"{version}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(self._folder / _POINTER)
        sync(self._folder)

    def _remove(self, version: str) -> None:
        if version != self.current():  # read each time: somebody may just have rolled back
            shutil.rmtree(self._folder / version, ignore_errors=True)

    def _abandoned(self, prefix: str) -> Iterator[Path]:
        now = datetime.datetime.now(datetime.UTC).timestamp()
        for path in self._folder.glob(f"{prefix}*"):
            with contextlib.suppress(OSError):  # another trainer's, which has just been renamed
                if now - path.stat().st_mtime > _ABANDONED_SECONDS:
                    yield path

    def _unwritable(self, error: OSError) -> ModelError:
        return ModelError(f"the model store {self._folder} cannot be written: {error.strerror}")
