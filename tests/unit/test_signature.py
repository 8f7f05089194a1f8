"""Signatures of models: what was signed is accepted, and whatever else lies there is refused in one line."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aestream import signature
from aestream.artefact import ARRAYS, MANIFEST
from aestream.errors import ConfigurationError, ModelError
from tests import keys


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    return keys.make(tmp_path)


@pytest.fixture
def folder(tmp_path: Path, pair: tuple[str, str]) -> Path:
    """A signed model, as far as signatures care."""
    made = tmp_path / "model"
    made.mkdir()
    (made / ARRAYS).write_bytes(b"arrays")
    (made / MANIFEST).write_bytes(b"manifest")
    signature.sign(made, signature.private_key(pair[0]), "default")
    return made


def test_what_was_signed_is_accepted(folder: Path, pair: tuple[str, str]) -> None:
    digest = signature.verify(folder, signature.public_key(pair[1]))
    assert digest == hashlib.sha256(b"manifest").hexdigest()


def bundled(change: Callable[[Any], None]) -> Callable[[Path], None]:
    """Change the file of the signature."""

    def apply(folder: Path) -> None:
        file = folder / signature.SIGNATURE
        bundle = json.loads(file.read_text())
        change(bundle["dsseEnvelope"])
        file.write_text(json.dumps(bundle))

    return apply


def approve(envelope: Any) -> None:
    """Let the statement say what a forger would like."""
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["resources"][0]["digest"] = hashlib.sha256(b"forged").hexdigest()
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / ARRAYS).write_bytes(b"forged"), f"{ARRAYS} is not what was signed"),
        (lambda folder: (folder / MANIFEST).write_bytes(b"forged"), f"{MANIFEST} is not what was signed"),
        (lambda folder: (folder / ARRAYS).unlink(), f"{ARRAYS} cannot be read"),
        (lambda folder: (folder / signature.SIGNATURE).unlink(), "is not signed, and `verify_keyfile` is set"),
        (lambda folder: (folder / signature.SIGNATURE).write_text("{"), "is damaged"),
        (lambda folder: (folder / signature.SIGNATURE).write_bytes(b"\xff\xfe"), "is damaged"),
        (lambda folder: (folder / signature.SIGNATURE).write_text("[" * 100_000), "is damaged"),
        (bundled(lambda envelope: envelope.pop("payload")), "is damaged"),
        (bundled(lambda envelope: envelope["signatures"].clear()), "is no signature by the key"),
        (bundled(lambda envelope: envelope.update(payloadType="text/plain")), "is no signature by the key"),
        (bundled(lambda envelope: envelope["signatures"][0].update(sig="AAAA")), "is no signature by the key"),
        (bundled(approve), "is no signature by the key"),
    ],
)
def test_anything_else_is_refused(
    folder: Path, pair: tuple[str, str], change: Callable[[Path], None], words: str
) -> None:
    change(folder)
    with pytest.raises(ModelError, match=words) as refused:
        signature.verify(folder, signature.public_key(pair[1]))
    assert "\n" not in str(refused.value)
    assert "train again" in str(refused.value)


def test_a_signature_by_somebody_else_is_refused(folder: Path, tmp_path: Path) -> None:
    for name, curve in (("other", "P-256"), ("third", "P-384")):
        _, public = keys.make(tmp_path, name, curve)
        with pytest.raises(ModelError, match="is no signature by the key in `verify_keyfile`"):
            signature.verify(folder, signature.public_key(public))


def test_a_signature_does_not_cover_another_manifest(folder: Path, pair: tuple[str, str], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / ARRAYS).write_bytes(b"arrays")  # signed, but without a manifest
    signature.sign(other, signature.private_key(pair[0]), "default")
    (other / MANIFEST).write_bytes(b"manifest")
    with pytest.raises(ModelError, match=f"{MANIFEST} is not what was signed"):
        signature.verify(other, signature.public_key(pair[1]))
    (folder / "more").write_bytes(b"what nobody reads does not matter")
    assert signature.verify(folder, signature.public_key(pair[1]))


def test_a_key_that_cannot_be_used_names_its_setting(tmp_path: Path, pair: tuple[str, str]) -> None:
    rsa, locked, edwards = (str(tmp_path / name) for name in ("rsa", "locked", "edwards"))
    for command in (
        f"genpkey -algorithm RSA -out {rsa}",
        f"ec -in {pair[0]} -aes256 -passout pass:x -out {locked}",
        f"genpkey -algorithm ED25519 -out {edwards}",
        f"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out {edwards}2",
    ):
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
    (tmp_path / "empty").touch()
    empty, none = str(tmp_path / "empty"), str(tmp_path / "none")
    for path in (rsa, locked, edwards, edwards + "2", pair[1], empty, none):
        with pytest.raises(ConfigurationError, match=f"`signing_keyfile`: {path} cannot be used"):
            signature.private_key(path)
    for path in (pair[0], rsa, empty, none):
        with pytest.raises(ConfigurationError, match=f"`verify_keyfile`: {path} cannot be used"):
            signature.public_key(path)
