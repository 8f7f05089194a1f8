"""Metrics of OpenTelemetry in OTLP's JSON, as the collector's Kafka exporter writes them with `encoding: otlp_json`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from aestream.codecs.parsing import Refused
from aestream.codecs.problems import kind_of
from aestream.types import Reason

_KINDS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")  # the kinds of metrics
Point: TypeAlias = tuple[int, str, float]  # time in ms, name of the field, value

_NO_VALUE = 1  # the flag of a point without one
_NAME_CHARACTERS = 1024  # OpenTelemetry allows 255; a name is copied into that of each point
_NANOSECONDS = 1_000_000  # of a millisecond


def opentelemetry(document: object, needed: Collection[str] | None = None) -> list[Any] | Refused:
    """A record for each resource: its attributes and metrics by name, and `time` in ms.

    The attributes of a point go into the name of its field, by their own names: `system.cpu.utilization.cpu0.idle`. A
    histogram or summary gives NAME.count and NAME.sum. Where a resource has several points of one name, each but the
    first begins a record. Of the resource's attributes, each record gets those that are `needed`; None: all of them.
    """
    if not isinstance(document, dict) or not isinstance(document.get("resourceMetrics"), list):
        other = isinstance(document, dict) and ("resourceLogs" in document or "resourceSpans" in document)
        what = "logs or traces" if other else "no OTLP in JSON"
        return Refused(Reason.WRONG_SHAPE, f"{what}: metrics of OpenTelemetry have resourceMetrics")
    points: dict[tuple[tuple[str, Any], ...], list[Point]] = {}
    try:
        for resource in _objects(document, "resourceMetrics"):
            attributes = _attributes(_object(resource, "resource"))
            about = tuple(sorted((n, v) for n, v in attributes.items() if needed is None or n in needed))
            for scope in _objects(resource, "scopeMetrics"):
                for metric in _objects(scope, "metrics"):
                    points.setdefault(about, []).extend(_points(metric))
    except Refused as problem:
        return problem
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


def _points(metric: Mapping[str, Any]) -> Iterator[Point]:
    """The values of a metric."""
    kind = next((kind for kind in _KINDS if kind in metric), None)
    for point in _objects(_object(metric, kind), "dataPoints") if kind else ():
        if _whole(point, "flags") & _NO_VALUE:
            continue
        time = _whole(point, "timeUnixNano") // _NANOSECONDS
        name = ".".join(
            [_text(metric, "name")[:_NAME_CHARACTERS], *(str(value) for _, value in sorted(_attributes(point).items()))]
        )
        if "asDouble" in point or "asInt" in point:
            yield time, name, _number(point, "asDouble") if "asDouble" in point else _whole(point, "asInt")
        if "count" in point:
            yield time, f"{name}.count", _whole(point, "count")
        if "sum" in point:
            yield time, f"{name}.sum", _number(point, "sum")


def _attributes(of: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes by name; lists and maps are left out."""
    pairs = ((_text(pair, "key"), _plain(_object(pair, "value"))) for pair in _objects(of, "attributes"))
    return {key: value for key, value in pairs if value is not None}


def _plain(value: Mapping[str, Any]) -> str | bool | int | float | None:
    if "stringValue" in value:
        return _text(value, "stringValue")
    if "boolValue" in value:
        return bool(value["boolValue"])
    if "intValue" in value:
        return _whole(value, "intValue")  # 64 bits are text in JSON
    return _number(value, "doubleValue") if "doubleValue" in value else None


def _objects(of: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    """The objects of an array; none where it is missing or null. This and all below raise Refused for what is wrong."""
    value = of.get(name) or []
    if not isinstance(value, list):
        raise _wrong(name, value, "an array")
    strange = next((item for item in value if not isinstance(item, dict)), None)
    if not all(isinstance(item, dict) for item in value):
        raise _wrong(f"an element of {name}", strange, "an object")
    return value


def _object(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object; an empty one where it is missing or null."""
    value = of.get(name)
    if value is not None and not isinstance(value, dict):
        raise _wrong(name, value, "an object")
    return value or {}


def _text(of: Mapping[str, Any], name: str) -> str:
    value = of.get(name)
    if not isinstance(value, str):
        raise _wrong(name, value, "text")
    return value


def _whole(of: Mapping[str, Any], name: str) -> int:
    """A whole number, as a number or as text; 0 where it is missing."""
    value = of.get(name, 0)
    try:
        if isinstance(value, str | int) or (isinstance(value, float) and value.is_integer()):
            return int(value)
    except ValueError:
        pass
    raise _wrong(name, value, "a whole number")


def _number(of: Mapping[str, Any], name: str) -> float:
    """A number; NaN and infinite ones are text."""
    value = of[name]
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise _wrong(name, value, "a number")


def _wrong(name: str, value: object, wanted: str) -> Refused:
    return Refused(Reason.WRONG_SHAPE, f"not OTLP in JSON: {name} is {kind_of(value)}, not {wanted}")
