"""The compose file is valid and its services fit one another."""

import os
import shutil
import subprocess
from typing import Any

import pytest

from aestream.settings.serving import Http
from aestream.settings.settings import Worker
from tests.deploy.files import ADDRESSES, COMPOSE, DEPLOY, yaml_of
from tests.deploy.tools import run

FILE = yaml_of(COMPOSE)
SERVICES: dict[str, Any] = FILE["services"]
OURS = ("topics", "trainer", "worker")


def test_it_follows_the_compose_specification() -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_docker_accepts_it() -> None:
    docker = shutil.which("docker") or "false"
    if subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("Docker's compose plugin is not installed; the specification's schema is checked all the same")
    subprocess.run([docker, "compose", "-f", COMPOSE, "config", "--quiet"], check=True)


def test_every_reference_is_to_something_in_the_file() -> None:
    for service in SERVICES.values():
        assert set(service["networks"]) <= FILE["networks"].keys()
        assert set(service.get("depends_on", {})) <= SERVICES.keys()
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE.parent / source).is_dir()
            else:
                assert source in FILE["volumes"]


def test_who_must_be_healthy_says_how_to_find_out() -> None:
    for service in SERVICES.values():
        for name, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name]


def test_ports_are_open_to_this_machine_alone() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_worker_and_trainer_use_one_broker_one_topic_and_one_store() -> None:
    environments = [SERVICES[name]["environment"] for name in OURS]
    host, _, port = environments[0]["AESTREAM_KAFKA__BOOTSTRAP_SERVERS"].partition(":")
    for environment in environments:
        assert environment["AESTREAM_KAFKA__BOOTSTRAP_SERVERS"] == f"{host}:{port}"
        assert environment["AESTREAM_TOPICS__INPUT"] == environments[0]["AESTREAM_TOPICS__INPUT"]
    assert f"//{host}:{port}" in SERVICES[host]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    (written,), (read,) = SERVICES["trainer"]["volumes"], SERVICES["worker"]["volumes"]
    assert read == f"{written}:ro"


def test_a_stop_leaves_time_for_the_drain() -> None:
    assert float(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > Worker().drain_timeout


def test_prometheus_scrapes_worker_and_trainer() -> None:
    scraped = {}
    for job in yaml_of(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"]:
        (found,) = job["dns_sd_configs"]
        (host,) = found["names"]
        assert found["port"] == Http().port
        scraped[job["job_name"]] = host
    assert scraped == {"aestream-worker": "worker", "aestream-trainer": "trainer"}
    assert set(scraped.values()) <= SERVICES.keys()


def test_what_an_alert_leads_to_is_served() -> None:
    addresses = yaml_of(ADDRESSES)["groups"][0]["rules"][0]["labels"]
    prometheus = SERVICES["prometheus"]
    published = {name: service["ports"][0].split(":")[1] for name, service in SERVICES.items() if "ports" in service}
    assert addresses["grafana"] == f"http://localhost:{published['grafana']}"
    (assets,) = [word.partition("=")[2] for word in prometheus["command"] if word.startswith("--web.user-assets=")]
    served = dict(volume.split(":")[:2] for volume in prometheus["volumes"])
    folder = addresses["runbooks"].removeprefix(f"http://localhost:{published['prometheus']}/user")
    assert served["../runbooks"] == f"{assets}{folder}"
    # A link from a runbook to the guide leads there as well.
    assert served["../../docs"] == os.path.normpath(f"{assets}{folder}/../../docs")


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    provisioning = DEPLOY / "grafana/provisioning"
    (source,) = yaml_of(provisioning / "datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml_of(provisioning / "dashboards/aestream.yaml")["providers"]
    mounts = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    assert mounts["../grafana/dashboards"] == provider["options"]["path"]
    assert mounts["../grafana/provisioning"] == "/etc/grafana/provisioning"
