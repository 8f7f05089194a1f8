"""The decoder in C, built from its source for the tests, whether or not it is installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

_SOURCES = Path(__file__).resolve().parents[1] / "speedups" / "src"
_HEADERS = Path(sysconfig.get_path("include"))
_FLAGS = ("-std=c11", "-O2", "-g", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-DPy_LIMITED_API=0x030b0000")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DAESTREAM_EXACT_COPIES")


def build(folder: Path, flags: Sequence[str] = ()) -> Path:
    """Compile it into a folder. The test is skipped where there is no compiler, but fails in CI."""
    compiler = shutil.which("cc")
    if compiler is None or not (_HEADERS / "Python.h").exists():
        without("a C compiler and Python's headers are needed to build aestream-speedups")
    library = folder / "aestream_speedups.abi3.so"
    source = [str(_SOURCES / "module.c"), f"-I{_HEADERS}", "-o", str(library)]
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", *_FLAGS, *flags, *source], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return library


def load(library: Path) -> ModuleType:
    """Import what was built."""
    found = importlib.util.spec_from_file_location("aestream_speedups", library)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def without(reason: str) -> NoReturn:
    """Skip the test for this reason, or fail it in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
