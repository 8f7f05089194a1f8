"""What a worker logs and counts when the model in its store has changed, or cannot be used."""

from __future__ import annotations

import logging

from aestream.registry.watcher import Failure
from aestream.service.metrics import WorkerMetrics

_log = logging.getLogger(__name__)


class Reloads:
    """Listens to the watcher of `model`: counts each attempt to load, and logs a failure when it is news."""

    def __init__(self, model: str, metrics: WorkerMetrics) -> None:
        self._model = model
        self._metrics = metrics

    def loaded(self, version: str) -> None:  # noqa: ARG002 - the worker logs it once it is in use
        """The current version loads."""
        self._count("success")

    def unchanged(self, version: str | None) -> None:
        """A requested look found nothing new, or the current version is already in use."""
        if version is None:
            _log.info("the store has no model %s yet: `aestream train` makes one", self._model)
            return
        self._count("success")
        _log.info("%s@%s is the current model and already in use", self._model, version)

    def failed(self, failure: Failure, *, news: bool) -> None:
        """The current version does not load, or the store does not tell which it is."""
        self._count("failed")
        if news:
            _log.error("%s: %s", self._told(failure), failure.why)

    def _count(self, status: str) -> None:
        self._metrics.model_last_reload_successful.set(status == "success")
        self._metrics.model_reloads.labels(status).inc()

    def _told(self, failure: Failure) -> str:
        """What is damaged, what serves instead, and what to do."""
        current, serving = (f"{self._model}@{version}" for version in (failure.version, failure.serving))
        if failure.version is None:
            rest = "nothing is scored" if failure.serving is None else f"{serving} stays in use"
            return f"the current model is not known, {rest}"
        if failure.serving is None:
            told = "nothing is scored until `aestream train` makes a new one"
            return f"the current model {current} cannot be used, nor can an older one; {told}"
        if failure.serving == failure.version:
            return f"the current model {current} can no longer be loaded; this worker still has it in memory"
        # an older one may become the current; a newer one was rolled back from
        target = f" {failure.serving}" if failure.serving < failure.version else ""
        remedy = f"run `aestream train` or `aestream model rollback{target}`"
        return f"the current model {current} cannot be used, {serving} is used instead; {remedy}"
