"""TLS to the brokers: kafka-python's own settings lack ciphers, and fail with a list of revoked certificates."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aestream.errors import ConfigurationError


def tls_context(
    *,
    ssl_cafile: str | None = None,
    ssl_certfile: str | None = None,
    ssl_keyfile: str | None = None,
    ssl_password: str | None = None,
    ssl_crlfile: str | None = None,
    ssl_ciphers: str | None = None,
    ssl_check_hostname: bool = True,
) -> ssl.SSLContext:
    """What the client trusts and presents. Without `ssl_cafile` it trusts the authorities that the system trusts.

    Raises ConfigurationError for a file that cannot be used.
    """
    with _named("`ssl_cafile`", ssl_cafile):
        context = ssl.create_default_context(cafile=ssl_cafile)
    context.check_hostname = ssl_check_hostname
    if ssl_certfile is not None:
        files = ", ".join(filter(None, (ssl_certfile, ssl_keyfile)))
        with _named("`ssl_certfile`, `ssl_keyfile` or `ssl_password`", files):
            context.load_cert_chain(ssl_certfile, ssl_keyfile, ssl_password or "")  # None would ask on the terminal
    if ssl_crlfile is not None:
        with _named("`ssl_crlfile`", ssl_crlfile):
            context.load_verify_locations(ssl_crlfile)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    if ssl_ciphers is not None:
        with _named("`ssl_ciphers`", ssl_ciphers):
            context.set_ciphers(ssl_ciphers)
    return context


@contextmanager
def _named(options: str, value: str | None) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{options}: {value} cannot be used ({reason})") from error
