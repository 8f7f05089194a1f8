"""The units on a real systemd: started, misconfigured, reloaded, stuck, stopped."""

import pytest

from tests.deploy.conftest import SETTINGS
from tests.deploy.machine import Machine, wait_until
from tests.kafka import records

pytestmark = pytest.mark.timeout(900)  # a package may have to be installed first, and a machine booted

BOTH = pytest.mark.parametrize("service", ["worker", "trainer"])


def state(machine: Machine, service: str, *names: str) -> list[str]:
    """Properties of a unit, in the order asked for."""
    unit = f"aestream-{service}"
    return [machine.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip() for name in names]


def said(machine: Machine, service: str) -> list[str]:
    """What the process of the last start wrote, by line; systemd's own lines left out."""
    (invocation,) = state(machine, service, "InvocationID")
    wrote = machine.run(
        "journalctl", "--output=cat", f"_SYSTEMD_INVOCATION_ID={invocation}", "SYSLOG_IDENTIFIER=aestream"
    )
    return wrote.stdout.splitlines()


def train(machine: Machine) -> None:
    """Put a model into the services' store, as the guide has it; it is kept for the next test that needs one."""
    kept, store = "/srv/models", "/var/lib/private/aestream/models"
    if not machine.file(kept).exists():
        machine.write("/srv/records.jsonl", "\n".join(records.lines(600)) + "\n")
        machine.run("aestream-run", "train", "/srv/records.jsonl")
        machine.run("cp", "--archive", store, kept)
    machine.run("cp", "--archive", "--no-target-directory", kept, store)


@BOTH
def test_a_wrong_configuration_fails_once_and_says_in_one_line_why(services: Machine, service: str) -> None:
    services.write("/etc/default/aestream", SETTINGS.replace("AESTREAM_TOPICS__INPUT=telemetry", ""))
    assert services.run("systemctl", "start", f"aestream-{service}", check=False).returncode == 1
    # A unit that will be started anew is "activating", not "failed".
    names = ("ActiveState", "Result", "ExecMainStatus", "NRestarts")
    assert state(services, service, *names) == ["failed", "exit-code", "2", "0"]
    assert said(services, service) == [
        f"aestream {service}: AESTREAM_TOPICS__INPUT is not set: name the topic to read, e.g. telemetry"
    ]


def test_a_worker_is_ready_for_systemd_while_it_waits_for_a_model_and_stops_in_order(services: Machine) -> None:
    services.run("systemctl", "start", "aestream-worker")
    assert state(services, "worker", "ActiveState", "StatusText") == ["active", "waiting for a model"]
    services.run("systemctl", "stop", "aestream-worker")
    assert state(services, "worker", "ActiveState", "Result", "ExecMainStatus") == ["inactive", "success", "0"]


@BOTH
def test_without_a_folder_of_credentials_a_unit_starts(services: Machine, service: str) -> None:
    services.run("rm", "-rf", "/etc/aestream")
    services.run("systemctl", "start", f"aestream-{service}")
    assert state(services, service, "ActiveState") == ["active"]


@BOTH
def test_a_credential_reaches_the_service(services: Machine, service: str) -> None:
    login = ["SECURITY_PROTOCOL=SASL_PLAINTEXT", "SASL_MECHANISM=PLAIN", "SASL_PLAIN_USERNAME=ann"]
    services.write("/etc/default/aestream", SETTINGS + "".join(f"AESTREAM_KAFKA__{line}\n" for line in login))
    assert services.run("systemctl", "start", f"aestream-{service}", check=False).returncode == 1
    assert said(services, service) == [
        f"aestream {service}: AESTREAM_KAFKA__SASL_PLAIN_PASSWORD is not set: PLAIN needs it"
    ]
    services.write("/etc/aestream/credentials/kafka__sasl_plain_password", "from-a-credential\n", 0o600)
    services.run("systemctl", "start", f"aestream-{service}")
    assert state(services, service, "ActiveState") == ["active"]


def test_a_reload_of_the_worker_looks_for_a_model_at_once(services: Machine) -> None:
    services.run("systemctl", "start", "aestream-worker")
    before = state(services, "worker", "MainPID", "InvocationID")
    train(services)
    assert not any("is loaded" in line for line in said(services, "worker"))
    services.run("systemctl", "reload", "aestream-worker")
    wait_until(lambda: any("is loaded" in line for line in said(services, "worker")))
    assert state(services, "worker", "InvocationID") == before[1:]


def test_a_reload_of_the_trainer_trains_at_once_and_does_not_end_it(services: Machine) -> None:
    services.run("systemctl", "start", "aestream-trainer")
    before = state(services, "trainer", "MainPID", "InvocationID")
    assert not any("training failed" in line for line in said(services, "trainer"))
    services.run("systemctl", "reload", "aestream-trainer")
    # It begins a run, which cannot reach the broker.
    wait_until(lambda: any("training failed" in line for line in said(services, "trainer")))
    assert state(services, "trainer", "ActiveState", "MainPID", "InvocationID") == ["active", *before]


def test_a_worker_without_a_broker_is_started_anew(services: Machine) -> None:
    train(services)
    services.run("systemctl", "start", "aestream-worker", check=False)
    wait_until(lambda: state(services, "worker", "SubState") == ["auto-restart"])
    assert state(services, "worker", "Result", "ExecMainStatus") == ["exit-code", "1"]
    assert "127.0.0.1:1: connection refused" in said(services, "worker")[-1]


@BOTH
def test_a_service_that_makes_no_progress_is_started_anew(services: Machine, service: str) -> None:
    lines = "[Service]\nWatchdogSec=5\nRestartSec=0\nTimeoutAbortSec=1\n"
    services.write(f"/etc/systemd/system/aestream-{service}.service.d/watchdog.conf", lines)
    services.run("systemctl", "daemon-reload")
    services.run("systemctl", "start", f"aestream-{service}")
    # Its heartbeats keep it running for longer than the watchdog waits.
    fed = state(services, service, "WatchdogTimestampMonotonic")
    wait_until(lambda: int(state(services, service, "WatchdogTimestampMonotonic")[0]) > int(fed[0]) + 6_000_000)
    assert state(services, service, "ActiveState", "NRestarts") == ["active", "0"]
    services.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", f"aestream-{service}")
    wait_until(lambda: state(services, service, "NRestarts", "ActiveState") == ["1", "active"], 90)
