"""The detector by scikit-learn's conventions. Needs the extra `sklearn`."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aestream.detector.detector import MIN_ROWS, Detector
from aestream.features.schema import FeatureSchema
from aestream.thresholds.calibrators import CALIBRATORS
from aestream.types import Vector

try:
    from sklearn.base import BaseEstimator, OutlierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "aestream.sklearn needs scikit-learn 1.6 or newer: pip install '.[sklearn]' in your clone of the project"
    ) from error


# The rate when none is given: an analyst looks at hundreds of rows, where 0.001 would seldom flag any.
USUAL_RATE = 0.05


class OutlierDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """An autoencoder that scores rows by how far they are from the nearest normal row it can reconstruct.

    Args:
        false_alarm_rate: the share of new normal rows that may be called outliers; `fit` refuses a rate that its rows
            cannot support. None: 0.05, or the lowest rate that they do support. It replaces `contamination`, which is
            a share of the training rows; here those should be normal.
        calibrator: `pot` or `quantile`; see `aestream.Detector` for this and the options below.
        latent_size: length of the latent vector; None chooses by the number of features.
        noise: what the network learns to remove, in standard deviations of a feature.
        steps: the most training batches.
        hidden: units in the hidden layers.
        memory: training rows that new rows are also compared with; 0 is fastest.
        direction: by feature name, `up`, `down` or `both`.
        min_abs_deviation: by feature name, in its units.
        min_rel_deviation: by feature name, as a share of what was expected.
        random_state: the same number, and the same rows in the same order, give the same detector.

    Attributes:
        detector_: the fitted `aestream.Detector`, for what scikit-learn has no method for: explain, encode, save.
        offset_: -1.0; `decision_function` is `score_samples` - `offset_`.
        n_features_in_: the number of features.
        feature_names_in_: their names, where X has some.

    """

    def __init__(
        self,
        *,
        false_alarm_rate: float | None = None,
        calibrator: str = "pot",
        latent_size: int | None = None,
        noise: float | None = None,
        steps: int = 800,
        hidden: int = 32,
        memory: int = 2000,
        direction: Mapping[str, str] | None = None,
        min_abs_deviation: Mapping[str, float] | None = None,
        min_rel_deviation: Mapping[str, float] | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.false_alarm_rate = false_alarm_rate
        self.calibrator = calibrator
        self.latent_size = latent_size
        self.noise = noise
        self.steps = steps
        self.hidden = hidden
        self.memory = memory
        self.direction = direction
        self.min_abs_deviation = min_abs_deviation
        self.min_rel_deviation = min_rel_deviation
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803
        """Learn what is normal from (n, d) rows, in time order where they have one; y is ignored.

        Raises ConfigurationError when an option cannot work, DataError when the rows cannot support the false-alarm
        rate, and ValueError for what scikit-learn refuses: text, missing values, no rows.
        """
        matrix = validate_data(self, X, dtype=np.float64)
        if len(matrix) < MIN_ROWS:
            raise ValueError(f"{len(matrix)} sample(s) are too few to learn from: give at least {MIN_ROWS}")
        names = getattr(self, "feature_names_in_", [f"feature_{column}" for column in range(matrix.shape[1])])
        options = {name: value for name, value in self.get_params().items() if name != "random_state"}
        if self.false_alarm_rate is None and self.calibrator in CALIBRATORS:
            options["false_alarm_rate"] = max(USUAL_RATE, CALIBRATORS[self.calibrator].lowest_rate(len(matrix)))
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31)
        detector = Detector(seed=int(seed), window=1, **options)  # rows are samples in any order
        self.detector_ = detector.fit_matrix(matrix, FeatureSchema.of_names(list(names)))
        self.offset_ = -1.0
        return self

    def predict(self, X: Any) -> NDArray[np.int64]:  # noqa: N803
        """Return -1 for outliers and 1 for the rest, (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def decision_function(self, X: Any) -> Vector:  # noqa: N803
        """Return 1 - score, (n,): below 0 is an outlier."""
        samples: Vector = self.score_samples(X) - self.offset_
        return samples

    def score_samples(self, X: Any) -> Vector:  # noqa: N803
        """Return -score, (n,): the larger, the more normal. `score` is error / threshold, as everywhere in aestream."""
        check_is_fitted(self)
        matrix = validate_data(self, X, dtype=np.float64, reset=False)
        samples: Vector = -self.detector_.detect(matrix).score
        return samples
