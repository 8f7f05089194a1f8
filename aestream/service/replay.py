"""Seeing records once more, so that what is remembered of their entities is what it was: nothing is published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from aestream.errors import ModelError
from aestream.pipeline import LoadedModel
from aestream.state.partition import PartitionState
from aestream.transport.base import History
from aestream.types import Partition

Stretch = tuple[int, int, str]  # from one offset to another, by this version of the model


class Replay:
    """Lets partitions go on from what is remembered of them, up to where scoring begins.

    `load(version)` loads a model; it raises ModelError when it cannot.
    """

    def __init__(self, history: History, load: Callable[[str], LoadedModel]) -> None:
        self._history = history
        self._load = load

    def models(self, versions: Sequence[str], current: LoadedModel) -> Mapping[str, LoadedModel]:
        """Models by version. Raises ModelError for one that cannot be loaded, or that judges by other features."""
        return {version: self._model(version, current) for version in {*versions, current.version}}

    def run(
        self,
        states: dict[Partition, PartitionState],
        stretches: Mapping[Partition, Sequence[Stretch]],
        models: Mapping[str, LoadedModel],
        current: LoadedModel,
        going: Callable[[], bool],
    ) -> int | None:
        """See the records of each partition's stretches, and hand what is then remembered to the current model.

        `going`, called with each batch, says whether to go on. Returns how many records there were, or None, and hands
        over nothing, if it was not to go on.
        """
        count, left = 0, {part: list(some) for part, some in stretches.items() if some}
        while left:
            version = next(iter(left.values()))[0][2]
            some = {part: ahead.pop(0) for part, ahead in left.items() if ahead[0][2] == version}
            pipeline = models[version].pipeline
            for part in some:
                pipeline.stream.accept(part, states[part])
            starts = {part: start for part, (start, _, _) in some.items()}
            stops = {part: stop for part, (_, stop, _) in some.items()}
            for batch in self._history.between(starts, stops):
                if not going():
                    pipeline.stream.forget(some)
                    return None
                pipeline.recall(batch)
                count += len(batch)
            states |= {part: pipeline.stream.give(part) for part in some}
            left = {part: ahead for part, ahead in left.items() if ahead}
        for part, state in states.items():
            current.pipeline.stream.accept(part, state)
        return count

    def _model(self, version: str, current: LoadedModel) -> LoadedModel:
        if version == current.version:
            return current
        try:
            model = self._load(version.rsplit("@", maxsplit=1)[-1])
        except ModelError:
            raise
        except Exception as error:  # whatever a damaged file raises, the partition begins anew
            raise ModelError(f"model {version} cannot be loaded: {type(error).__name__}: {error}") from error
        if not current.pipeline.stream.fits(model.pipeline.stream):
            raise ModelError(f"model {version} judged it by other features")
        return model
