"""A worker that waits and a trainer that dies, as the pager shows them: real Prometheus, real Alertmanager."""

import json
import re
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.deploy.files import ADDRESSES, DEPLOY, ROOT, RULES, yaml_of
from tests.deploy.tools import run, tool
from tests.kafka.cluster import wait_for
from tests.kafka.service import Service

pytestmark = pytest.mark.timeout(900)  # the programs may have to be fetched first

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_FASTER = 60  # minutes of the rules are seconds here


class Pager:
    """Prometheus with the project's rules, and an Alertmanager that it tells."""

    def __init__(self, folder: Path, targets: dict[str, str]) -> None:
        self._folder = folder
        self.prometheus, self._alertmanager = (f"127.0.0.1:{port}" for port in free_ports(2))
        scraped = [{"job_name": job, "static_configs": [{"targets": [at]}]} for job, at in targets.items()]
        told = {"alertmanagers": [{"static_configs": [{"targets": [self._alertmanager]}]}]}
        configuration = yaml_of(DEPLOY / "prometheus/prometheus.yml")
        configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        configuration |= {"scrape_configs": scraped, "alerting": told}
        self._write("prometheus.yml", configuration)
        self._write("alerts.yml", faster(yaml_of(RULES)))
        addresses = ADDRESSES.read_text().replace("localhost:9090", self.prometheus)
        (folder / "addresses.yml").write_text(addresses)
        route = {"receiver": "pager", "group_by": ["..."], "group_wait": "0s"}
        for served in ("docs", "deploy/runbooks"):
            shutil.copytree(ROOT / served, folder / "assets" / served)
        self._write("alertmanager.yml", {"route": route, "receivers": [{"name": "pager"}]})

    def start(self, stack: ExitStack) -> None:
        """Start both; the end of the stack stops them."""
        self._start(
            stack,
            "prometheus-alertmanager",
            f"--config.file={self._folder / 'alertmanager.yml'}",
            f"--storage.path={self._folder / 'alertmanager'}",
            f"--web.listen-address={self._alertmanager}",
            "--cluster.listen-address=",
        )
        self._start(
            stack,
            "prometheus",
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'tsdb'}",
            f"--web.listen-address={self.prometheus}",
            f"--web.user-assets={self._folder / 'assets'}",
        )

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """What Alertmanager has of an alert, as on-call asks for it."""
        url = f"--alertmanager.url=http://{self._alertmanager}"
        command = [tool("amtool"), url, "alert", "query", "--output=json", f"alertname={name}"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        found: list[dict[str, Any]] = json.loads(asked.stdout) if asked.returncode == 0 else []
        return found

    def until(self, name: str, instance: str) -> dict[str, str]:
        """Wait for the alert of a process; return its annotations."""

        def look() -> dict[str, str] | None:
            found = [alert for alert in self.alerts(name) if alert["labels"].get("instance") == instance]
            return found[0]["annotations"] if found else None

        annotations: dict[str, str] = wait_for(f"{name} of {instance}", look, seconds=120, context=self._logs)
        return annotations

    def _write(self, name: str, content: object) -> None:
        (self._folder / name).write_text(yaml.safe_dump(content))

    def _start(self, stack: ExitStack, name: str, *arguments: str) -> None:
        log = stack.enter_context((self._folder / f"{name}.log").open("wb"))
        process = subprocess.Popen([tool(name), *arguments], cwd=self._folder, stdout=log, stderr=log)
        stack.callback(process.wait)
        stack.callback(process.kill)

    def _logs(self) -> str:
        return "\n".join(log.read_text(errors="replace")[-3000:] for log in self._folder.glob("p*.log"))


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody has at the moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [made.getsockname()[1] for made in sockets]


def faster(rules: dict[str, Any]) -> dict[str, Any]:
    """The same rules with every duration divided."""

    def short(text: str) -> str:
        return re.sub(
            r"\b(\d+)([smhd])\b", lambda found: f"{int(found[1]) * _SECONDS[found[2]] // _FASTER or 1}s", text
        )

    for group in rules["groups"]:
        for rule in group["rules"]:
            rule |= {part: short(rule[part]) for part in ("expr", "for") if part in rule}
    return rules


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own Prometheus
        text: str = answer.read().decode()
        return text


def address(service: Service) -> str:
    return service.logged(r"metrics at http://(\S+)/metrics")[1]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[tuple[Service, Service]]:
    """A worker that waits for a model, a trainer that never makes one; neither comes so far as to need a broker."""
    settings = {
        "kafka__bootstrap_servers": "127.0.0.1:1",
        "topics__input": "telemetry",
        "model__store": str(tmp_path / "models"),
        "trainer__schedule": "off",
    }
    with (
        Service(["worker"], settings=settings, folder=tmp_path) as worker,
        Service(["trainer"], settings=settings, folder=tmp_path) as trainer,
    ):
        yield worker, trainer


def test_the_rules_are_the_same_ones_made_faster() -> None:
    (stalled,) = [
        r for g in faster(yaml_of(RULES))["groups"] for r in g["rules"] if r.get("alert") == "AestreamStalled"
    ]
    assert stalled["for"] == "3s"
    assert "aestream_consumer_lag_records[5s]" in stalled["expr"]


def test_the_pager_shows_who_is_not_ready_and_who_is_down(services: tuple[Service, Service], tmp_path: Path) -> None:
    # 1. A worker waits for a model for ever. Result: AestreamNotReady of the worker, of nobody else.
    # 2. Its runbook is where the alert says, and the table of commands where the runbook says.
    # 3. The trainer is killed, then the worker stopped. Result: an alert for each, named after what it is.
    worker, trainer = services
    worker.logged("waiting for a model")
    trainer.logged("next training only when asked for")
    at = {"aestream-worker": address(worker), "aestream-trainer": address(trainer)}
    pager = Pager(tmp_path, at)
    with ExitStack() as stack:
        pager.start(stack)
        shown = pager.until("AestreamNotReady", at["aestream-worker"])
        runbook_url = f"http://{pager.prometheus}/user/deploy/runbooks/AestreamNotReady.md"
        assert shown["summary"] == f"aestream-worker {at['aestream-worker']} is not ready"
        assert shown["runbook_url"] == runbook_url
        assert shown["dashboard_url"] == (
            "http://localhost:3000/d/aestream?viewPanel=2&var-job=aestream-worker"
            f"&var-instance={quote(at['aestream-worker'])}"
        )
        assert {alert["labels"]["job"] for alert in pager.alerts("AestreamNotReady")} == {"aestream-worker"}
        runbook = read(runbook_url)
        assert runbook == (DEPLOY / "runbooks/AestreamNotReady.md").read_text()
        assert read(f"http://{pager.prometheus}/user/docs/operations.md").startswith("# Operations\n")

        trainer.kill()
        shown = pager.until("AestreamTrainerDown", at["aestream-trainer"])
        assert shown["summary"] == f"aestream-trainer {at['aestream-trainer']} does not answer"
        assert shown["runbook_url"].endswith("/AestreamTrainerDown.md")

        assert worker.stop() == 0
        shown = pager.until("AestreamWorkerDown", at["aestream-worker"])
        assert shown["summary"] == f"aestream-worker {at['aestream-worker']} does not answer"
        assert shown["runbook_url"].endswith("/AestreamWorkerDown.md")


def test_amtool_accepts_the_route(tmp_path: Path) -> None:
    Pager(tmp_path, {})
    run("amtool", "check-config", tmp_path / "alertmanager.yml")
