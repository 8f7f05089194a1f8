"""The adapter by scikit-learn's own checks, and against the detector within."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install '.[sklearn]'")

from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from aestream import Detector
from aestream.errors import ConfigurationError, DataError
from aestream.sklearn import OutlierDetector


@parametrize_with_checks([OutlierDetector(steps=30)])  # type: ignore[untyped-decorator]
def test_it_passes_scikit_learn_s_own_checks(estimator: OutlierDetector, check: Callable[[Any], None]) -> None:
    check(estimator)


def blob(rows: int = 300, seed: int = 0) -> npt.NDArray[np.float64]:
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, 1)) * [1.0, 2.0, 3.0] + 0.1 * random.normal(size=(rows, 3))


def test_it_says_what_the_detector_within_says() -> None:
    fitted = OutlierDetector(false_alarm_rate=0.02, steps=50, random_state=3).fit(blob())
    plain = Detector(false_alarm_rate=0.02, steps=50, seed=3).fit(blob())
    rows = np.vstack([blob(50, seed=1), blob(10, seed=2) * [1, -1, 1]])
    assert np.array_equal(fitted.decision_function(rows), 1 - plain.score(rows))
    assert np.array_equal(fitted.score_samples(rows), -plain.score(rows))
    assert np.array_equal(fitted.predict(rows) == -1, plain.flag(rows))
    assert np.array_equal(fitted.detector_.explain(rows), plain.explain(rows))


def test_columns_keep_their_names_and_options_speak_of_them() -> None:
    frame = pd.DataFrame(blob(), columns=["load", "heat", "noise"])
    fitted = OutlierDetector(steps=30, direction={"heat": "up"}).fit(frame)
    assert fitted.detector_.schema.names == tuple(fitted.feature_names_in_) == ("load", "heat", "noise")
    with pytest.raises(ConfigurationError, match="'cold', which is not a feature"):
        OutlierDetector(direction={"cold": "up"}).fit(frame)


def test_a_rate_that_the_rows_cannot_support_is_refused_and_the_usual_one_bends() -> None:
    with pytest.raises(DataError, match="give at least 2500"):
        OutlierDetector(false_alarm_rate=1e-4).fit(blob())
    assert OutlierDetector(steps=10).fit(blob()).detector_._fitted.threshold.false_alarm_rate == 0.05
    assert OutlierDetector(steps=10).fit(blob(10)).detector_._fitted.threshold.false_alarm_rate == 1 / 11


def test_it_works_where_scikit_learn_s_own_do() -> None:
    piped = make_pipeline(StandardScaler(), OutlierDetector(steps=30)).fit(blob())
    assert piped.predict(blob(10, seed=2) + np.array([10, -10, 0])).tolist() == [-1] * 10
    sizes = {"latent_size": [1, 2]}
    search = GridSearchCV(
        OutlierDetector(steps=10), sizes, scoring=lambda fitted, rows: fitted.score_samples(rows).mean()
    )
    assert search.fit(blob(100)).best_params_["latent_size"] in (1, 2)


def test_a_random_state_decides() -> None:
    def errors(state: Any) -> npt.NDArray[np.float64]:
        fitted = OutlierDetector(steps=10, random_state=state).fit(blob(100))
        return np.asarray(fitted.score_samples(blob()))

    assert np.array_equal(errors(np.random.RandomState(1)), errors(np.random.RandomState(1)))
    assert not np.array_equal(errors(1), errors(2))
    assert np.isfinite(errors(None)).all()
