"""What messages call a setting: below the app the option, whose name the commands can turn into a variable."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from aestream.settings import reference

ROOT = Path(__file__).parents[2] / "aestream"
ABOVE = {"app", "settings", "arguments.py", "bench", "cli.py", "demo"}
LEAVES = [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] not in ABOVE]
# What else stands in backquotes: methods of the detector and their arguments, and values of settings.
NO_OPTIONS = {"encode", "explain", "keys", "off", "times"}


def messages(path: Path) -> Iterator[str]:
    """Every string of a module but its docstrings; `{}` for what an f-string fills in."""
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | parts:
            yield node.value


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: str(path.relative_to(ROOT)))
def test_below_the_app_no_message_names_a_variable(path: Path) -> None:
    assert [text for text in messages(path) if "AESTREAM_" in text] == []


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_option_that_a_message_names_has_a_variable(path: Path) -> None:
    named = {name for text in messages(path) for name in re.findall(r"`([a-z][a-z_]+)(?:=[^`]*)?`", text)}
    unknown = [name for name in named - NO_OPTIONS if reference.in_variables(f"`{name}`") == f"`{name}`"]
    assert unknown == []
