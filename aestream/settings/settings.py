"""The only module that reads the environment: every setting, its default and its checks, one nested model per concern.

Order: command line > environment > .env > secrets directories > file (YAML or TOML) > default.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ByteSize, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
    YamlConfigSettingsSource,
)

from aestream.errors import ConfigurationError
from aestream.settings.connection import Kafka
from aestream.settings.fields import Features, Records
from aestream.settings.serving import Http
from aestream.settings.values import (
    Duration,
    Names,
    OptionalCount,
    OptionalDuration,
    OptionalNumber,
    OptionalText,
    none_if_off,
    obeys,
)
from aestream.thresholds.calibrators import USUAL_RATE

PREFIX = "AESTREAM_"
_SECRETS = ("/run/secrets", os.environ.get("CREDENTIALS_DIRECTORY", ""))


class Topics(BaseModel):
    """Topics that are read and written."""

    input: Names = Field(
        [], description="Topics to read, comma-separated, or one pattern that begins with ^. Required."
    )
    scores: OptionalText = Field("aestream.scores", description="A score for every valid record; `off` publishes none.")
    anomalies: str = Field("aestream.anomalies", description="Flagged records, each with an explanation.")
    dead_letters: str = Field(
        "aestream.dead-letters", description="Records that cannot be scored, each with the reason."
    )

    @model_validator(mode="after")
    def _no_loop(self) -> Topics:
        """Refuse to read a topic that the worker writes."""
        outputs = [t for t in (self.scores, self.anomalies, self.dead_letters) if t]
        pattern = self.input[0] if self.input and self.input[0].startswith("^") else None
        if pattern and len(self.input) > 1:
            raise ValueError("a pattern (^...) must be the only entry; write one pattern that matches all topics")
        try:
            read = [t for t in outputs if (re.match(pattern, t) if pattern else t in self.input)]
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        if read:
            raise ValueError(f"the output topic {read[0]!r} is also read as input: the worker would feed itself")
        return self


class Model(BaseModel):
    """The model and the store for its versions."""

    store: str = Field("./models", description="Folder of the model store.")
    name: str = Field(
        "default", pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", description="Name of the model in the store."
    )
    poll_interval: Duration = Field(30.0, description="How often a worker looks for a new version.")
    keep: int = Field(
        10, ge=2, description="How many versions the store keeps, besides those that the workers still use."
    )
    signing_keyfile: OptionalText = Field(
        None, description="Private key file (PEM, elliptic curve P-256) with which training signs each version."
    )
    verify_keyfile: OptionalText = Field(
        None, description="Public key file: a version that this key's owner has not signed is refused."
    )
    latent_size: Annotated[OptionalCount, obeys("latent_size")] = Field(
        None, description="Train an extra network for `encode`, with latent vectors of this length."
    )
    noise: Annotated[OptionalNumber, obeys("noise")] = Field(
        None, description="Train an extra network for `denoise`, to remove noise of this many standard deviations."
    )
    memory: Annotated[int, obeys("memory")] = Field(
        2000, description="How many training rows to compare records with. More find more anomalies; 0 is fastest."
    )
    seed: int = Field(0, ge=0, description="Random seed. The same sample and seed give the same model.")


class Threshold(BaseModel):
    """When a record counts as an anomaly."""

    false_alarm_rate: Annotated[float, obeys("false_alarm_rate")] = Field(
        USUAL_RATE,
        description="The share of normal records that may be flagged. Training refuses a rate that its sample cannot "
        f"support. Unset, the rate is {USUAL_RATE} or the lowest that the sample supports.",
    )
    calibrator: Annotated[str, obeys("calibrator")] = Field(
        "pot",
        description="`pot` extrapolates from the largest errors if necessary: 0.001 needs 250 records. `quantile` "
        "assumes nothing about the tail of the errors: 0.001 needs 999.",
    )
    adaptation: Annotated[str, obeys("adaptation")] = Field(
        "bounded",
        description="How far the threshold of an entity follows its errors where windows are used. `off`: not at all. "
        "`bounded`: some way, so that what is well above the usual is always flagged. `held`: as far as the "
        "false-alarm rate needs.",
    )


class State(BaseModel):
    """What a worker remembers of each entity, if records are judged with those before them."""

    topic: OptionalText = Field(
        "aestream.state",
        description="A compacted topic that keeps what is remembered, so that it survives restarts; `off`: it stays in "
        "memory, and after a restart entities begin anew. `aestream topics create` creates it.",
    )
    ttl: Duration = Field(
        7 * 86_400.0, description="An entity without a record for so long, by the records' timestamps, is forgotten."
    )
    max_bytes: ByteSize = Field(
        ByteSize(2**30), description="Beyond this, the entities that were not seen for longest are forgotten."
    )


class Trainer(BaseModel):
    """Retraining."""

    schedule: str = Field("every 24h", description="`every 24h`, a five-field cron expression in UTC, or `off`.")
    on_moved: Annotated[Annotated[float, Field(ge=0, lt=1)] | None, BeforeValidator(none_if_off)] = Field(
        0.2,
        description="The trainer trains again when the errors of a larger share of the entities than this have moved "
        "for good; `off`: it does not. Only with windows.",
    )
    sample_records: int = Field(
        200_000,
        gt=0,
        description="How many of the newest records to learn from, of all partitions together. Of very many entities, "
        "all records of some; see [training.md](training.md#very-many-entities).",
    )
    sample_period: OptionalDuration = Field(
        None,
        description="How far back the sample reaches at most, such as `7d`. It should cover two of the cycles that the "
        "records follow, for example two days, and `AESTREAM_TRAINER__SAMPLE_RECORDS` must be large enough for that.",
    )
    min_records: int = Field(500, ge=50, description="Training is refused with fewer valid records than this.")
    force: bool = Field(
        False, description="Train even if the model could not see much, such as records without a number that varies."
    )


class Worker(BaseModel):
    """The scoring loop."""

    max_batch_records: int = Field(5_000, gt=0, description="The most records in a batch.")
    max_batch_bytes: ByteSize = Field(
        ByteSize(16 * 2**20), description="The most bytes in a fetch, and about the most in a batch."
    )
    max_batch_wait: Duration = Field(
        0.02,
        description="How long a batch is filled with records that the broker has already. None is held back for those "
        "that may yet come.",
    )
    max_record_bytes: ByteSize = Field(ByteSize(2**20), description="A longer record becomes a dead letter.")
    drain_timeout: Duration = Field(30.0, description="How long a shutdown waits for the current batch.")
    stall_timeout: Duration = Field(
        120.0,
        gt=0,
        description="A worker that scores nothing for so long, although Kafka answers and records can be read, ends: "
        "its log then shows where each of its threads is.",
    )
    threads: int = Field(
        1,
        ge=1,
        description="The most threads for inference; never more than the cores that the process has, in a container "
        "those of its limit. One worker per core is faster than more threads.",
    )


class Output(BaseModel):
    """What a score message contains."""

    top_features: int = Field(5, ge=1, description="How many features an anomaly's explanation lists.")
    latent: bool = Field(False, description="Add the latent vector to every score.")
    reconstruction: bool = Field(False, description="Add the reconstruction, by feature, to every score.")
    headers: bool = Field(False, description="Add CloudEvents headers to plain scores too; this halves the rate.")


class DeadLetters(BaseModel):
    """Limits beyond which the worker stops."""

    max_invalid_ratio: float = Field(0.5, gt=0, le=1, description="Dead letters as a share of the last 10,000 records.")
    max_consecutive_count: int = Field(1_000, gt=0, description="Dead letters in a row.")


class Files(BaseModel):
    """The files that commands read in place of Kafka."""

    encoding: str | None = Field(
        None,
        description="Encoding of text files, such as `cp1252` or `utf-16`. Unset: UTF-8, unless a byte order mark says "
        "otherwise; bytes that are not UTF-8 are read as Windows-1252.",
    )


class Log(BaseModel):
    """Logging to standard error."""

    format: Literal["auto", "json", "plain"] = Field("auto", description="`auto` is plain on a terminal, else JSON.")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The lowest level that is logged.")


class Settings(BaseSettings):
    """All settings. Create them with `load`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", env_file=".env", extra="ignore", env_ignore_empty=True
    )

    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    delivery: Literal["at_least_once", "exactly_once"] = Field(
        "at_least_once",
        description="`at_least_once`: an offset is committed once its results are acknowledged, and after a kill some "
        "results come twice. `exactly_once`: both are one transaction, and whoever reads committed messages only sees "
        "each result once; see [delivery.md](delivery.md).",
    )
    model: Model = Model()
    records: Records = Records()
    features: Features = Features()
    threshold: Threshold = Threshold()
    state: State = State()
    trainer: Trainer = Trainer()
    worker: Worker = Worker()
    output: Output = Output()
    dead_letters: DeadLetters = DeadLetters()
    http: Http = Http()
    files: Files = Files()
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Rank the secrets directories and the file below the environment."""
        secrets = NestedSecretsSettingsSource(
            file_secret_settings,
            secrets_dir=[d for d in _SECRETS if d and Path(d).is_dir()],
            secrets_dir_missing="ok",
            secrets_prefix=PREFIX,
            secrets_nested_delimiter="__",
        )
        return (init_settings, env_settings, dotenv_settings, secrets, *_file_source(settings_cls))


_file: list[Path] = []  # the file given to `load`; pydantic-settings looks for its sources on the class


def _file_source(settings_cls: type[BaseSettings]) -> tuple[PydanticBaseSettingsSource, ...]:
    if not _file:
        return ()
    kind = TomlConfigSettingsSource if _file[0].suffix == ".toml" else YamlConfigSettingsSource
    source = kind(settings_cls, _file[0])
    unknown = sorted(_unknown(source(), Settings))
    if unknown:
        raise ConfigurationError(f"{_file[0]}: unknown setting {', '.join(unknown)}; `aestream config` lists all")
    return (source,)


def load(file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings from all sources; `overrides` (nested like the models) come from the command line.

    Raises ConfigurationError that names each wrong setting, its value and what is allowed.
    """
    chosen = file or (Path(path) if (path := os.environ.get(f"{PREFIX}CONFIG")) else None)
    if chosen is not None and not chosen.is_file():
        raise ConfigurationError(f"there is no configuration file {chosen}")
    _file[:] = [chosen] if chosen else []
    try:
        return Settings(**(overrides or {}))
    except ValidationError as error:
        raise ConfigurationError("; ".join(_explain(problem) for problem in error.errors())) from error
    except ConfigurationError:
        raise
    except Exception as error:  # a file that is not YAML or TOML, an environment variable that is not JSON
        raise ConfigurationError(f"the configuration cannot be read: {str(error).splitlines()[0]}") from error
    finally:
        _file.clear()


def _unknown(data: Mapping[str, Any], model: type[BaseModel], path: str = "") -> Iterator[str]:
    for key, value in data.items():
        field = model.model_fields.get(key)
        if field is None:
            yield f"{path}{key}"
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel) and isinstance(value, dict):
            yield from _unknown(value, field.annotation, f"{path}{key}.")


def _explain(problem: Mapping[str, Any]) -> str:
    """One line for one pydantic error: the setting, its value and what is wrong."""
    place = [str(part) for part in problem["loc"] if isinstance(part, str) and part.isidentifier()]
    variable = PREFIX + "__".join(place).upper()
    message = problem["msg"].removeprefix("Value error, ")
    value = problem.get("input")
    hidden = "password" in variable.lower() or isinstance(value, dict | BaseModel)
    return f"{variable}: {message}" + ("" if hidden else f" (given: {value!r})")
