"""The Dockerfile lints clean and finds what it copies. Building it takes a container engine."""

import re
import tomllib
from fnmatch import fnmatch

from tests.deploy.files import BASE, COMPOSE, DOCKERFILE, GUIDE, ROOT, yaml_of
from tests.deploy.tools import run


def test_hadolint_finds_nothing() -> None:
    assert run("hadolint", "--failure-threshold", "style", DOCKERFILE) == ""


def test_every_copied_file_exists_and_is_sent_to_the_builder() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    sources = [source for line in copied for source in line.split()]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), f"the Dockerfile copies {source}"
        assert sent(source), f".dockerignore keeps {source} back"


def test_nothing_else_is_sent_to_the_builder() -> None:
    assert not sent(".env")
    assert not sent("models/default/current")
    assert not sent(".git/config")


def sent(path: str) -> bool:
    """Whether the builder gets a file: the last line of .dockerignore that matches decides."""
    answer = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!").rstrip("/")
            if any(fnmatch(part, pattern) for part in (path, path.partition("/")[0])):
                answer = line.startswith("!")
    return answer


def test_every_stage_stands_on_the_base_of_ones_choice() -> None:
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE)) == {"${BASE_IMAGE}"}


def test_the_guide_tells_every_build_argument_and_its_default() -> None:
    arguments = re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    rows = [line for line in GUIDE.read_text().splitlines() if line.startswith("|")]
    assert {"BASE_IMAGE", "TORCH_INDEX"} <= dict(arguments).keys()
    for name, default in arguments:
        (row,) = [row for row in rows if f"`{name}`" in row]
        assert name == "VERSION" or f"`{default}`" in row


def test_the_process_is_not_root() -> None:
    last_stage = DOCKERFILE.read_text().rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (.+)$", last_stage, re.MULTILINE)
    assert all(int(number) > 0 for number in user.split(":"))
    assert last_stage.index("\nUSER ") < last_stage.index("\nENTRYPOINT ")


def test_image_and_manifests_carry_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.findall(r"^ARG VERSION=(.+)$", DOCKERFILE.read_text(), re.MULTILINE) == [version]
    assert yaml_of(COMPOSE)["x-aestream"]["image"] == f"aestream:{version}"
    base = yaml_of(BASE / "kustomization.yaml")
    assert [image["newTag"] for image in base["images"]] == [version]
    pairs = {name: value for entry in base["labels"] for name, value in entry["pairs"].items()}
    assert pairs["app.kubernetes.io/version"] == version
