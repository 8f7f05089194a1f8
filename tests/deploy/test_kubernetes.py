"""The kustomize base builds, validates, and its parts fit one another."""

from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import kubernetes_validate
import pytest
import yaml
from prometheus_client import CollectorRegistry

from aestream.service.endpoints import HttpServer
from aestream.service.health import Health
from aestream.settings.serving import Http
from aestream.settings.settings import Worker
from tests.deploy.files import BASE
from tests.deploy.tools import run

pytestmark = pytest.mark.timeout(900)  # kustomize may have to be compiled first

Manifest = dict[str, Any]
PARTS = {"aestream-worker": "StatefulSet", "aestream-trainer": "Deployment"}


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    return list(yaml.safe_load_all(run("kustomize", "build", BASE)))


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [m for m in manifests if m["kind"] == kind]


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    found = [m for m in manifests if "template" in m.get("spec", {})]
    assert {m["metadata"]["name"]: m["kind"] for m in found} == PARTS
    return found


def pod(manifest: Manifest) -> Manifest:
    spec: Manifest = manifest["spec"]["template"]["spec"]
    return spec


def container(manifest: Manifest) -> Manifest:
    (only,) = pod(manifest)["containers"]
    found: Manifest = only
    return found


def test_every_manifest_is_valid(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_the_base_names_no_namespace(manifests: list[Manifest]) -> None:
    assert not [m["metadata"]["name"] for m in manifests if "namespace" in m["metadata"]]


def test_every_object_has_the_recommended_labels(manifests: list[Manifest]) -> None:
    wanted = {f"app.kubernetes.io/{n}" for n in ("name", "instance", "version", "part-of", "managed-by")}
    for manifest in manifests:
        assert wanted <= manifest["metadata"]["labels"].keys()
    for workload in workloads(manifests):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert wanted | {"app.kubernetes.io/component"} <= labels.keys()


def test_selectors_find_their_own_pods_alone(manifests: list[Manifest]) -> None:
    pods = {w["metadata"]["name"]: w["spec"]["template"]["metadata"]["labels"] for w in workloads(manifests)}
    selecting = [m for m in manifests if "selector" in m.get("spec", {})]
    assert sorted(m["kind"] for m in selecting) == [
        "Deployment", "PodDisruptionBudget", "Service", "Service", "StatefulSet",
    ]  # fmt: skip
    for manifest in selecting:
        selector = manifest["spec"]["selector"]
        selector = selector.get("matchLabels", selector)
        found = [name for name, labels in pods.items() if selector.items() <= labels.items()]
        assert found == [manifest["metadata"]["name"]]


def test_a_drain_may_take_every_worker_that_is_not_ready(manifests: list[Manifest]) -> None:
    (budget,) = of_kind(manifests, "PodDisruptionBudget")
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_a_pods_name_is_its_static_member_id(manifests: list[Manifest]) -> None:
    (worker,) = of_kind(manifests, "StatefulSet")
    given = {e["name"]: e for e in container(worker)["env"]}
    source = given["AESTREAM_KAFKA__GROUP_INSTANCE_ID"]["valueFrom"]
    assert source == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert worker["spec"]["serviceName"] in [s["metadata"]["name"] for s in of_kind(manifests, "Service")]


def test_there_are_never_two_trainers(manifests: list[Manifest]) -> None:
    (trainer,) = of_kind(manifests, "Deployment")
    assert trainer["spec"]["replicas"] == 1
    assert trainer["spec"]["strategy"] == {"type": "Recreate"}


def test_every_setting_comes_from_the_generated_config_map(manifests: list[Manifest]) -> None:
    (configuration,) = of_kind(manifests, "ConfigMap")
    name = configuration["metadata"]["name"]
    for workload in workloads(manifests):
        assert container(workload)["envFrom"] == [{"configMapRef": {"name": name}}]


def test_the_trainer_writes_the_store_and_the_worker_only_reads_it(manifests: list[Manifest]) -> None:
    (configuration,), (claim,) = of_kind(manifests, "ConfigMap"), of_kind(manifests, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    read_only = {}
    for workload in workloads(manifests):
        (mount,) = [m for m in container(workload)["volumeMounts"] if m["name"] == "models"]
        (volume,) = [v for v in pod(workload)["volumes"] if v["name"] == "models"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert configuration["data"]["AESTREAM_MODEL__STORE"].startswith(mount["mountPath"])
        read_only[workload["metadata"]["name"]] = mount.get("readOnly", False)
    assert read_only == {"aestream-worker": True, "aestream-trainer": False}


def test_pods_meet_the_restricted_standard(manifests: list[Manifest]) -> None:
    for workload in workloads(manifests):
        security, inner = pod(workload)["securityContext"], container(workload)["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert inner["allowPrivilegeEscalation"] is False
        assert inner["readOnlyRootFilesystem"] is True
        assert inner["capabilities"] == {"drop": ["ALL"]}
        assert pod(workload)["automountServiceAccountToken"] is False
        assert "/tmp" in [m["mountPath"] for m in container(workload)["volumeMounts"]]  # noqa: S108
        kinds = {next(k for k in v if k != "name") for v in pod(workload)["volumes"]}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}


def test_the_grace_period_is_longer_than_the_drain(manifests: list[Manifest]) -> None:
    for workload in workloads(manifests):
        assert pod(workload)["terminationGracePeriodSeconds"] > Worker().drain_timeout


def test_probes_ask_paths_that_are_served(manifests: list[Manifest]) -> None:
    health = Health(stale_after=60)
    server = HttpServer("127.0.0.1", 0, health=health, registry=CollectorRegistry(), version="0")
    try:
        for workload in workloads(manifests):
            ports = {p["name"]: p["containerPort"] for p in container(workload)["ports"]}
            kinds = ("startup", "liveness", "readiness")
            probes = {kind: container(workload)[f"{kind}Probe"]["httpGet"] for kind in kinds}
            assert {ports[probe["port"]] for probe in probes.values()} == {Http().port}
            base = f"http://{server.address}"
            answers = {kind: status(base + probe["path"]) for kind, probe in probes.items()}
            # A process that has only just begun is alive and not ready.
            assert answers == {"startup": 200, "liveness": 200, "readiness": 503}
    finally:
        server.close()


def status(url: str) -> int:
    try:
        with urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server
            return int(answer.status)
    except HTTPError as error:
        return error.code
