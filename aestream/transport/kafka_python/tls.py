"""TLS to the brokers: kafka-python's own settings know no ciphers, and fail on a list of revoked certificates."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aestream.errors import ConfigurationError


def tls_context(
    *,
    cafile: str | None = None,
    certfile: str | None = None,
    keyfile: str | None = None,
    password: str | None = None,
    crlfile: str | None = None,
    ciphers: str | None = None,
    check_hostname: bool = True,
) -> ssl.SSLContext:
    """What the client trusts and shows. Without `cafile` it trusts whom the system trusts.

    Raises ConfigurationError for a file that cannot be used.
    """
    with _named("CAFILE", cafile):
        context = ssl.create_default_context(cafile=cafile)
    context.check_hostname = check_hostname
    if certfile is not None:
        with _named("CERTFILE, __SSL_KEYFILE or __SSL_PASSWORD", ", ".join(filter(None, (certfile, keyfile)))):
            context.load_cert_chain(certfile, keyfile, password or "")  # without one it would ask the terminal
    if crlfile is not None:
        with _named("CRLFILE", crlfile):
            context.load_verify_locations(crlfile)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    if ciphers is not None:
        with _named("CIPHERS", ciphers):
            context.set_ciphers(ciphers)
    return context


@contextmanager
def _named(setting: str, value: str | None) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"AESTREAM_KAFKA__SSL_{setting}: {value} cannot be used ({reason})") from error
