"""The clients' settings."""

from __future__ import annotations

import pytest

from aestream.app import clients
from aestream.settings.settings import Settings


@pytest.mark.parametrize(("chosen", "later"), [("3600000", 30_000), ("2000", 2_000)])
def test_only_the_first_contact_may_take_as_long_as_one_likes(
    chosen: str, later: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AESTREAM_KAFKA__BOOTSTRAP_SERVERS", "localhost:9092")
    monkeypatch.setenv("AESTREAM_KAFKA__BOOTSTRAP_TIMEOUT_MS", chosen)
    settings = Settings()
    assert clients.connection(settings)["bootstrap_timeout_ms"] == int(chosen)
    assert clients.connection(clients.in_contact(settings))["bootstrap_timeout_ms"] == later
