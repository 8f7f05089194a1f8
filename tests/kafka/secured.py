"""A cluster with an authorizer: a user of its own for each test, who may do what the test grants, by each login."""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)

from tests.brokers.apache import ApacheKafka
from tests.certificates import CLIENT, CLIENT_PASSWORD
from tests.conftest import SASL_USERS
from tests.kafka.cluster import Cluster, wait_for
from tests.kafka.service import ROOT


def unsigned_token(name: str, seconds: float) -> str:
    """A token that says who somebody is for so long, and that only a broker for tests believes."""
    parts = ({"alg": "none"}, {"sub": name, "iat": time.time() - 60, "exp": time.time() + seconds})
    head, claims = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return f"{head}.{claims}."


class Right(NamedTuple):
    """A line of the table of the least rights in docs/security.md."""

    who: str
    on: str
    operation: str
    otherwise: str

    def __str__(self) -> str:
        return f"{self.operation} on {self.on}"

    def rules(self, settings: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """The rules that give it, as `User.grant` takes them."""
        kind, *names = _RESOURCES[self.on]
        named = [one for name in names for one in settings[name].split(",")]
        return [(kind, f"{one}-" if kind == "transactional_id" else one, self.operation) for one in named]


RESULTS = {
    "scores topic": "topics__scores",
    "anomalies topic": "topics__anomalies",
    "dead-letter topic": "topics__dead_letters",
    "state topic": "state__topic",
}
_RESOURCES = {
    "input topics": ("topic", "topics__input"),
    "result topics": ("topic", *RESULTS.values()),
    "consumer group": ("group", "kafka__group_id"),
    "transactional ids that begin with the group's name and a dash": ("transactional_id", "kafka__group_id"),
    **{name: ("topic", setting) for name, setting in RESULTS.items()},
}


def rights(who: str) -> list[Right]:
    """What the documentation says somebody needs."""
    page = (ROOT / "docs/security.md").read_text().partition("## The least rights")[2]
    lines = re.findall(r"^\| ([\w ,]+) \| ([\w '-]+) \| ([A-Z_]+) \| (.+) \|$", page, re.MULTILINE)
    return [right for right in (Right(*line) for line in lines) if right.who == who]


class User:
    """Somebody who logs in and has no rights but those that `grant` gives."""

    _names: Iterator[str] = itertools.cycle(SASL_USERS)

    def __init__(self, broker: ApacheKafka, cluster: Cluster, certificates: Path) -> None:
        self._broker = broker
        self._cluster = cluster
        self._certificates = certificates
        self.name = next(self._names)

    @property
    def settings(self) -> dict[str, str]:
        """How aestream logs in as this user with a password, without TLS."""
        return {
            "kafka__bootstrap_servers": f"127.0.0.1:{self._broker.ports['SASL']}",
            "kafka__security_protocol": "SASL_PLAINTEXT",
            "kafka__sasl_mechanism": "PLAIN",
            "kafka__sasl_plain_username": self.name,
            "kafka__sasl_plain_password": f"{self.name}-secret",
        }

    def over_tls(self, mechanism: str, folder: Path) -> dict[str, str]:
        """The same over TLS by `mechanism`, a SASL one or CERTIFICATE; a token is kept in `folder`."""
        tls = {"kafka__ssl_cafile": str(self._certificates / "authority.pem")}
        if mechanism == "CERTIFICATE":
            self.name = f"CN={CLIENT}"
            return tls | {
                "kafka__bootstrap_servers": f"127.0.0.1:{self._broker.ports['MUTUAL']}",
                "kafka__security_protocol": "SSL",
                "kafka__ssl_certfile": str(self._certificates / "client.pem"),
                "kafka__ssl_keyfile": str(self._certificates / "client.key"),
                "kafka__ssl_password": CLIENT_PASSWORD,
            }
        tls |= {
            "kafka__bootstrap_servers": f"127.0.0.1:{self._broker.ports['SASLTLS']}",
            "kafka__security_protocol": "SASL_SSL",
            "kafka__sasl_mechanism": mechanism,
        }
        if mechanism == "OAUTHBEARER":
            file = folder / "token"
            file.write_text(unsigned_token(self.name, 3600))
            return tls | {"kafka__sasl_oauth_token_file": str(file)}
        if mechanism.startswith("SCRAM"):
            login = UserScramCredentialUpsertion(self.name, mechanism, f"{self.name}-secret")
            assert self._cluster.admin.alter_user_scram_credentials([login]) == {self.name: None}
        return self.settings | tls

    def grant(self, *rules: tuple[str, str, str]) -> None:
        """Allow (kind, name, operation), such as ("topic", "in", "read"), and wait until the broker knows.

        The name of a transactional id is its beginning.
        """
        for rule in rules:
            prefixed = rule[0] == "transactional_id"
            self._grant(rule, ACLResourcePatternType.PREFIXED if prefixed else ACLResourcePatternType.LITERAL)

    def grant_prefixed(self, *rules: tuple[str, str, str]) -> None:
        """The same for all names that begin so."""
        for rule in rules:
            self._grant(rule, ACLResourcePatternType.PREFIXED)

    def _grant(self, rule: tuple[str, str, str], pattern: ACLResourcePatternType) -> None:
        kind, name, operation = rule
        acl = ACL(
            principal=f"User:{self.name}",
            host="*",
            operation=ACLOperation[operation.upper()],
            permission_type=ACLPermissionType.ALLOW,
            resource_pattern=ResourcePattern(ResourceType[kind.upper()], name, pattern),
        )
        self._cluster.admin.create_acls([acl])
        wait_for("the rule", lambda: any(self._cluster.admin.describe_acls(acl)[0]))

    def grant_all(self, who: str, settings: Mapping[str, str], *, without: Right | None = None) -> None:
        """Allow what the documentation says a worker, a trainer or a command needs, except for one of it."""
        self.grant(*(rule for right in rights(who) if right != without for rule in right.rules(settings)))
