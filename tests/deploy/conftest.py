"""What several of these tests share: a machine with a real systemd, booted once a session."""

import os
import re
from collections.abc import Iterator

import pytest

from tests.deploy.files import GUIDE
from tests.deploy.machine import Machine
from tests.deploy.tools import tool, unavailable


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which aestream was installed by the guide's own commands."""
    name = "systemd-nspawn"
    program = tool(name)
    if os.geteuid():
        unavailable(name, "only root may boot a container")
    booted = Machine(program, tmp_path_factory.mktemp("machine"))
    try:
        booted.start()
    except OSError as error:
        unavailable(name, f"no container boots here: {error}")
    try:
        for command in re.findall(r"^(?:install|systemctl daemon-reload).*$", GUIDE.read_text(), re.MULTILINE):
            booted.run("sh", "-c", command)
        yield booted
    finally:
        booted.stop()


@pytest.fixture
def services(machine: Machine) -> Iterator[Machine]:
    """The machine with settings of its own for this test and no service running: it begins and ends so."""
    machine.write("/etc/default/aestream", SETTINGS)
    yield machine
    machine.run("systemctl", "stop", "aestream-worker", "aestream-trainer")
    machine.run("systemctl", "reset-failed")
    for path in ("/etc/default/aestream-worker", "/etc/default/aestream-trainer"):
        machine.file(path).unlink(missing_ok=True)
    machine.run("sh", "-c", "rm -rf /etc/systemd/system/*.d /etc/aestream /var/lib/private/aestream/models")
    machine.run("systemctl", "daemon-reload")


# No broker listens on port 1. Worker and trainer listen on free ports: the network is that of the machine around.
SETTINGS = """\
AESTREAM_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:1
AESTREAM_KAFKA__BOOTSTRAP_TIMEOUT_MS=500
AESTREAM_TOPICS__INPUT=telemetry
AESTREAM_MODEL__POLL_INTERVAL=24h
AESTREAM_TRAINER__SCHEDULE=off
AESTREAM_HTTP__PORT=0
"""
