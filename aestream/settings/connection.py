"""The settings of the connection to Kafka."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from aestream.settings.values import Names, OptionalSecret, OptionalText, Words, none_if_off


class Kafka(BaseModel):
    """Kafka connection, under kafka-python's own names."""

    client: Literal["kafka-python", "confluent"] = Field(
        "kafka-python",
        description="What a worker reads and writes with. `confluent` is librdkafka, which takes a fraction of the "
        "processor time: install the extra `confluent`; see [The Kafka client](configuration.md#the-kafka-client).",
    )
    librdkafka: Words = Field(
        {},
        description="With `AESTREAM_KAFKA__CLIENT=confluent`: librdkafka's own options, for what no "
        "other setting names, such as `socket.keepalive.enable=true,queued.min.messages=20000`.",
    )
    bootstrap_servers: Names = Field(
        ["localhost:9092"], description="Brokers to contact first: host:port, comma-separated."
    )
    client_id: str = Field("aestream", description="The client's name in the brokers' logs and quotas.")
    group_id: OptionalText = Field(
        None,
        description="The workers' consumer group. The default is `aestream-<topic>`, or `aestream-<topic>-<model>` "
        "if the model has another name than `default`; with several input topics or a pattern, you must set it.",
    )
    group_instance_id: OptionalText = Field(
        None,
        description="Static membership: a permanent name for this worker, so that a restart causes no rebalance.",
    )
    auto_offset_reset: Literal["earliest", "latest"] = Field(
        "earliest",
        description="Where a new group starts: at the beginning of the topic (`earliest`) or with new records only "
        "(`latest`). Partitions added to a topic later, topics that are recreated, and topics that a pattern matches "
        "later are always read from their start.",
    )
    isolation_level: Literal["read_uncommitted", "read_committed"] = Field(
        "read_committed",
        description="`read_committed` reads records of committed transactions only; `read_uncommitted` reads all.",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Protocol for connecting to the brokers."
    )
    sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] | None,
        BeforeValidator(none_if_off),
    ] = Field(None, description="How to log in. Required with SASL_PLAINTEXT and SASL_SSL.")
    sasl_plain_username: OptionalText = Field(None, description="User name for PLAIN and SCRAM.")
    sasl_plain_password: OptionalSecret = Field(None, description="Password for PLAIN and SCRAM. A secret.")
    sasl_oauth_token_file: OptionalText = Field(
        None, description="File with the token for OAUTHBEARER. It is read at each login, so it may be renewed."
    )
    sasl_oauth_token_provider: OptionalText = Field(
        None,
        description="In place of the file: `package.module:Class`, a class whose method `token()` returns a token.",
    )
    sasl_kerberos_name: OptionalText = Field(None, description="Kerberos principal for GSSAPI.")
    sasl_kerberos_service_name: str = Field("kafka", description="Kerberos service name for GSSAPI.")
    sasl_kerberos_domain_name: OptionalText = Field(None, description="Kerberos domain name for GSSAPI.")
    ssl_cafile: OptionalText = Field(None, description="Certificate authority file for verifying the brokers.")
    ssl_certfile: OptionalText = Field(None, description="Client certificate file.")
    ssl_keyfile: OptionalText = Field(None, description="Private key file of the client certificate.")
    ssl_password: OptionalSecret = Field(None, description="Password of the private key file. A secret.")
    ssl_crlfile: OptionalText = Field(None, description="Certificate revocation list file.")
    ssl_ciphers: OptionalText = Field(None, description="Allowed ciphers, in OpenSSL's notation.")
    ssl_check_hostname: bool = Field(True, description="Whether a broker's certificate must match its host name.")
    request_timeout_ms: int = Field(30_000, gt=0, description="How long to wait for the answer to a request.")
    bootstrap_timeout_ms: int = Field(30_000, gt=0, description="How long to wait for the first contact with a broker.")
    session_timeout_ms: int = Field(45_000, gt=0, description="A worker silent for this long is considered dead.")
    heartbeat_interval_ms: int = Field(
        500,
        gt=0,
        description="How often a worker sends a heartbeat. The answers tell it of a rebalance, which takes about two.",
    )
    max_poll_interval_ms: int = Field(300_000, gt=0, description="A worker whose batch takes longer leaves the group.")
    transaction_timeout_ms: int = Field(
        10_000,
        gt=0,
        description="With `AESTREAM_DELIVERY=exactly_once`: the broker aborts a transaction that takes longer, such as "
        "that of a worker that was killed.",
    )
    fetch_min_bytes: int = Field(1, ge=1, description="The broker waits until it has at least this much to send.")
    fetch_max_wait_ms: int = Field(
        100,
        ge=0,
        description="The longest that the broker waits for that much data. For so long it answers nothing else that is "
        "asked on the same connection, such as how far behind the worker is, and records of other brokers wait too.",
    )
    max_partition_fetch_bytes: int = Field(
        1_048_576, gt=0, description="The most bytes fetched from a partition at once."
    )
    max_request_size: int = Field(1_048_576, gt=0, description="The largest message that the producer sends.")
    batch_size: int = Field(131_072, gt=0, description="The most bytes sent to a partition in one batch.")
    linger_ms: int = Field(5, ge=0, description="How long the producer waits to fill a batch.")
    compression_type: Annotated[Literal["gzip", "snappy", "lz4", "zstd"] | None, BeforeValidator(none_if_off)] = Field(
        None, description="Compression of the messages that the producer sends."
    )
