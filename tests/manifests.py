"""A manifest as small as one can be, for stores whose models nobody loads."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from aestream import artefact


def facts(**changes: Any) -> dict[str, Any]:
    """What `artefact.write` wants to be told."""
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"aestream": "1"},
        "metadata": {},
        "fields": [],
        "options": {},
        "schema": {"names": ["a", "b"]},
        "schema_hash": "",
        "model": {},
        "threshold": {"value": 1.0},
        "representation": None,
        "series": None,
        "score_quantiles": {},
        "training": {"records": 100},
        **changes,
    }


def text(**changes: Any) -> str:
    """The content of a manifest.json."""
    files = {artefact.ARRAYS: "0"}
    return json.dumps({"format_version": artefact.FORMAT_VERSION, "files": files, **facts(**changes)})


def write(folder: Path, **changes: Any) -> None:
    """Put it into a folder, as a registry lets a model be written."""
    (folder / artefact.MANIFEST).write_text(text(**changes))
