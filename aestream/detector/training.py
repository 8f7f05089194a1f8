"""The way to what learns: it needs torch, which the extra `train` brings, and whoever only scores does without it."""

from collections.abc import Callable

from aestream.detector.fitted import Fitted
from aestream.errors import ConfigurationError


def learner() -> Callable[..., Fitted]:
    """Return what makes a fit of rows: `learn_series.learn_from`. The first call loads torch, which takes seconds.

    Raises ConfigurationError when torch is not installed.
    """
    try:
        from aestream.detector.learn_series import learn_from  # noqa: PLC0415 - loads torch
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        raise ConfigurationError(
            "training needs PyTorch, and it is not installed: pip install '.[train]' in your clone of the project"
        ) from error
    return learn_from
