"""What the tests of a service's parts share."""

from __future__ import annotations

import pytest

from aestream.service import ledger as ledgers
from aestream.service import take_over as take_overs
from tests.unit.service.clock import Clock


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a ledger write a round every few batches, an entity at a time; after a kill, only what is kept can help."""
    monkeypatch.setattr(ledgers, "_SECONDS", 0.0)
    monkeypatch.setattr(ledgers, "_SHARE", 1e9)
    monkeypatch.setattr(ledgers, "_AT_ONCE", 1)
    monkeypatch.setattr(take_overs, "_SEEN_AGAIN", 0)


@pytest.fixture
def clock() -> Clock:
    return Clock()
