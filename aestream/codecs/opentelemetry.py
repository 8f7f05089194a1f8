"""Metrics of OpenTelemetry in OTLP's JSON, as the collector's Kafka exporter writes them with `encoding: otlp_json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from aestream.codecs.parsing import Refused
from aestream.types import Reason

_KINDS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")  # the kinds of metrics
Point: TypeAlias = tuple[int, str, float]  # time in ms, name of the field, value

_NO_VALUE = 1  # the flag of a point without one
_NANOSECONDS = 1_000_000  # of a millisecond


def opentelemetry(document: object) -> list[Any] | Refused:
    """A record for each resource: its attributes and metrics by name, and `time` in ms.

    The attributes of a point go into the name of its field, by their own names: `system.cpu.utilization.cpu0.idle`. A
    histogram or summary gives NAME.count and NAME.sum. Where a resource has several points of one name, each but the
    first begins a record.
    """
    resources = document.get("resourceMetrics") if isinstance(document, dict) else None
    if not isinstance(resources, list):
        other = isinstance(document, dict) and ("resourceLogs" in document or "resourceSpans" in document)
        what = "logs or traces" if other else "no OTLP in JSON"
        return Refused(Reason.WRONG_SHAPE, f"{what}: metrics of OpenTelemetry have resourceMetrics")
    points: dict[tuple[tuple[str, Any], ...], list[Point]] = {}
    try:
        for resource in resources:
            about = tuple(sorted(_attributes(resource.get("resource") or {}).items()))
            for metric in _metrics(resource):
                points.setdefault(about, []).extend(_points(metric))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return Refused(Reason.WRONG_SHAPE, f"not OTLP in JSON: {type(error).__name__}: {error}")
    return [record for about, found in points.items() for record in _records(dict(about), found)]


def _records(about: Mapping[str, Any], points: Sequence[Point]) -> Iterator[dict[str, Any]]:
    """The records that the points of a resource fill, in the order of time."""
    record: dict[str, Any] = {}
    for time, name, value in sorted(points, key=itemgetter(0)):
        if name in record:
            yield record
            record = {}
        if not record:
            record = {"time": time, **about}
        record[name] = value
    if record:
        yield record


def _metrics(resource: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for scope in resource.get("scopeMetrics") or ():
        yield from scope.get("metrics") or ()


def _points(metric: Mapping[str, Any]) -> Iterator[Point]:
    """The values of a metric."""
    kind = next((kind for kind in _KINDS if kind in metric), None)
    for point in metric[kind].get("dataPoints") or () if kind else ():
        if int(point.get("flags", 0)) & _NO_VALUE:
            continue
        time = int(point.get("timeUnixNano", 0)) // _NANOSECONDS
        name = ".".join([metric["name"], *(str(value) for _, value in sorted(_attributes(point).items()))])
        if "asDouble" in point or "asInt" in point:
            yield time, name, float(point["asDouble"]) if "asDouble" in point else int(point["asInt"])
        if "count" in point:
            yield time, f"{name}.count", int(point["count"])
        if "sum" in point:
            yield time, f"{name}.sum", float(point["sum"])


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
