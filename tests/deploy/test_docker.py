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
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    known = {"${BASE_IMAGE}"}
    for base, name in stages:
        assert base in known
        known.add(name)
    assert len(stages) == len(re.findall("^FROM ", DOCKERFILE.read_text(), re.MULTILINE))


def test_the_image_without_a_target_is_the_workers_and_has_no_torch() -> None:
    stages = {part.split()[2]: part for part in re.split(r"^FROM ", DOCKERFILE.read_text(), flags=re.MULTILINE)[1:]}
    assert list(stages)[-1] == "worker"
    (built,) = re.findall(r"^COPY --from=(\S+)", stages["worker"], re.MULTILINE)
    assert "'.[confluent]'" in stages[built]
    assert "'.[train,confluent]'" in stages[re.findall(r"^COPY --from=(\S+)", stages["trainer"], re.MULTILINE)[0]]
    services = yaml_of(COMPOSE)["services"]
    assert {name: services[name]["build"]["target"] for name in ("worker", "trainer", "topics")} == {
        "worker": "worker",
        "trainer": "trainer",
        "topics": "worker",
    }


def test_the_guide_tells_every_build_argument_and_its_default() -> None:
    arguments = re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    rows = [line for line in GUIDE.read_text().splitlines() if line.startswith("|")]
    assert {"BASE_IMAGE", "TORCH_INDEX"} <= dict(arguments).keys()
    for name, default in arguments:
        (row,) = [row for row in rows if f"`{name}`" in row]
        assert name == "VERSION" or f"`{default}`" in row


def test_the_process_is_not_root() -> None:
    text = DOCKERFILE.read_text()
    (user,) = re.findall(r"^USER (.+)$", text, re.MULTILINE)
    assert all(int(number) > 0 for number in user.split(":"))
    assert text.index(" AS base\n") < text.index("\nUSER ") < text.index("\nENTRYPOINT ")
    assert re.findall(r"^FROM (\S+) AS (?:worker|trainer)$", text, re.MULTILINE) == ["base", "base"]


def test_image_and_manifests_carry_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.findall(r"^ARG VERSION=(.+)$", DOCKERFILE.read_text(), re.MULTILINE) == [version]
    assert yaml_of(COMPOSE)["x-aestream"]["image"] == f"aestream:{version}"
    assert yaml_of(COMPOSE)["services"]["trainer"]["image"] == f"aestream-trainer:{version}"
    base = yaml_of(BASE / "kustomization.yaml")
    assert {image["name"]: image["newTag"] for image in base["images"]} == {
        "aestream": version,
        "aestream-trainer": version,
    }
    pairs = {name: value for entry in base["labels"] for name, value in entry["pairs"].items()}
    assert pairs["app.kubernetes.io/version"] == version
