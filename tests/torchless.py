"""An interpreter without torch: importing it fails there, as where the extra `train` was not installed."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
_HIDING = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTorch())
"""


def variables(folder: Path) -> dict[str, str]:
    """The variables with which Python starts without torch; `folder` gets a file for it."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_HIDING)
    return {"PYTHONPATH": f"{folder}:{ROOT}"}
