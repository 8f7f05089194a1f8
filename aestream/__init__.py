"""aestream: streaming anomaly detection with autoencoders."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aestream.detector.detector import Detector

__all__ = ["Detector", "__version__"]

try:
    __version__ = version("aestream-kafka")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0.0.0+unknown"


def __getattr__(name: str) -> object:
    """Import the detector only when somebody asks for it (PEP 562)."""
    if name == "Detector":
        from aestream.detector.detector import Detector  # noqa: PLC0415 - `import aestream` must not cost a second

        return Detector
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
