"""Signatures of a model's files, in the layout of the OpenSSF's model signing, whose own tool reads and writes it too.

The file `model.sig` beside a model's files is a Sigstore bundle: an in-toto statement with the sha256 of every file, in
a DSSE envelope, signed by ECDSA. Specification: https://github.com/ossf/model-signing-spec
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from aestream.artefact import MANIFEST, sync, write_file
from aestream.errors import ConfigurationError, ModelError

SIGNATURE = "model.sig"
PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_IN_TOTO = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_HASHES = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}  # by curve

T = TypeVar("T")


class _Signed(msgspec.Struct):
    sig: bytes


class _Envelope(msgspec.Struct, rename="camel"):
    payload: bytes
    payload_type: str
    signatures: Sequence[_Signed]


class _Bundle(msgspec.Struct, rename="camel"):
    dsse_envelope: _Envelope


class _Resource(msgspec.Struct):
    name: str
    digest: str  # by sha256: no other is the digest of these files


class _Predicate(msgspec.Struct):
    resources: Sequence[_Resource]


class _Statement(msgspec.Struct, rename="camel"):
    predicate_type: str
    predicate: _Predicate


def private_key(path: str) -> PrivateKey:
    """Read the key that signs, a PEM file without a password. Raises ConfigurationError."""
    try:
        key = serialization.load_pem_private_key(Path(path).read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable("signing_keyfile", path, error) from error
    if not isinstance(key, PrivateKey) or key.curve.name not in _HASHES:
        raise _unusable("signing_keyfile", path, None)
    return key


def public_key(path: str) -> PublicKey:
    """Read the key that verifies, a PEM file. Raises ConfigurationError."""
    try:
        key = serialization.load_pem_public_key(Path(path).read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise _unusable("verify_keyfile", path, error) from error
    if not isinstance(key, PublicKey) or key.curve.name not in _HASHES:
        raise _unusable("verify_keyfile", path, None)
    return key


def sign(folder: Path, key: PrivateKey, name: str) -> None:
    """Sign all files in the folder of the model `name`. Raises OSError."""
    digests = {path.name: hashlib.sha256(path.read_bytes()) for path in sorted(folder.iterdir())}
    whole = hashlib.sha256(b"".join(digest.digest() for digest in digests.values()))
    statement = {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": whole.hexdigest()}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE],
            },
            "resources": [
                {"name": file, "algorithm": "sha256", "digest": digest.hexdigest()} for file, digest in digests.items()
            ],
        },
    }
    payload = json.dumps(statement).encode()
    signature = key.sign(_encoded(_IN_TOTO, payload), _algorithm(key.public_key()))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    bundle = {
        "mediaType": _BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": hashlib.sha256(public).hexdigest()}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _IN_TOTO,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    write_file(folder / SIGNATURE, json.dumps(bundle).encode())
    sync(folder)


def verify(folder: Path, key: PublicKey) -> str:
    """Check that the owner of `key` signed the files in a folder, and return the sha256 of the manifest among them.

    The manifest holds the sha256 of the other files: what is loaded with this manifest is what was signed. A file that
    was not signed is never read. Raises ModelError.
    """
    path = folder / SIGNATURE
    try:
        envelope = _decoded(path.read_bytes(), _Bundle, path).dsse_envelope
    except FileNotFoundError as error:
        raise ModelError(
            f"{folder} is not signed, and `verify_keyfile` is set: train again with `signing_keyfile`, or roll back"
        ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    if not any(_made_by(key, signed.sig, envelope) for signed in envelope.signatures):
        raise ModelError(f"{path} is no signature by the key in `verify_keyfile`: train again or roll back")
    statement = _decoded(envelope.payload, _Statement, path)
    if (envelope.payload_type, statement.predicate_type) != (_IN_TOTO, _PREDICATE):
        raise ModelError(f"{path} is signed, but is not the signature of a model: train again or roll back")
    digests = {resource.name: resource.digest for resource in statement.predicate.resources}
    for name, digest in {MANIFEST: "", **digests}.items():
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"{folder / name} cannot be read ({error.strerror}): train again or roll back") from error
        if found != digest:
            raise ModelError(f"{folder / name} is not what was signed: train again or roll back")
    return digests[MANIFEST]


def _made_by(key: PublicKey, signature: bytes, envelope: _Envelope) -> bool:
    try:
        key.verify(signature, _encoded(envelope.payload_type, envelope.payload), _algorithm(key))
    except InvalidSignature:
        return False
    return True


def _encoded(kind: str, payload: bytes) -> bytes:
    """What is signed of a DSSE envelope: its pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)


def _algorithm(key: PublicKey) -> ec.ECDSA:
    return ec.ECDSA(_HASHES[key.curve.name])


def _decoded(content: bytes, kind: type[T], path: Path) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({error}): train again or roll back") from error


def _unusable(option: str, path: str, error: Exception | None) -> ConfigurationError:
    reason = getattr(error, "strerror", None) or "it is not a PEM file with such a key, or has a password"
    return ConfigurationError(
        f"`{option}`: {path} cannot be used ({reason}): name a key that `openssl genpkey -algorithm EC -pkeyopt "
        "ec_paramgen_curve:P-256` has made, or its public half"
    )
