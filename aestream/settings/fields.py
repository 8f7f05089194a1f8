"""The settings of how records are found in messages, and which of their fields are used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from aestream.settings.values import CountOrWord, Names, Numbers, OptionalNumber, OptionalText, Words, each_obeys, obeys


class Records(BaseModel):
    """How the records are found in a message."""

    layout: Literal["plain", "debezium", "telegraf", "metricbeat", "opentelemetry"] = Field(
        "plain",
        description="What a message is: `plain` is a JSON object that is the record. The others are the JSON of common "
        "producers; see [records.md](records.md).",
    )
    unpack: OptionalText = Field(
        None,
        description="Path of an array of records, such as `payload.items`, or `.` if the message is the array. Each "
        "element becomes a record, with the other fields beside it. Objects with a name and a value become one record.",
    )
    where: Words = Field(
        {},
        description="Only records with these values are scored and learnt from, such as `name=cpu,tags.env=prod`; "
        "`load=*` is any value. The others are passed over and counted. Unset: all.",
    )


class Features(BaseModel):
    """Which fields of a record are used."""

    include: Names = Field([], description="Names or globs (`cpu.*`) of the fields to use. Unset: all suitable ones.")
    exclude: Names = Field([], description="Names or globs (`cpu.*`) of the fields to leave out.")
    key: Names = Field(
        [],
        description="Fields that tell entities apart, such as hosts or machines, comma-separated. Unset: the record's "
        "key. Counters are judged by entity, and anomalies name theirs.",
    )
    time: OptionalText = Field(
        None, description="The field that orders an entity's records. Unset: the Kafka timestamp."
    )
    window: Annotated[CountOrWord, obeys("window")] = Field(
        "auto",
        description="How many records of an entity are judged together. `auto`: 10 if the sample shows that the "
        "records of an entity follow each other, for long enough; else 1. Unless it is 1, counters are used by their "
        "increase per second.",
    )
    max_gap: Annotated[OptionalNumber, obeys("max_gap")] = Field(
        None,
        description="After a longer gap, in usual intervals between the records of an entity, its window starts anew. "
        "Unset: what training finds, at least 10.",
    )
    clock: Annotated[str, obeys("clock")] = Field(
        "auto",
        description="Whether what is normal depends on the time of day and the weekday (UTC) of a record: `on`, `off`, "
        "or `auto` if the sample shows that it does. A sample covers at least two days, or two weeks, or it is `off`. "
        "Only with windows: where records are judged alone, name the field in `AESTREAM_FEATURES__TIMESTAMPS`.",
    )
    holidays: OptionalText = Field(
        None,
        description="A country, such as `DE` or `US-CA`, whose public holidays are seen as well. It needs the "
        "extra `holidays`. Unset: none.",
    )
    timestamps: Names = Field([], description="Timestamps to use, as time of day and weekday. Unset: none.")
    missing: Annotated[Names, obeys("missing")] = Field(
        ["dead_letter"],
        description="What happens to a record that lacks a feature: `dead_letter` or `impute`. Add `NAME=impute` for "
        "single features, comma-separated.",
    )
    units: Names = Field(
        [],
        description="Names or globs of the fields whose values are text with a unit, such as `12.3 ms` or `1.5GiB`; "
        "they become numbers of seconds, bytes, hertz and the like. Unset: such text is not a number.",
    )

    direction: Annotated[Words, each_obeys("direction")] = Field(
        {}, description="Which deviations of a feature count, such as `disk=up,memory=down`. Unset: `both`."
    )
    min_abs_deviation: Annotated[Numbers, each_obeys("min_abs_deviation")] = Field(
        {}, description="By feature, in its own units: smaller differences from the expected value do not count."
    )
    min_rel_deviation: Annotated[Numbers, each_obeys("min_rel_deviation")] = Field(
        {}, description="By feature, as a share of the expected value: smaller differences do not count."
    )
    flag_unseen: bool = Field(
        False, description="Whether a category that training has not seen flags a record by itself."
    )
