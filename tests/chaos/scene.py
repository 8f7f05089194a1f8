"""One fault from beginning to end: a stream, the workers that score it, what happens to them, and the verdict."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from tests.chaos import table
from tests.chaos.checker import Results, Table, Verdict, ends, judge, places, read_input, read_results
from tests.chaos.feed import Feed
from tests.kafka.cluster import Cluster, wait_for
from tests.kafka.service import Service

SECONDS = 120.0


class Scene:
    """A topic that records flow into, and workers on it. Leaving the `with` block ends whatever still runs.

    `make` gives settings for a topic; `settings` are changed ones. `finish` judges, and adds the row to the table.
    """

    def __init__(
        self,
        fault: str,
        *,
        cluster: Cluster,
        make: Callable[..., dict[str, str]],
        delivery: str,
        folder: Path,
        record_property: Any,
        partitions: int = 2,
        rate: float = 400,
        **settings: str,
    ) -> None:
        client = settings.get("kafka__client", "kafka-python")
        self.fault_name = fault if client == "kafka-python" else f"{fault} (librdkafka)"
        self.cluster = cluster
        self.folder = folder
        self.topic = cluster.topic(partitions=partitions)
        # the sessions of tests are short, and a transaction is to end before its owner's session does
        chosen = {"delivery": delivery, "kafka__transaction_timeout_ms": "4000"}
        self.settings = make(folder, self.topic, partitions=partitions) | chosen | settings
        self.feed = Feed(cluster.bootstrap, self.topic, rate)
        self.verdict = Verdict()
        self.times = 0
        self.said = ""
        self.workers: list[Service] = []
        self._recoveries: list[float] = []
        self._running = ExitStack()
        self._record_property = record_property
        self._judged = np.empty(0, np.int64)  # the places of records that were judged already
        self._kept: Table | None = None
        self._gone = np.empty(0, np.int64)
        self._starts: dict[str, dict[int, int]] = {}

    def __enter__(self) -> Self:
        self._running.callback(self._end_feed)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    @property
    def group(self) -> str:
        return self.settings["kafka__group_id"]

    @property
    def into(self) -> dict[str, str]:
        """The topics of the results, as the checker names them."""
        names = {"scores": "scores", "letters": "dead_letters", "anomalies": "anomalies"}
        return {kind: self.settings[f"topics__{name}"] for kind, name in names.items()}

    def worker(
        self, *, ready: bool = True, module: str | None = None, variables: Mapping[str, str] | None = None, **more: str
    ) -> Service:
        """Start a worker."""
        made = Service(
            ["worker"], settings=self.settings | more, folder=self.folder, module=module, variables=variables
        )
        self.workers.append(self._running.enter_context(made))
        return made.ready() if ready else made

    @contextmanager
    def fault(self) -> Iterator[None]:
        """What happens inside is the fault; leaving, wait until each partition with work to do is committed further."""
        yield
        self.times += 1
        self.recovers()

    def goes_on(self, count: int = 1) -> None:
        """Wait for so many more results."""
        wanted = self.results() + count
        self.until(f"{count} more results", lambda: self.results() >= wanted)

    def recovers(self) -> None:
        """Wait for commits of each partition with work to do, and note how long that takes."""
        ended, before = time.monotonic(), self.committed()
        self.until("new commits after the fault", lambda: self._moved_on(before))
        self._recoveries.append(time.monotonic() - ended)

    def until(self, what: str, check: Callable[[], Any], *, seconds: float = SECONDS) -> Any:
        return wait_for(what, check, seconds=seconds, context=self.logs)

    def logs(self) -> str:
        stand = f"committed {self.committed()} of {self.cluster.ends(self.topic)}, {self.results()} results"
        return "\n".join([*(worker.log for worker in self.workers[-3:]), stand])

    def says(self, *patterns: str, worker: Service | None = None) -> None:
        """Wait until a log has a line of one of these patterns, the first that matches: it goes into the table."""
        of = [worker] if worker is not None else self.workers

        def look() -> str | None:
            lines = [line for one in of for line in one.log.splitlines()]
            return next((line for pattern in patterns for line in lines if re.search(pattern, line)), None)

        self.said = table.plain(self.until(f"a line like {patterns}", look))

    def committed(self) -> dict[int, int]:
        return self.cluster.committed(self.group, self.topic)

    def done(self) -> bool:
        """Whether everything in the input is committed."""
        committed = self.committed()
        return all(committed.get(partition, 0) >= end for partition, end in self.cluster.ends(self.topic).items())

    def results(self) -> int:
        """How many scores and dead letters there are, markers of transactions included."""
        return self.cluster.count(self.into["scores"]) + self.cluster.count(self.into["letters"])

    def found(self) -> Results:
        """The results since everything was settled last."""
        return read_results(self.cluster.bootstrap, self.topic, self.into, self._starts)

    def keep_input(self) -> None:
        """Read the input now: some of it is about to be deleted."""
        self._kept = read_input(self.cluster.bootstrap, self.topic)

    def forgive(self, partition: int, first: int, last: int) -> None:
        """Records of a partition, from `first` up to but without `last`, that nobody can score any more."""
        self._gone = np.concatenate([self._gone, places(partition, np.arange(first, last))])

    def settle(self, *, seconds: float = 600) -> None:
        """Pause the stream, wait until all of it is committed, and judge what came since the last time."""
        self.feed.pause()
        self.until("everything committed", self.done, seconds=seconds)
        records = read_input(self.cluster.bootstrap, self.topic)
        if self._kept is not None:
            old = self._kept.where(~np.isin(self._kept.place, records.place))
            records = Table.of([tuple(getattr(one, name) for name in Table.__slots__) for one in (old, records)])
        records = records.where(~np.isin(records.place, np.concatenate([self._judged, self._gone])))
        self.verdict += judge(records, self.found())
        self._judged = np.concatenate([self._judged, records.place])
        self._starts = ends(self.cluster.bootstrap, list(self.into.values()))

    def anew(self, topic: str) -> None:
        """A topic is about to be deleted and created again, at a time when all is judged."""
        self._starts.pop(topic, None)
        if topic == self.topic:
            self._judged = self._judged[:0]

    def finish(
        self, *, times: str | None = None, allowed: Collection[str] = (), always: Collection[str] = ()
    ) -> Verdict:
        """Settle, stop the workers as systemd would, add the row to the table, and fail on what is not allowed.

        `allowed` names what at-least-once is forgiven here, beside results that come twice; `always`, what both are.
        """
        self.settle()
        for worker in self.workers:
            if worker.process.poll() is None:
                assert worker.stop() == 0, worker.log
        broken = [worker.log for worker in self.workers if "Traceback" in worker.log]
        verdict, delivery = self.verdict, self.settings["delivery"]
        table.keep(
            table.Row(
                fault=self.fault_name,
                delivery=delivery,
                times=times or str(self.times),
                records=verdict.records,
                lost=verdict.lost,
                duplicated=verdict.duplicated,
                out_of_order=verdict.out_of_order,
                recovery=max(self._recoveries, default=None),
                said=self.said,
            ),
            self._record_property,
        )
        assert verdict.records, "no records: the fault hit nothing"
        forgiven = {*always, *(allowed if delivery == "at_least_once" else ())}
        faults = {name: count for name, count in verdict.faults(delivery).items() if name not in forgiven}
        assert not faults, f"{verdict}\n{self.logs()}"
        assert not broken, broken[0]
        return verdict

    def _moved_on(self, before: Mapping[int, int]) -> bool:
        found, stand = self.committed(), self.cluster.ends(self.topic)
        behind = [p for p, end in stand.items() if found.get(p, 0) <= before.get(p, 0) < end]
        return bool(found) and not behind and (found != before or not self.feed.running)

    def _end_feed(self) -> None:
        self.feed.failed = None
        self.feed.pause()
