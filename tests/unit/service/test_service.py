"""What the probes and the service manager hear of a service, over a real socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aestream.service.service import Service


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_a_life_as_the_service_manager_and_the_probes_hear_it(manager: socket.socket) -> None:
    service = Service(stale_after=60)
    assert service.health.ready() == (False, "waiting: starting")
    service.started("scoring")
    assert manager.recv(100) == b"READY=1\nSTATUS=scoring"
    assert not service.health.ready()[0]  # whether it is ready for traffic is another question
    service.wait_for(None)
    assert service.health.ready() == (True, "ready")
    service.beat()
    assert manager.recv(100) == b"WATCHDOG=1"
    service.stopping()
    assert manager.recv(100) == b"STOPPING=1"
    assert service.health.ready() == (False, "waiting: shutting down")


def test_a_service_that_does_not_beat_is_not_live(manager: socket.socket) -> None:
    service = Service(stale_after=0.05)
    time.sleep(0.1)
    assert not service.health.live()[0]
    service.beat()
    assert service.health.live()[0]
    assert manager.recv(100) == b"WATCHDOG=1"


def test_there_is_time_to_drain_until_the_timeout_after_the_stop() -> None:
    service = Service(stale_after=60)
    assert service.draining(0)
    service.stop.set()
    assert service.draining(60)
    assert not service.draining(0)


def test_the_same_after_an_error(manager: socket.socket) -> None:
    service = Service(stale_after=60)
    service.stopping()
    assert manager.recv(100) == b"STOPPING=1"
    assert service.draining(60)
    assert not service.draining(0)
