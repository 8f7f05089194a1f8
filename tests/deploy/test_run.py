"""`aestream-run`, the way to run a command as a service does, on a real systemd."""

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.deploy.conftest import SETTINGS
from tests.deploy.files import DEPLOY, GUIDE, UNITS
from tests.deploy.machine import Machine, wait_until
from tests.deploy.test_services import BOTH, state, train
from tests.deploy.test_systemd import directives

pytestmark = pytest.mark.timeout(900)

# What a unit says of its own life as a service, which a command does not have; and what is carried in another way.
OF_A_SERVICE = {
    *("Type", "NotifyAccess", "WatchdogSec", "ExecStart", "ExecReload", "Restart", "RestartSec", "Nice", "KillMode"),
    *("RestartPreventExitStatus", "TimeoutStartSec", "TimeoutStopSec"),
    *("Description", "Wants", "After", "StartLimitIntervalSec", "WantedBy"),
    *("EnvironmentFile", "LoadCredential", "SetCredential"),
}


def carried() -> list[str]:
    """The properties that are carried over."""
    return re.findall(
        r"(?<=[=,])[A-Z]\w+(?=[,\n])", (DEPLOY / "systemd/aestream-run").read_text().partition("fail()")[0]
    )


def running(machine: Machine, *options: str) -> list[str]:
    """The units of commands that run."""
    asked = ("list-units", "--all", "--plain", "--no-legend", *options, "aestream-run-*")
    return [line.split()[0] for line in machine.run("systemctl", *asked).stdout.splitlines()]


def started(machine: Machine) -> str:
    """The unit of the one command that runs, once it has begun."""
    found: list[str] = []

    def one() -> bool:
        found[:] = running(machine, "--state=running")  # not one that has ended, and is about to go
        return len(found) == 1

    wait_until(one)
    return found[0]


@pytest.fixture
def command(services: Machine) -> Iterator[list[subprocess.Popen[str]]]:
    """Commands to be ended after the test."""
    made: list[subprocess.Popen[str]] = []
    yield made
    for process in made:
        process.kill()
        process.wait()
    services.run("sh", "-c", "systemctl stop 'aestream-run-*'")


def begin(
    machine: Machine, *words: str, stdin: int | None = None, stdout: int | None = None, stderr: int | None = None
) -> subprocess.Popen[str]:
    command = machine.inside("aestream-run", *words)
    return subprocess.Popen(command, text=True, start_new_session=True, stdin=stdin, stdout=stdout, stderr=stderr)


def test_every_directive_of_the_units_is_carried_over() -> None:
    for unit in UNITS:
        assert not set(directives(unit)) - set(carried()) - OF_A_SERVICE


