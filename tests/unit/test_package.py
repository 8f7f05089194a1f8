import subprocess
import sys

import pytest

import aestream
from aestream.detector.detector import Detector


def test_neither_the_package_nor_its_commands_import_torch() -> None:
    code = "import aestream.cli, sys; assert 'torch' not in sys.modules; print(aestream.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == aestream.__version__


def test_the_detector_is_at_the_top() -> None:
    assert aestream.Detector is Detector
    assert sorted(aestream.__all__) == ["Detector", "__version__"]


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Detecter'"):
        aestream.Detecter  # noqa: B018
