"""A cluster with an authorizer: a user of its own for each test, who may do what the test grants."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from tests.brokers.apache import ApacheKafka
from tests.conftest import SASL_USERS
from tests.kafka.cluster import Cluster, wait_for


class User:
    """Somebody who logs in with a password and has no rights but those that `grant` gives."""

    _names: Iterator[str] = itertools.cycle(SASL_USERS)

    def __init__(self, broker: ApacheKafka, cluster: Cluster) -> None:
        self._cluster = cluster
        self.name = next(self._names)
        self.address = f"127.0.0.1:{broker.ports['SASL']}"

    @property
    def settings(self) -> dict[str, str]:
        """How aestream logs in as this user."""
        return {
            "kafka__bootstrap_servers": self.address,
            "kafka__security_protocol": "SASL_PLAINTEXT",
            "kafka__sasl_mechanism": "PLAIN",
            "kafka__sasl_plain_username": self.name,
            "kafka__sasl_plain_password": f"{self.name}-secret",
        }

    def grant(self, *rules: tuple[str, str, str]) -> None:
        """Allow (kind, name, operation), such as ("topic", "in", "read"), and wait until the broker knows."""
        acls = [
            ACL(
                principal=f"User:{self.name}",
                host="*",
                operation=ACLOperation[operation.upper()],
                permission_type=ACLPermissionType.ALLOW,
                resource_pattern=ResourcePattern(ResourceType[kind.upper()], name),
            )
            for kind, name, operation in rules
        ]
        self._cluster.admin.create_acls(acls)
        for acl in acls:
            wait_for("the rule", lambda acl=acl: any(self._cluster.admin.describe_acls(acl)[0]))  # type: ignore[misc]

    def grant_work(self, settings: dict[str, str], *without: tuple[str, str, str]) -> None:
        """Allow what the documentation says a worker needs, except for some of it."""
        rules = [
            *(("topic", name, "read") for name in settings["topics__input"].split(",")),
            *(("topic", settings[f"topics__{kind}"], "write") for kind in ("scores", "anomalies", "dead_letters")),
            *(("topic", settings["state__topic"], operation) for operation in ("read", "write")),
            ("group", settings["kafka__group_id"], "read"),
        ]
        self.grant(*(rule for rule in rules if rule not in without))