def test_the_guide_has_the_table_that_each_runbook_leads_to() -> None:
    (_, section) = GUIDE.read_text().split("\n## Running a command as the service does\n")
    table = [line.split(" | ") for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    assert [row[0] for row in table] == ["| where", "| systemd", "| Kubernetes", "| compose"]


def test_a_command_has_the_store_of_the_services_running_or_not(services: Machine) -> None:
    assert "no versions yet" in services.run("aestream-run", "model", "list").stdout
    train(services)
    version = services.file("/var/lib/private/aestream/models/default/current").read_text().strip()
    services.run("systemctl", "start", "aestream-trainer")
    assert version in services.run("aestream-run", "model", "list").stdout
    owner = services.file("/var/lib/private/aestream/models").stat().st_uid
    (pid,) = state(services, "trainer", "MainPID")
    assert services.run("stat", "--format=%u", f"/proc/{pid}").stdout == f"{owner}\n"


@BOTH
def test_a_command_has_all_that_the_unit_and_its_drop_ins_say(
    services: Machine, service: str, command: list[subprocess.Popen[str]]
) -> None:
    drop_in = """[Service]
Environment='AESTREAM_FEATURES__EXCLUDE=a b,"c",50%%,$x' AESTREAM_LOG__LEVEL=warning
EnvironmentFile=/etc/default/more
LoadCredential=aestream_kafka__ssl_password:/srv/password
SupplementaryGroups=adm
PrivateDevices=no
"""
    services.write("/etc/default/more", "AESTREAM_MODEL__NAME=more\n")
    services.write("/srv/password", "hunter2", 0o600)
    services.write(f"/etc/systemd/system/aestream-{service}.service.d/more.conf", drop_in)
    services.write(f"/etc/default/aestream-{service}", "AESTREAM_WORKER__THREADS=3\n")
    services.run("systemctl", "daemon-reload")
    shown = services.run("aestream-run", "--as", service, "config").stdout.splitlines()
    assert 'AESTREAM_FEATURES__EXCLUDE=a b,"c",50%,$x' in shown
    assert "AESTREAM_MODEL__NAME=more" in shown
    assert "AESTREAM_WORKER__THREADS=3" in shown
    assert any(line.startswith("AESTREAM_KAFKA__SSL_PASSWORD=***") for line in shown)
    command.append(begin(services, "--as", service, service))
    unit = started(services)
    asked = ("systemctl", "show", f"--property={','.join(carried())}")
    assert services.run(*asked, unit).stdout == services.run(*asked, f"aestream-{service}").stdout


def test_the_words_of_a_command_are_passed_on_as_they_are(services: Machine) -> None:
    words = "$HOME,${HOME},$$,50%h,a b,'c',\\n,^x.*$"
    assert (
        f"AESTREAM_FEATURES__EXCLUDE={words}\n"
        in services.run("aestream-run", "config", "--set", f"features.exclude={words}").stdout
    )


def test_a_credential_reaches_a_command(services: Machine) -> None:
    assert "AESTREAM_KAFKA__SASL_PLAIN_PASSWORD=\n" in services.run("aestream-run", "config").stdout
    services.write("/etc/aestream/credentials/kafka__sasl_plain_password", "hunter2\n", 0o600)
    shown = services.run("aestream-run", "config").stdout
    assert re.search(r"^AESTREAM_KAFKA__SASL_PLAIN_PASSWORD=\*+", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["model", "show", "none"], 1, "aestream model: "),
        (["train", "--set", "trainer.schedule"], 2, "aestream train: --set"),
        (["nonsense"], 2, "invalid choice: 'nonsense'"),
        ([], 2, "aestream-run: usage: "),
        (["--as"], 2, "aestream-run: --as accepts trainer or worker, not ''"),
        (["--as", "root", "config"], 2, "aestream-run: --as accepts trainer or worker, not 'root'"),
    ],
)
def test_it_ends_with_the_exit_code_of_the_command(services: Machine, words: list[str], code: int, text: str) -> None:
    done = services.run("aestream-run", *words, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr


def test_it_says_who_may_use_it_and_where(services: Machine) -> None:
    refused = services.run("setpriv", "--reuid=65534", "aestream-run", "model", "list", check=False)
    assert (refused.returncode, refused.stderr) == (
        2,
        "aestream-run: only root may act as the service: sudo aestream-run model list\n",
    )
    services.run("mv", "/etc/systemd/system/aestream-trainer.service", "/srv/")
    services.run("systemctl", "daemon-reload")
    try:
        missing = services.run("aestream-run", "model", "list", check=False)
        assert missing.returncode == 2
        assert missing.stderr.startswith("aestream-run: aestream-trainer.service is not installed on this host")
        services.run("aestream-run", "--as", "worker", "config")
    finally:
        services.run("mv", "/srv/aestream-trainer.service", "/etc/systemd/system/")
        services.run("systemctl", "daemon-reload")


def test_output_goes_into_a_pipe(services: Machine) -> None:
    train(services)
    record = services.file("/srv/records.jsonl").read_text().splitlines()[0]
    services.write("/srv/one.jsonl", record + "\n")
    done = services.run("sh", "-c", "aestream-run score /srv/one.jsonl --format jsonl | cat")
    assert json.loads(done.stdout)["row"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_without_a_terminal(
    services: Machine, command: list[subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = begin(services, "worker", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    command.append(process)
    assert process.stderr is not None
    assert any("waiting for a model" in line for line in process.stderr)
    os.killpg(process.pid, number)
    wait_until(lambda: running(services) == [])
    assert process.wait(60) != 0


def test_on_a_terminal_a_command_is_interactive(services: Machine, command: list[subprocess.Popen[str]]) -> None:
    services.write("/etc/default/aestream", SETTINGS + "AESTREAM_LOG__FORMAT=auto\n")
    ours, theirs = pty.openpty()
    command.append(begin(services, "worker", stdin=theirs, stdout=theirs, stderr=theirs))
    os.close(theirs)
    seen = ""
    while "waiting for a model" not in seen:
        seen += os.read(ours, 4096).decode()
    assert '{"time"' not in seen  # lines for people, since it is a terminal for the command too
    os.write(ours, b"\x03")
    wait_until(lambda: running(services) == [])
    assert command[0].wait(60) == 0  # Ctrl-C reached the worker, which stopped in order
    os.close(ours)
