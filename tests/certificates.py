"""Certificates for a broker on this machine and its clients, by openssl, and lists of what is revoked."""

from __future__ import annotations

import subprocess
from pathlib import Path

CLIENT = "scorer"  # the name in the client's certificate
CLIENT_PASSWORD = "client-key-secret"  # noqa: S105 - of a key that lives as long as the tests
_AUTHORITY = """[ca]
default_ca = all
[all]
database = index.txt
new_certs_dir = .
default_md = sha256
default_crl_days = 30
default_days = 30
policy = any
rand_serial = yes
copy_extensions = copy
[any]
commonName = supplied
"""


def make(folder: Path) -> None:
    """Write authority.pem, and what it has signed: broker.pem (key and chain), client.pem with its encrypted key.

    Also none-revoked.pem and broker-revoked.pem, and stranger.pem with its key, whom nobody trusts.
    """
    (folder / "ca.cnf").write_text(_AUTHORITY)
    (folder / "index.txt").write_text("")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    def authority(*arguments: str) -> None:
        openssl("ca", "-batch", "-config", "ca.cnf", "-cert", "authority.pem", "-keyfile", "authority.key", *arguments)

    for name in ("authority", "stranger"):
        key = ["-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key"]
        openssl("req", "-x509", *key, "-subj", f"/CN={name}", "-days", "30", "-out", f"{name}.pem")
    names = "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost"
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", "broker.key"]
    openssl("req", *key, "-subj", "/CN=broker", "-addext", names, "-out", "broker.csr")
    authority("-in", "broker.csr", "-out", "broker.crt", "-notext")
    key = ["-newkey", "rsa:2048", "-passout", f"pass:{CLIENT_PASSWORD}", "-keyout", "client.key"]
    openssl("req", *key, "-subj", f"/CN={CLIENT}", "-out", "client.csr")
    authority("-in", "client.csr", "-out", "client.pem", "-notext")
    authority("-gencrl", "-out", "none-revoked.pem")
    authority("-revoke", "broker.crt")
    authority("-gencrl", "-out", "broker-revoked.pem")
    parts = [(folder / name).read_text() for name in ("broker.key", "broker.crt", "authority.pem")]
    (folder / "broker.pem").write_text("".join(parts))
