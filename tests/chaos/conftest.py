"""Scenes on the same cluster, model and settings as those of tests/kafka, and on brokers that can be harmed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.brokers.apache import QUICK_ABORTS, ApacheKafka
from tests.brokers.proxy import Proxy
from tests.brokers.three import ThreeBrokers
from tests.chaos.form import FORM
from tests.chaos.scene import Scene
from tests.conftest import running
from tests.deploy.tools import tool
from tests.kafka.cluster import Cluster
from tests.kafka.conftest import CLIENT, cluster, command, make_settings, settings_for, trained

__all__ = ["cluster", "command", "make_settings", "trained"]

Stage = Callable[..., Scene]


@pytest.fixture(params=FORM.deliveries)
def delivery(request: pytest.FixtureRequest) -> str:
    """The guarantee to try."""
    return str(request.param)


@pytest.fixture
def client(request: pytest.FixtureRequest) -> str:
    """What the workers read and write with."""
    return str(getattr(request, "param", CLIENT))


@pytest.fixture
def stage(cluster: Cluster, trained: Path, client: str, delivery: str, tmp_path: Path, record_property: Any) -> Stage:
    """Makes a scene on the cluster of all tests."""
    return _scene_on(cluster, trained, client, delivery, tmp_path, record_property)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The way to the broker that may be harmed."""
    with Proxy(tool("toxiproxy-server"), tmp_path_factory.mktemp("proxy") / "toxiproxy.log") as made:
        yield made


@pytest.fixture(scope="module")
def frail(proxy: Proxy) -> Iterator[ApacheKafka]:
    """A broker that may be stopped, and that workers reach through a proxy."""
    broker = ApacheKafka(properties=QUICK_ABORTS, listeners={"PROXY": proxy.port})
    for _ in running(broker):
        proxy.lead_to(broker.ports["PROXY"])
        yield broker


@pytest.fixture
def frail_stage(
    frail: ApacheKafka, proxy: Proxy, trained: Path, client: str, delivery: str, tmp_path: Path, record_property: Any
) -> Iterator[Stage]:
    """Makes a scene on that broker."""
    with closing(Cluster(frail.bootstrap)) as seen:
        yield partial(
            _scene_on(seen, trained, client, delivery, tmp_path, record_property),
            kafka__bootstrap_servers=f"127.0.0.1:{proxy.port}",
        )


@pytest.fixture(scope="module")
def three(apache_kafka: Any) -> Iterator[ThreeBrokers]:  # noqa: ARG001 - skips where there is no broker at all
    """Three brokers."""
    with ThreeBrokers() as brokers:
        yield brokers


@pytest.fixture
def three_stage(
    three: ThreeBrokers, trained: Path, client: str, delivery: str, tmp_path: Path, record_property: Any
) -> Iterator[Stage]:
    """Makes a scene on three brokers."""
    with closing(Cluster(three.bootstrap, replicas=3)) as seen:
        yield _scene_on(seen, trained, client, delivery, tmp_path, record_property)


def _scene_on(seen: Cluster, trained: Path, client: str, delivery: str, folder: Path, record_property: Any) -> Stage:
    """Makes a scene on a cluster."""
    return partial(
        Scene,
        cluster=seen,
        make=partial(settings_for, seen, trained),
        delivery=delivery,
        folder=folder,
        record_property=record_property,
        kafka__client=client,
    )
