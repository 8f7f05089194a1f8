"""The forms in which common producers wrap a record: Debezium, Telegraf, Metricbeat; OpenTelemetry is in its module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from aestream.codecs.opentelemetry import opentelemetry
from aestream.codecs.parsing import UNDECODABLE, Refused
from aestream.types import PassedOver, Reason

PLAIN = "plain"
# A record, what is wrong with it, or why it is passed over; or several of these. Another value is no record.
Found: TypeAlias = Any

_METRIC = {"name", "tags", "fields", "timestamp"}  # what a metric of Telegraf consists of
_MONITORING = ("@metadata", "agent", "ecs")  # what Beats say about themselves


def plain(document: object) -> Found:
    """The record as it is."""
    return document


def debezium(document: object) -> Found:
    """The row after an insert, an update or a snapshot read, with or without the schema beside it."""
    wrapped = isinstance(document, dict) and "payload" in document
    change = document["payload"] if isinstance(document, dict) and wrapped else document
    if wrapped and change is None:
        return PassedOver.TOMBSTONE
    if isinstance(change, dict) and _is_change(change):
        row = None if change.get("op") == "d" else change.get("after")
        return PassedOver.DELETED if row is None else _row(row)
    if wrapped and isinstance(change, dict):
        return change  # Debezium's ExtractNewRecordState has taken the row out
    return Refused(Reason.WRONG_SHAPE, "not a change event of Debezium: set `layout`=plain if it is a row itself")


def telegraf(document: object) -> Found:
    """A metric's fields and tags by name, with the metric's `name` and `timestamp`; or each metric of a batch."""
    if isinstance(document, dict) and isinstance(document.get("metrics"), list):
        return [_metric(metric) for metric in document["metrics"]]
    return _metric(document)


def metricbeat(document: object) -> Found:
    """The event as it is, without what the Beat says about itself."""
    if not isinstance(document, dict):
        return document
    event = {name: value for name, value in document.items() if name not in _MONITORING}
    for part, noise in (("event", "duration"), ("metricset", "period")):
        if isinstance(event.get(part), dict):
            event[part] = {name: value for name, value in event[part].items() if name != noise}
    return event


ENVELOPES: Mapping[str, Callable[[object], Found]] = {
    PLAIN: plain,
    "debezium": debezium,
    "telegraf": telegraf,
    "metricbeat": metricbeat,
    "opentelemetry": opentelemetry,
}


# The field that holds the time in a layout's records.
TIMES: Mapping[str, str] = {"telegraf": "timestamp", "metricbeat": "@timestamp", "opentelemetry": "time"}


def foreign(record: object) -> str | None:
    """The layout that a record is of although it is read as a plain one; None if it is none that is known."""
    if not isinstance(record, dict):
        return None
    if "resourceMetrics" in record:
        return "opentelemetry"
    metrics = record.get("metrics")
    if isinstance(metrics, list) and metrics and isinstance(metrics[0], dict) and "fields" in metrics[0]:
        return "telegraf"
    change = record["payload"] if record.keys() == {"schema", "payload"} else record
    return "debezium" if isinstance(change, dict) and _is_change(change) and "source" in change else None


def is_metric(record: Mapping[str, Any]) -> bool:
    """Whether a record that was read as a plain one looks like a metric of Telegraf: one can be read either way."""
    return record.keys() == _METRIC and isinstance(record["fields"], dict) and isinstance(record["tags"], dict)


def known_as(layout: str) -> str:
    """What a message of a layout is, for people."""
    return {
        "debezium": "a change event of Debezium",
        "opentelemetry": "metrics of OpenTelemetry",
        "telegraf": "metrics of Telegraf",
    }[layout]


def _is_change(change: Mapping[str, Any]) -> bool:
    return isinstance(change.get("op"), str) and ("after" in change or "before" in change)


def _row(row: object) -> object:
    """A row; MongoDB's come as text that holds JSON."""
    if not isinstance(row, str):
        return row
    try:
        return msgspec.json.decode(row)
    except UNDECODABLE:
        return row


def _metric(metric: object) -> Found:
    fields = metric.get("fields") if isinstance(metric, dict) else None
    if not isinstance(metric, dict) or not isinstance(fields, dict):
        return Refused(Reason.WRONG_SHAPE, "not a metric of Telegraf in JSON, which has fields")
    record = {name: metric[name] for name in ("name", "timestamp") if name in metric}
    tags = metric.get("tags")
    for part, values in (("tags", tags if isinstance(tags, dict) else {}), ("fields", fields)):
        # diskio has a tag `name`: it must not hide the metric's name
        record |= {f"{part}.{name}" if name in record else name: value for name, value in values.items()}
    return record
