"""What is said of brokers, whichever client talks to them: where, what failed, and what to check."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

Connection = Mapping[str, Any]  # settings of a client by aestream's names, which are those of kafka-python

SAME_NAME = "another member of the group runs with the same `group_instance_id`: give each its own"
SESSION_LIMITS = (
    "it does not accept `session_timeout_ms`: keep that within the brokers' group.min.session.timeout.ms and "
    "group.max.session.timeout.ms"
)
# By resource: what a user needs on it.
TOPIC, GROUP, CLUSTER, TRANSACTIONS = "the topic", "the consumer group", "the cluster", "the transactional id"
_NEEDED = {
    TOPIC: "READ on input topics, WRITE on result topics",
    GROUP: "READ on the group",
    CLUSTER: "IDEMPOTENT_WRITE on the cluster",
    TRANSACTIONS: "WRITE on transactional ids that begin with the name of the consumer group",
}


def servers(connection: Connection) -> str:
    """The addresses of the brokers."""
    return ", ".join(connection["bootstrap_servers"])


def credentials(connection: Connection) -> str:
    """The options that the login comes from."""
    if connection.get("sasl_mechanism") == "GSSAPI":
        return "`sasl_kerberos_name`, `sasl_kerberos_service_name` and the Kerberos ticket"
    if connection.get("sasl_mechanism") == "OAUTHBEARER":
        return "the token of `sasl_oauth_token_file` or `sasl_oauth_token_provider`"
    return "`sasl_plain_username` and `sasl_plain_password`"


def suspects(connection: Connection) -> str:
    """The options to check when no broker answers, the likeliest first."""
    protocol = str(connection.get("security_protocol", "PLAINTEXT"))
    names = f"`bootstrap_servers`, `security_protocol` ({protocol}) and the network"
    return f"{credentials(connection)}, {names}" if protocol.startswith("SASL") else names


def access_denied(what: str, said: str) -> str:
    """What this user may not use, and what to grant; `what` is one of the resources above, or `this`."""
    return f"access to {what} is denied ({said}): grant this user {_NEEDED.get(what, 'what the operation needs')}"


def login_refused(connection: Connection, said: str) -> str:
    """The broker does not know this user, or the password."""
    return f"Kafka at {servers(connection)} refuses the login: check {credentials(connection)} ({said})"


def no_answer(connection: Connection, said: str) -> str:
    """Nobody answers in time."""
    return f"no answer from Kafka at {servers(connection)}: check {suspects(connection)} ({said})"


def no_input(connection: Connection, topics: Iterable[str]) -> str:
    """Input topics whose records would never come."""
    return (
        f"input topic {', '.join(sorted(topics))} does not exist at {servers(connection)}, or this user may not read "
        "it: create it, grant READ on it, or correct `topics`"
    )


def no_topic(topic: str, said: str) -> str:
    """A topic for results that is not there."""
    return f"topic {topic} cannot be written: does it exist? `aestream topics create` creates it ({said})"


def not_accepted(topic: str, said: str) -> str:
    """A message that was refused for good."""
    return f"a result for topic {topic} was not accepted: {said}"


def too_large(topic: str, size: int) -> str:
    """A message that its topic may accept if smaller."""
    return f"topic {topic} refuses a message of {size} bytes: raise its max.message.bytes"


def too_large_for_any(topic: str, size: int) -> str:
    """A message that cannot be made smaller."""
    return f"topic {topic} refuses a result of {size} bytes: raise its max.message.bytes"


def too_large_for_one(topics: Iterable[str]) -> str:
    """A message of which it is not known which topic has refused it."""
    return f"one of the topics {', '.join(sorted(topics))} does not accept a message of this size"


def matching(topics: Sequence[str], names: Collection[str]) -> list[str]:
    """The topics themselves, or, for a pattern, the names that it matches."""
    if not topics[0].startswith("^"):
        return list(topics)
    return sorted(name for name in names if re.match(topics[0], name) and not name.startswith("__"))
