"""The detector: features, model, score and threshold as one thing that is fitted, asked, saved and loaded."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

import aestream
from aestream import artefact
from aestream.artefact import FieldNote, Manifest
from aestream.columns import Kind
from aestream.detector.advice import advice
from aestream.detector.attribution import Attribution
from aestream.detector.detection import Detection, Wanted
from aestream.detector.fitted import Fitted
from aestream.detector.options import Options
from aestream.detector.series import Naming
from aestream.detector.stream import Stream, refuse_unsorted
from aestream.detector.training import learner
from aestream.errors import DataError, ModelError
from aestream.features.schema import FeatureSchema
from aestream.features.series import keys_of, times_of
from aestream.features.table import finite
from aestream.inference.table import learn_table
from aestream.networks.base import TrainedNetwork
from aestream.networks.progress import Progress
from aestream.types import Flags, Key, Matrix, Vector

# scikit-learn's `check_estimator` fits ten rows.
MIN_ROWS = 10


class Detector:
    """An autoencoder that scores records by how far they are from the nearest normal record it can reconstruct.

    Args:
        false_alarm_rate: the share of normal records that may be flagged; `fit` refuses a rate that its rows cannot
            support. None: 0.001, or the lowest that they do support.
        calibrator: what turns errors into a threshold: `pot`, which reaches four times as far as the rows do, or
            `quantile`, which assumes nothing and reaches no further.
        latent_size: length of the vectors that `encode` returns. None: with `noise` as many as there are features,
            without it what detection itself uses, about half of that, 3 to 16.
        noise: what `denoise` removes, in standard deviations of a feature. With `latent_size`, `noise` or both, `fit`
            trains one more network to encode and reconstruct; errors and scores stay as they are.
        seed: the same seed and data give the same detector.
        steps: training batches at most, for each network.
        hidden: units in the hidden layers of the detector's own network.
        memory: training rows that records are compared with as well: more are more accurate and slower, 0 is fastest.
        missing: `dead_letter` refuses rows with missing values, `impute` fills them in; `NAME=POLICY` after a comma for
            single features.
        timestamps: fields of DataFrames and records to use by their time of day and weekday.
        direction: by feature name, `up`, `down` or `both`: only records above, or below, what was expected count.
        min_abs_deviation: by feature name: a smaller difference from what was expected, in its units, does not count.
        min_rel_deviation: the same, as a share of what was expected.
        flag_unseen: whether a category that training has not seen is an anomaly. False: it is taken for the likeliest.
        window: how many records of an entity are seen together. `auto`: 10 if the rows of an entity follow each other,
            else 1. With 1, given as a number, nothing is remembered, and counters are left out.
        max_gap: after a longer gap, in usual intervals of an entity, its window starts anew. None: by the training.
        clock: whether the time of day and the weekday are seen as well: `on`, `off`, or `auto`, if they tell something.
        holidays: a country, such as `DE` or `US-CA`, whose public holidays are seen as well.
        adaptation: what becomes of the threshold where errors have drifted: `off`, `bounded` (it follows a level that
            stays, and a rate only a little), or `held` (it holds the false-alarm rate whatever happens).

    Raises ConfigurationError when an option cannot work.
    """

    def __init__(
        self,
        *,
        false_alarm_rate: float | None = None,
        calibrator: str = "pot",
        latent_size: int | None = None,
        noise: float | None = None,
        seed: int = 0,
        steps: int = 800,
        hidden: int = 32,
        memory: int = 2000,
        missing: str = "dead_letter",
        timestamps: Sequence[str] = (),
        direction: Mapping[str, str] | None = None,
        min_abs_deviation: Mapping[str, float] | None = None,
        min_rel_deviation: Mapping[str, float] | None = None,
        flag_unseen: bool = False,
        window: int | str = "auto",
        max_gap: float | None = None,
        clock: str = "auto",
        holidays: str | None = None,
        adaptation: str = "bounded",
    ) -> None:
        self.options = Options(
            false_alarm_rate,
            calibrator,
            latent_size,
            noise,
            seed,
            steps,
            hidden,
            memory,
            missing,
            tuple(timestamps),
            dict(direction or {}),
            dict(min_abs_deviation or {}),
            dict(min_rel_deviation or {}),
            flag_unseen,
            window,
            max_gap,
            clock,
            holidays,
            adaptation,
        )
        self.fields: tuple[FieldNote, ...] = ()
        self._state: Fitted | None = None
        self._manifest: Manifest | None = None

    def fit(
        self,
        X: Any,  # noqa: N803
        *,
        keys: Any = None,
        times: Any = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Self:
        """Learn what is normal from rows in time order: a 2-D array, a DataFrame or a list of (nested) records.

        An array keeps all its columns. From DataFrames and records the features are inferred; `fields` then says
        what each field is used as, or why it is left out. In an array, NaN is a missing value.

        Args:
            X: (n, d) rows.
            keys: which entity each row belongs to, (n,): text, bytes or whole numbers; or the name, or names, of the
                columns that tell entities apart. None: all rows are of one.
            times: of the rows, (n,): seconds since 1970, dates or ISO 8601 text; or the name of a column. Rows of an
                entity must be in the order of time. None: they follow each other at a steady pace.
            progress: called as the networks learn.

        Raises DataError when X has no features, too few rows, or values that are not finite where none may be missing,
        and when keys or times do not fit the rows.
        """
        matrix, schema, notes = learn_table(
            X,
            timestamps=self.options.timestamps,
            missing=self.options.missing.split(","),
            rates=self.options.window != 1,
            keys=keys,
            times=times,
        )
        return self.fit_matrix(
            matrix,
            schema,
            keys=None if keys is None else keys_of(X, keys),
            times=times_of(X, times),
            naming=Naming.of(X, keys, times),
            fields=notes,
            progress=progress,
        )

    def fit_matrix(
        self,
        matrix: Matrix,
        schema: FeatureSchema,
        *,
        keys: Sequence[Key] | None = None,
        times: Vector | None = None,
        naming: Naming | None = None,
        fields: Sequence[FieldNote] = (),
        progress: Callable[[Progress], None] | None = None,
    ) -> Self:
        """Learn what is normal from (n, d) rows in time order, columns in the schema's order.

        `keys` and `times` (n,), in seconds, are those of the rows, and `naming` says where they were found. `fields`
        goes into the manifest: what each field of the records is used as, or why it is left out.

        The rows fall into contiguous stretches, and each member of the ensemble never sees one of them: that tells how
        much less the others err for having seen it, and the threshold is for rows that none has seen (cross-fitting).

        Raises ConfigurationError when an option names a feature that does not exist, or torch is not installed, and
        DataError when there are too few rows, or too few for the false-alarm rate, or values are not finite.
        """
        matrix = finite(np.asarray(matrix, dtype=np.float64), schema)
        if len(matrix) < MIN_ROWS:
            raise DataError(f"{len(matrix)} records are too few to learn from: give at least {MIN_ROWS}")
        self._state = learner()(matrix, schema, self.options, keys, times, naming, progress)
        self.fields, self._manifest = tuple(fields), None
        return self

    @property
    def left_out(self) -> tuple[FieldNote, ...]:
        """Return the fields of the records that are not features, and why."""
        return tuple(note for note in self.fields if not note.used)

    @property
    def schema(self) -> FeatureSchema:
        """Return the features, in the order of a matrix's columns."""
        return self._fitted.schema

    @property
    def manifest(self) -> Manifest:
        """Return the manifest of the files that the detector was last loaded from or saved to."""
        if self._manifest is None:
            raise ModelError("the detector has no files yet: call save, or load a saved model")
        return self._manifest

    @property
    def threshold(self) -> float:
        """Return the error above which a record is an anomaly."""
        return self._fitted.threshold.value

    @property
    def false_alarm_rate(self) -> float:
        """Return the share of normal records that may be flagged."""
        return self._fitted.threshold.false_alarm_rate

    @property
    def naming(self) -> Naming:
        """Return how the training told entities and times, for a detector that remembers."""
        return Naming() if self._fitted.series is None else self._fitted.series.naming

    @property
    def remembers(self) -> bool:
        """Whether records are judged with those of their entity before them, or counters by their rates."""
        return self._fitted.series is not None

    @property
    def window(self) -> int:
        """Return how many records of an entity are seen together."""
        return self._fitted.window

    @property
    def own_entities(self) -> int:
        """Return how many entities have a scaling and a threshold of their own; the others share one."""
        return 0 if self._fitted.series is None else int(np.count_nonzero(self._fitted.series.numbers))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what a person should know about the calibration and the constants, one sentence each."""
        return advice(self._fitted)

    @property
    def decisions(self) -> tuple[str, ...]:
        """Return what the training decided about windows, gaps and the clock, and why, one sentence each."""
        return tuple(self._fitted.training.get("decisions", ()))

    @property
    def network(self) -> TrainedNetwork:
        """Return the network that encodes and reconstructs: one of its own where the options asked for it."""
        return self._fitted.describing

    @property
    def latent_size(self) -> int:
        """Return the length of a latent vector."""
        return self.network.latent_size

    def detect(
        self,
        X: Any,  # noqa: N803
        *,
        keys: Any = None,
        times: Any = None,
        explain: bool | Flags = False,
        latent: bool = False,
        reconstruction: bool = False,
    ) -> Detection:
        """Judge n rows, as `Stream.detect` does, and remember nothing of them.

        They go on from the end of what was fitted, entity by entity; those of an entity that lie mostly before that end
        are taken for a series of their own.

        A row's result does not depend on how the rows are cut into calls, up to the rounding of float32 (1e-4 of the
        threshold).

        Raises what `Stream.detect` does, and DataError when most rows are older than one of their entity before them.
        """
        stream = self.stream()
        matrix, named, moments = stream.read(X, keys, times)
        stream.forget_later(named, moments)
        found = stream.judge(matrix, named, moments, Wanted(explain, latent, reconstruction))
        refuse_unsorted(found)
        return found

    def stream(self) -> Stream:
        """Return what judges records piece by piece, and remembers those before."""
        return Stream.after_training(self._fitted)

    def watch(self, time_to_live: float) -> Stream:
        """Return what judges the records of topics; an entity is forgotten after so many seconds without one."""
        return Stream.of_topics(self._fitted, time_to_live)

    def unseen(self, matrix: Matrix) -> dict[str, int]:
        """Count in (n, d) rows the values of each categorical feature that training has not seen."""
        counts = self.schema.unseen(matrix).sum(axis=0).tolist()
        columns = zip(self.schema.names, self.schema.columns, counts, strict=True)
        return {name: count for name, column, count in columns if column.kind is Kind.CATEGORICAL}

    def attribute(self, X: Any, *, keys: Any = None, times: Any = None) -> Attribution:  # noqa: N803
        """Explain m rows, which should be flagged ones: it costs more than `detect`.

        `expected` is the nearest normal record, and `share` is each feature's part of the squared deviations from it:
        0 for a feature whose deviation does not count, and for all where none does.
        """
        found = self.detect(X, keys=keys, times=times, explain=np.ones(len(X), bool)).attribution
        assert found is not None  # noqa: S101 - asked for
        return found

    def error(self, X: Any, *, keys: Any = None, times: Any = None) -> Vector:  # noqa: N803
        """Return the raw error of each row, (n,): what ranks records best."""
        return self.detect(X, keys=keys, times=times).error

    def score(self, X: Any, *, keys: Any = None, times: Any = None) -> Vector:  # noqa: N803
        """Return error / threshold of each row, (n,): above 1 is an anomaly."""
        return self.detect(X, keys=keys, times=times).score

    def flag(self, X: Any, *, keys: Any = None, times: Any = None) -> Flags:  # noqa: N803
        """Return whether each row is an anomaly, (n,)."""
        return self.detect(X, keys=keys, times=times).anomaly

    def encode(self, X: Any, *, keys: Any = None, times: Any = None) -> Matrix:  # noqa: N803
        """Return the latent vector of each row, (n, latent_size): the row in fewer numbers, for `decode` to undo.

        Give the detector a `latent_size`, or these are only those of the first network that detects.
        """
        latent = self.detect(X, keys=keys, times=times, latent=True).latent
        return np.empty((0, self.latent_size)) if latent is None else latent

    def decode(self, latent: Any, *, keys: Any = None) -> Matrix:
        """Turn what `encode` returned into rows in the user's units, (n, latent_size) -> (n, features of the schema).

        `keys` (n,) say which entity each is of, where entities have scalings of their own. None: of one that training
        has not seen.

        Raises DataError when these are not rows of `latent_size` finite numbers, with a key each.
        """
        return self._fitted.decode(latent, keys_of(latent, keys))

    def reconstruct(self, X: Any, *, keys: Any = None, times: Any = None) -> Matrix:  # noqa: N803
        """Return what the network makes of each row, in the user's units, (n, features of the schema)."""
        rebuilt = self.detect(X, keys=keys, times=times, reconstruction=True).reconstruction
        return np.empty((0, len(self.schema))) if rebuilt is None else rebuilt

    def denoise(self, X: Any, *, keys: Any = None, times: Any = None) -> Matrix:  # noqa: N803
        """Return each row without the noise that the detector was told of: another word for `reconstruct`."""
        return self.reconstruct(X, keys=keys, times=times)

    def explain(self, X: Any, *, keys: Any = None, times: Any = None) -> Matrix:  # noqa: N803
        """Return each feature's share of what is off in a row, (n, features of the schema); rows sum to 1, or to 0."""
        return self.attribute(X, keys=keys, times=times).share

    def save(self, directory: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
        """Write the model into a new or empty directory; `metadata` (JSON types) is kept in its manifest.

        Raises ModelError when nothing is fitted, or the directory is not empty or cannot be written.
        """
        about = {
            "created": datetime.now(UTC),
            "versions": {"aestream": aestream.__version__, **artefact.versions("torch", "numpy")},
            "metadata": dict(metadata or {}),
            "fields": [asdict(note) for note in self.fields],
        }
        self._manifest = self._fitted.save(Path(directory), about)

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote, and check it: every file's sha256, and the schema's hash.

        Raises ModelError when the directory holds no model, a damaged one or one of a newer format.
        """
        state, manifest = Fitted.load(Path(directory))
        detector = cls(**asdict(state.options))
        detector._state, detector._manifest = state, manifest
        detector.fields = tuple(manifest.fields)
        return detector

    @property
    def _fitted(self) -> Fitted:
        if self._state is None:
            raise ModelError("the detector has learnt nothing yet: call fit first, or load a saved model")
        return self._state
