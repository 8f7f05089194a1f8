"""The systemd units are valid, confined, and fit one another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aestream.errors import ConfigurationError
from aestream.settings.serving import Http
from aestream.settings.settings import Worker
from tests.deploy.files import ROOT, UNITS
from tests.deploy.tools import run

pytestmark = pytest.mark.timeout(900)  # a tool may have to be installed first


def directives(unit: Path) -> dict[str, list[str]]:
    """The unit's settings; a repeated one has several values."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def copies(tmp_path: Path) -> list[Path]:
    """Copies of the units that call a program which exists, since `verify` asks for it.

    Nothing is installed in /opt/aestream here. Only that path differs from what users get.
    """
    program = tmp_path / "aestream"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    made = []
    for unit in UNITS:
        copy = tmp_path / unit.name
        copy.write_text(unit.read_text().replace("/opt/aestream/bin/aestream", str(program)))
        made.append(copy)
    return made


def test_there_is_a_unit_for_worker_and_trainer() -> None:
    assert [unit.name for unit in UNITS] == ["aestream-trainer.service", "aestream-worker.service"]


def test_systemd_accepts_the_units_without_a_warning(copies: list[Path]) -> None:
    assert run("systemd-analyze", "verify", "--man=no", *copies) == ""


def test_systemd_rates_the_confinement_as_good(copies: list[Path]) -> None:
    for unit in copies:
        # The threshold is in tenths, from 0 (closed) to 100.
        run("systemd-analyze", "security", "--offline=yes", "--threshold=20", unit)


def test_both_units_share_user_and_model_store_and_not_the_port() -> None:
    trainer, worker = map(directives, UNITS)
    for name in ("User", "DynamicUser", "StateDirectory"):
        assert trainer[name] == worker[name]
    store = "AESTREAM_MODEL__STORE=%S/aestream/models"
    assert store in trainer["Environment"]
    assert store in worker["Environment"]
    ports = [[e for e in unit["Environment"] if "HTTP__PORT" in e] for unit in (worker, trainer)]
    assert ports == [[], [f"AESTREAM_HTTP__PORT={Http().port + 1}"]]


def test_the_exit_status_of_a_wrong_configuration_is_the_services_own() -> None:
    for unit in map(directives, UNITS):
        assert "ExecStartPre" not in unit  # its failure has no exit status that could prevent a restart
        assert unit["RestartPreventExitStatus"] == [str(ConfigurationError.exit_code)]


def test_a_stop_leaves_time_for_the_drain() -> None:
    for unit in UNITS:
        (limit,) = directives(unit)["TimeoutStopSec"]
        assert float(limit) > Worker().drain_timeout


def test_a_credential_reaches_the_settings(tmp_path: Path) -> None:
    (loaded,) = directives(UNITS[1])["LoadCredential"]
    name, _, _folder = loaded.partition(":")
    # systemd.exec(5): each file of a folder becomes a credential, called by the name given and its own.
    (tmp_path / f"{name}_kafka__sasl_plain_password").write_text("from-a-credential\n")
    assert password(tmp_path) == "from-a-credential"


def test_a_secret_volume_of_kubernetes_reaches_the_settings(tmp_path: Path) -> None:
    # The kubelet's layout: the files are links through a hidden link to a hidden folder that it swaps.
    variable = "AESTREAM_KAFKA__SASL_PLAIN_PASSWORD"
    hidden = tmp_path / "..2026_01_01_00_00_00.1"
    hidden.mkdir()
    (hidden / variable).write_text("from-a-volume")
    (tmp_path / "..data").symlink_to(hidden.name)
    (tmp_path / variable).symlink_to(f"..data/{variable}")
    assert password(tmp_path) == "from-a-volume"


def password(folder: Path) -> str:
    """The password that a process finds which starts with this folder of secrets."""
    code = "from aestream.settings import settings; print(settings.load().kafka.sasl_plain_password.get_secret_value())"
    environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
