"""Three brokers that are one cluster: any one of them may go, and what it coordinated moves to another."""

from __future__ import annotations

import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from aestream.app.process import free_port
from tests.brokers.apache import QUICK_ABORTS, ApacheKafka

NODES = (1, 2, 3)
_PROPERTIES = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "offsets.topic.num.partitions": "5",
    "transaction.state.log.num.partitions": "5",
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "broker.session.timeout.ms": "6000",
    **QUICK_ABORTS,
}


class ThreeBrokers:
    """A cluster of three JVMs, each broker and controller."""

    def __init__(self) -> None:
        voters, identity = {node: free_port() for node in NODES}, uuid.uuid4().hex[:22]
        self.nodes = {
            node: ApacheKafka(
                properties=_PROPERTIES,
                jvm_options=("-Xmx320m",),
                node=node,
                voters=voters,
                cluster_id=identity,
                start_timeout=120.0,
            )
            for node in NODES
        }
        self._running = ExitStack()

    def __enter__(self) -> Self:
        """Start all three, then wait: none of them is up before a majority is."""
        with ExitStack() as starting:
            for broker in self.nodes.values():
                starting.callback(broker.stop)
                broker.folder = Path(tempfile.mkdtemp(prefix="aestream-kafka-"))
                broker.bootstrap = broker._launch(broker.folder)
            for broker in self.nodes.values():
                broker._await_port()
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for broker in self.nodes.values():
            broker.halt()  # in order, the last ones would wait for a majority
        self._running.close()

    @property
    def bootstrap(self) -> str:
        """Where all three listen."""
        return ",".join(broker.bootstrap for broker in self.nodes.values())
