"""A model directory on disk: arrays in safetensors, everything else in manifest.json, sha256 of every file."""

import dataclasses
import datetime
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import msgspec
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from aestream.errors import ModelError
from aestream.types import Arrays

# 2: records may be judged with those before them; models of format 1 judge them alone.
FORMAT_VERSION = 2
MANIFEST = "manifest.json"
ARRAYS = "model.safetensors"

# What the properties of a manifest read inside the parts that other packages own, and its type.
_READ = (("schema", "names", list), ("threshold", "value", (int, float)), ("training", "records", int))

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FieldNote:
    """What training made of one field: what it is `used` as, empty if it is left out, and why.

    `missing` is the share of records without it; `remedy` is the option that would have it otherwise, if there is one.
    """

    name: str
    used: str
    reason: str
    missing: float = 0.0
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What manifest.json says about a model. The fields are the keys of the file.

    Options, schema, networks and threshold stay as the packages that own them wrote them. `metadata` is free: the
    trainer stores which records it skipped and where the sample came from.
    """

    format_version: int
    created: Annotated[datetime.datetime, msgspec.Meta(tz=True)]
    versions: Mapping[str, str]  # of aestream, torch and numpy
    metadata: Mapping[str, Any]
    options: Mapping[str, Any]
    schema: Mapping[str, Any]
    schema_hash: str
    model: Mapping[str, Any]
    threshold: Mapping[str, Any]
    representation: Mapping[str, Any] | None
    score_quantiles: Mapping[str, float]
    training: Mapping[str, Any]
    files: Mapping[str, str]  # name -> sha256, in hex
    series: Mapping[str, Any] | None = None  # what is remembered of the records before; None: they are judged alone
    fields: Sequence[FieldNote] = ()  # of the sample's records, where the features were inferred
    sha256: str = ""  # of the file, in hex; not a key of it

    def __post_init__(self) -> None:
        """Check what the properties read. Raises TypeError."""
        for part, key, kind in _READ:
            if not isinstance(getattr(self, part).get(key), kind):
                raise TypeError(f"`{part}` has no usable `{key}`")

    @classmethod
    def from_json(cls, content: bytes, path: Path) -> Self:
        """Parse and check the content of a manifest.json; `path` is for error messages.

        Raises ModelError when it is damaged, or comes from another program or a newer format.
        """
        other = "is not the manifest of an aestream model: give the directory that `Detector.save` wrote"
        head = _decode(content, _Head, path, other)
        if head.format_version > FORMAT_VERSION:
            newer = f"has format {head.format_version}, newer than {FORMAT_VERSION}"
            raise ModelError(f"{path} {newer}: update aestream, or train again")
        manifest = _decode(content, cls, path, "is damaged ({}): train again or roll back")
        return replace(manifest, sha256=hashlib.sha256(content).hexdigest())

    def to_json(self) -> str:
        """Return the text of its file."""
        own = {item.name: getattr(self, item.name) for item in dataclasses.fields(self) if item.name != "sha256"}
        return json.dumps(own, indent=2, allow_nan=False, default=_plain)

    @property
    def features(self) -> Sequence[str]:
        """The names of the features, in the order of a matrix's columns."""
        names: Sequence[str] = self.schema["names"]
        return names

    @property
    def threshold_value(self) -> float:
        """The error above which a record is an anomaly."""
        return float(self.threshold["value"])

    @property
    def records(self) -> int:
        """How many records it was trained on."""
        return int(self.training["records"])


@dataclass(frozen=True, slots=True)
class _Head:
    """What every manifest has, whatever its format."""

    format_version: int
    files: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Refuse a manifest of another program. Raises ValueError."""
        if ARRAYS not in self.files:
            raise ValueError(ARRAYS)


def write(directory: Path, facts: Mapping[str, Any], arrays: Arrays) -> Manifest:
    """Write a model into a new or empty directory; when it returns the manifest, the files are on the disk.

    `facts` are the fields of the manifest, without `format_version` and `files`. Raises ModelError when one is missing
    or has another type, and when the directory is not empty or cannot be written.
    """
    content = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    whole = {"format_version": FORMAT_VERSION, **facts, "files": {ARRAYS: hashlib.sha256(content).hexdigest()}}
    text = json.dumps(whole, indent=2, allow_nan=False, default=_plain).encode() + b"\n"
    manifest = Manifest.from_json(text, directory / MANIFEST)  # checked before anything is written
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise ModelError(f"{directory} is not empty: save the model into a new or empty directory")
        write_file(directory / ARRAYS, content)
        write_file(directory / MANIFEST, text)  # last: a directory with a manifest is complete
        sync(directory)
    except OSError as error:
        raise ModelError(
            f"{directory} cannot be written ({error.strerror}): check the path and its permissions"
        ) from error
    return manifest


def versions(*names: str) -> dict[str, str]:
    """Return the versions of libraries, without those that are not installed."""
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def read(directory: Path) -> tuple[Manifest, Arrays]:
    """Read what `write` wrote -> (manifest, arrays).

    Raises ModelError when a file is missing or damaged, or comes from another program or a newer format.
    """
    manifest = read_manifest(directory)
    content = b""
    for name, expected in manifest.files.items():
        path = directory / Path(name).name  # a manifest must not lead out of its directory
        content_of_file = _read_file(path)
        if hashlib.sha256(content_of_file).hexdigest() != expected:
            raise ModelError(f"{path} is damaged (its sha256 differs from the manifest's): train again or roll back")
        content = content_of_file if name == ARRAYS else content
    try:
        return manifest, safetensors.numpy.load(content)
    except SafetensorError as error:
        raise ModelError(f"{directory / ARRAYS} cannot be read ({error}): train again or roll back") from error


def read_manifest(directory: Path) -> Manifest:
    """Read only the manifest, not the other files. Raises ModelError as `read` does."""
    path = directory / MANIFEST
    return Manifest.from_json(_read_file(path), path)


def _decode(content: bytes, kind: type[T], path: Path, otherwise: str) -> T:
    """Decode JSON. Raises ModelError; with `otherwise` if it is not of the kind, `{}` in it being the difference."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise ModelError(f"{path} {otherwise.format(error)}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged (not JSON): train again or roll back") from error


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): train a model, or correct the path") from error


def write_file(path: Path, content: bytes) -> None:
    """Write a new file durably. Raises OSError."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(directory: Path) -> None:
    """Make a directory's entries durable, as its files are. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _plain(value: object) -> object:
    """Convert times, notes, numpy's numbers and paths, which JSON does not know."""
    if isinstance(value, FieldNote):
        return dataclasses.asdict(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="seconds")
    return value.item() if isinstance(value, np.generic) else str(value)
