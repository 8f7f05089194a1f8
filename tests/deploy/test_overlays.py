"""The overlays of the guide build, and two installations in one namespace leave one another alone."""

import shutil
from itertools import chain
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from aestream.app import clients
from aestream.settings.settings import load
from tests.deploy.files import BASE, kustomizations
from tests.deploy.tools import run

pytestmark = pytest.mark.timeout(900)  # kustomize may have to be compiled first

Manifest = dict[str, Any]
TEMPLATES = ("Deployment", "StatefulSet")


@pytest.fixture(scope="module")
def installations(tmp_path_factory: pytest.TempPathFactory) -> list[list[Manifest]]:
    """What the guide's overlays build from a folder beside the clone."""
    folder = tmp_path_factory.mktemp("overlays")
    shutil.copytree(BASE, folder / "aestream" / BASE.relative_to(BASE.parents[2]))
    built = []
    for number, text in enumerate(kustomizations()):
        overlay = folder / str(number)
        overlay.mkdir()
        (overlay / "kustomization.yaml").write_text(text)
        built.append(list(yaml.safe_load_all(run("kustomize", "build", overlay))))
    return built


def name(manifest: Manifest) -> str:
    found: str = manifest["metadata"]["name"]
    return found


def selectors(manifest: Manifest) -> list[dict[str, str]]:
    """All by which an object selects pods: services by labels alone, the others by matchLabels."""
    spec = manifest.get("spec", {})
    found = [spec["selector"]] if "selector" in spec else []
    if manifest["kind"] in TEMPLATES:
        spread = spec["template"]["spec"].get("topologySpreadConstraints", [])
        found += [constraint["labelSelector"] for constraint in spread]
    return [selector.get("matchLabels", selector) for selector in found]


def test_every_object_is_valid_and_in_one_namespace(installations: list[list[Manifest]]) -> None:
    assert len(installations) == 2
    for manifest in list(chain(*installations)):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
        assert manifest["metadata"]["namespace"] == "monitoring"


def test_no_object_of_one_overwrites_one_of_the_other(installations: list[list[Manifest]]) -> None:
    first, second = ({(m["kind"], name(m)) for m in installation} for installation in installations)
    assert len(first) == len(second) == len(installations[0])
    assert not first & second


def test_nothing_selects_pods_of_the_other(installations: list[list[Manifest]]) -> None:
    everything = list(chain(*installations))
    pods = {name(m): m["spec"]["template"]["metadata"]["labels"] for m in everything if m["kind"] in TEMPLATES}
    assert len(pods) == 4
    counted = 0
    for manifest in everything:
        for selector in selectors(manifest):
            assert [n for n, labels in pods.items() if selector.items() <= labels.items()] == [name(manifest)]
            counted += 1
    assert counted == 2 * 6  # per installation: two workloads, a constraint, two services, a disruption budget


def test_pods_use_nothing_of_the_other(installations: list[list[Manifest]]) -> None:
    secrets = []
    for installation in installations:
        own = {name(m) for m in installation}
        for manifest in (m for m in installation if m["kind"] in TEMPLATES):
            pod = manifest["spec"]["template"]["spec"]
            volumes = {volume["name"]: volume for volume in pod["volumes"]}
            claim = volumes["models"]["persistentVolumeClaim"]["claimName"]
            (configured,) = pod["containers"][0]["envFrom"]
            used = {pod["serviceAccountName"], configured["configMapRef"]["name"], claim}
            assert used | {manifest["spec"].get("serviceName", claim)} <= own
            secrets.append(volumes["secrets"]["secret"])
    assert [secret["secretName"] for secret in secrets] == [*2 * ["aestream"], *2 * ["aestream-orders"]]
    assert all(secret["optional"] for secret in secrets)


def test_they_share_neither_group_nor_topics(
    installations: list[list[Manifest]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    used = []
    for installation in installations:
        (configuration,) = [m for m in installation if m["kind"] == "ConfigMap"]
        with monkeypatch.context() as environment:
            for variable, value in configuration["data"].items():
                environment.setenv(variable, value)
            found = load()
        topics = found.topics
        used.append({clients.group_id(found), *topics.input, topics.scores, topics.anomalies, topics.dead_letters})
    assert [len(names) for names in used] == [5, 5]
    assert not used[0] & used[1]
