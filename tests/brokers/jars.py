"""The jars of Apache Kafka and of the agent that exports its metrics: fetched once, with Maven."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aestream.errors import TransportError
from tests.locks import locked

KAFKA_VERSION = "4.4.0"
JMX_EXPORTER_VERSION = "1.0.1"
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>aestream</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


def cache_folder() -> Path:
    """Return where downloaded jars are kept: `$AESTREAM_CACHE`, else `.cache` in the current folder."""
    return Path(os.environ.get("AESTREAM_CACHE") or ".cache").resolve()


def kafka_jars() -> Path:
    """Return the folder of Apache Kafka's jars: that of `$KAFKA_HOME` if set, else fetched once with Maven.

    Raises TransportError when Maven is missing or the fetch fails.
    """
    home = os.environ.get("KAFKA_HOME")
    if home:
        jars = Path(home) / "libs"
        if not any(jars.glob("kafka_*.jar")):
            raise TransportError(
                f"KAFKA_HOME={home} holds no libs/kafka_*.jar: set it to an Apache Kafka folder or unset it",
            )
        return jars
    jars = cache_folder() / f"kafka-{KAFKA_VERSION}"
    if not jars.is_dir():
        with locked(cache_folder()), _draft(jars) as draft, tempfile.TemporaryDirectory() as project:
            if not jars.is_dir():
                Path(project, "pom.xml").write_text(_POM)
                _maven("dependency:copy-dependencies", f"-DoutputDirectory={draft}", folder=project)
    return jars


def jmx_exporter() -> Path:
    """Return the jar of the Prometheus JMX exporter agent, fetched once with Maven. Raises TransportError."""
    name = f"jmx_prometheus_javaagent-{JMX_EXPORTER_VERSION}"
    folder = cache_folder() / name
    if not folder.is_dir():
        artifact = f"io.prometheus.jmx:jmx_prometheus_javaagent:{JMX_EXPORTER_VERSION}"
        with _draft(folder) as draft:
            target = f"-DoutputDirectory={draft}"
            _maven("dependency:copy", f"-Dartifact={artifact}", target, folder=str(draft))
    return folder / f"{name}.jar"


def _maven(*arguments: str, folder: str) -> None:
    """Run Maven quietly in `folder`. Raises TransportError."""
    maven = shutil.which("mvn")
    if maven is None:
        raise TransportError(
            "Maven is missing, it fetches Kafka: install it (Debian: `apt install maven`), or set KAFKA_HOME",
        )
    command = [maven, "-q", "-B", *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        reason = " ".join(result.stdout.split())[:300]
        raise TransportError(f"Maven could not fetch the jars (mvn {arguments[0]}): {reason}")


@contextlib.contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """Give a draft folder that becomes `target` in one step: half a download never passes for a whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield draft
        with contextlib.suppress(OSError):  # another process finished first: its folder is as good
            draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
