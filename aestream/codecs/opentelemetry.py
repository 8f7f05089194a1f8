"""Metrics of OpenTelemetry in OTLP's JSON, as the collector's Kafka exporter writes them with `encoding: otlp_json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aestream.codecs.parsing import Refused
from aestream.types import Reason

_POINTS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")  # the kinds of metrics
_NO_VALUE = 1  # the flag of a point without one
_NANOSECONDS = 1_000_000  # of a millisecond


def opentelemetry(document: object) -> list[Any] | Refused:
    """A record for each resource, set of attributes and time: attributes and metrics by name, and `time` in ms.

    A histogram or summary gives NAME.count and NAME.sum.
    """
    resources = document.get("resourceMetrics") if isinstance(document, dict) else None
    if not isinstance(resources, list):
        other = isinstance(document, dict) and ("resourceLogs" in document or "resourceSpans" in document)
        what = "logs or traces" if other else "no OTLP in JSON"
        return Refused(Reason.WRONG_SHAPE, f"{what}: metrics of OpenTelemetry have resourceMetrics")
    records: dict[tuple[object, ...], dict[str, Any]] = {}
    try:
        for resource in resources:
            about = _attributes(resource.get("resource") or {})
            for metric in _metrics(resource):
                _add(records, about, metric)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return Refused(Reason.WRONG_SHAPE, f"not OTLP in JSON: {type(error).__name__}: {error}")
    return list(records.values())


def _metrics(resource: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for scope in resource.get("scopeMetrics") or ():
        yield from scope.get("metrics") or ()


def _add(records: dict[tuple[object, ...], dict[str, Any]], about: dict[str, Any], metric: Mapping[str, Any]) -> None:
    """Put a metric's points into the records of their attributes and times."""
    name = metric["name"]
    kind = next((kind for kind in _POINTS if kind in metric), None)
    for point in metric[kind].get("dataPoints") or () if kind else ():
        if int(point.get("flags", 0)) & _NO_VALUE:
            continue
        attributes = {**about, **_attributes(point)}
        time = int(point.get("timeUnixNano", 0)) // _NANOSECONDS
        place = (time, *sorted((key, str(value)) for key, value in attributes.items()))
        record = records.setdefault(place, {"time": time, **attributes})
        if "asDouble" in point or "asInt" in point:
            record[name] = float(point["asDouble"]) if "asDouble" in point else int(point["asInt"])
        if "count" in point:
            record[f"{name}.count"] = int(point["count"])
        if "sum" in point:
            record[f"{name}.sum"] = float(point["sum"])


def _attributes(of: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes by name; lists and maps are left out."""
    pairs = ((pair["key"], _plain(pair.get("value") or {})) for pair in of.get("attributes") or ())
    return {key: value for key, value in pairs if value is not None}


def _plain(value: Mapping[str, Any]) -> str | bool | int | float | None:
    if "stringValue" in value:
        return str(value["stringValue"])
    if "boolValue" in value:
        return bool(value["boolValue"])
    if "intValue" in value:
        return int(value["intValue"])  # 64 bits are text in JSON
    return float(value["doubleValue"]) if "doubleValue" in value else None
