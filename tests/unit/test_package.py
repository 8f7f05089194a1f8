import ast
import subprocess
import sys
from pathlib import Path

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


def test_no_attribute_is_born_outside_the_constructor() -> None:
    # Whoever reads a constructor then knows the whole object. scikit-learn's estimators get theirs in `fit`: name_.
    born_later = []
    for path in Path(aestream.__file__).parent.rglob("*.py"):
        owners = {node.name: node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)}
        for owner in owners.values():
            bases = [owners[base.id] for base in owner.bases if isinstance(base, ast.Name) and base.id in owners]
            born = set().union(*(_assigned(one, constructor=True) for one in (owner, *bases)))
            later = sorted(_assigned(owner, constructor=False) - born)
            born_later += [f"{path.name}: {owner.name}.{name}" for name in later if not name.endswith("_")]
    assert not born_later


def _assigned(owner: ast.ClassDef, *, constructor: bool) -> set[str]:
    """The attributes of self that a class assigns in its constructor and its body, or elsewhere."""
    names = set()
    for part in owner.body:
        if isinstance(part, ast.FunctionDef) and (part.name == "__init__") == constructor:
            names |= {
                node.attr
                for node in ast.walk(part)
                if isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and isinstance(node.value, ast.Name)
                and node.value.id == "self"
            }
        elif constructor and isinstance(part, ast.AnnAssign | ast.Assign):
            names |= {node.id for node in ast.walk(part) if isinstance(node, ast.Name)}
    return names
