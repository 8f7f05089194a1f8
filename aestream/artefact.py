"""A model directory on disk: arrays in safetensors, everything else in manifest.json, sha256 of every file."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from aestream.errors import ModelError
from aestream.types import Arrays

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
ARRAYS = "model.safetensors"


def write(directory: Path, manifest: Mapping[str, Any], arrays: Arrays) -> None:
    """Write a model into a new or empty directory; when it returns, the files are on the disk.

    Raises ModelError when the directory is not empty or cannot be written.
    """
    content = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    whole = {"format_version": FORMAT_VERSION, **manifest, "files": {ARRAYS: hashlib.sha256(content).hexdigest()}}
    text = json.dumps(whole, indent=2, allow_nan=False, default=_plain).encode() + b"\n"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise ModelError(f"{directory} is not empty: save the model into a new or empty directory")
        _write_file(directory / ARRAYS, content)
        _write_file(directory / MANIFEST, text)  # last: a directory with a manifest is complete
        _sync(directory)
    except OSError as error:
        raise ModelError(
            f"{directory} cannot be written ({error.strerror}): check the path and its permissions"
        ) from error


def read(directory: Path) -> tuple[dict[str, Any], Arrays]:
    """Read what `write` wrote -> (manifest, arrays).

    Raises ModelError when a file is missing or damaged, or comes from another program or a newer format.
    """
    manifest = _manifest(directory)
    content = b""
    for name, expected in manifest["files"].items():
        path = directory / Path(name).name  # a manifest must not lead out of its directory
        content_of_file = _read_file(path)
        if hashlib.sha256(content_of_file).hexdigest() != expected:
            raise ModelError(f"{path} is damaged (its sha256 differs from the manifest's): train again or roll back")
        content = content_of_file if name == ARRAYS else content
    try:
        return manifest, safetensors.numpy.load(content)
    except SafetensorError as error:
        raise ModelError(f"{directory / ARRAYS} cannot be read ({error}): train again or roll back") from error


def _manifest(directory: Path) -> dict[str, Any]:
    path = directory / MANIFEST
    try:
        manifest = json.loads(_read_file(path))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged (not JSON): train again or roll back") from error
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if not isinstance(version, int) or not isinstance(manifest.get("files"), dict) or ARRAYS not in manifest["files"]:
        raise ModelError(
            f"{path} is not the manifest of an aestream model: give the directory that `Detector.save` wrote"
        )
    if version > FORMAT_VERSION:
        raise ModelError(f"{path} has format {version}, newer than {FORMAT_VERSION}: update aestream, or train again")
    return dict(manifest)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): train a model, or correct the path") from error


def _write_file(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    """Make the directory's entries durable, as the files are."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _plain(value: object) -> object:
    """Convert numpy's numbers and paths, which JSON does not know."""
    return value.item() if isinstance(value, np.generic) else str(value)
