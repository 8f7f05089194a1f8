"""Nothing leads to a stranger's project: on PyPI and on GitHub the name aestream belongs to one about event cameras."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# No release is published, so even the distribution's own name would ask a registry for what it does not have.
ASKS_A_REGISTRY = re.compile(r"pip3? install\b[^\n`]*?[\s'\"]aestream(?:-kafka)?(?=[\[=<>~!\s'\"`]|$)", re.MULTILINE)


def texts() -> list[tuple[str, str]]:
    """Every text file of the project, with wrapped shell commands in one line."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0")]
    files = {str(path.relative_to(ROOT)): path.read_bytes() for path in paths if path.is_file()}
    return [(name, data.decode().replace("\\\n", " ")) for name, data in files.items() if b"\0" not in data]


def test_no_file_names_the_strangers_repository() -> None:
    theirs = "/".join(("github.com", *2 * ("aestream",)))
    assert [name for name, text in texts() if theirs in text.lower()] == []


def test_no_file_tells_people_to_install_from_a_registry() -> None:
    found = [f"{name}: {match[0]}" for name, text in texts() for match in ASKS_A_REGISTRY.finditer(text)]
    assert found == []


@pytest.mark.parametrize("package", ["aestream", "'aestream[demo]'", "-U aestream-kafka", "aestream==1.0 torch"])
def test_such_a_command_would_be_seen(package: str) -> None:
    assert ASKS_A_REGISTRY.search(f"type `pip install {package}`")


def test_the_distribution_and_its_extras_are_ours() -> None:
    assert PROJECT["name"] == "aestream-kafka"
    needed = [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    ours = [text for text in needed if text.startswith("aestream")]
    assert [text for text in ours if not text.startswith(f"{PROJECT['name']}[")] == []


def test_the_version_is_that_of_our_distribution(tmp_path: Path) -> None:
    for name, version in (("aestream", "9.9.9"), ("aestream_kafka", "1.2.3")):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; import aestream; print(aestream.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1.2.3"
