"""The images, built by buildah and run by podman, confined as the compose file confines them.

The base is Debian's own Python, put together from Debian's packages, so that no registry of images is needed; torch
comes from pip's default index. That takes minutes and 13 GB, so it runs only where AESTREAM_TEST_REQUIRE lists buildah.
"""

import os
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.files import COMPOSE, ROOT, yaml_of
from tests.deploy.tools import required, tool, unavailable

pytestmark = pytest.mark.timeout(1800)

IMAGE, TRAINER = "localhost/aestream:test", "localhost/aestream-trainer:test"
OURS = yaml_of(COMPOSE)["x-aestream"]
CONFINED = [
    *(["--read-only"] if OURS["read_only"] else []),
    *(f"--tmpfs={path}" for path in OURS["tmpfs"]),
    *(f"--cap-drop={name}" for name in OURS["cap_drop"]),
    *(f"--security-opt={option}" for option in OURS["security_opt"]),
]
# Everything below one folder, so that no image or container of this machine is touched. The limits are those that root
# may set without CAP_SYS_RESOURCE.
STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/images"
runroot = "{folder}/run"
"""
ENGINE = """\
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
tmp_dir = "{folder}/tmp"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
netns = "none"
"""


class Engine:
    """buildah and podman over a store of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name, text in (("storage.conf", STORAGE), ("containers.conf", ENGINE)):
            (folder / name).write_text(text.format(folder=folder))
        self._environment = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "CONTAINERS_CONF": str(folder / "containers.conf"),
        }

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the engine, whatever comes of it; its output is one text."""
        return subprocess.run(
            command, cwd=ROOT, env=self._environment, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def __call__(self, *command: str) -> str:
        """Return the output of a program of the engine, which must succeed."""
        done = self.call(*command)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-5000:]}"
        return done.stdout.strip()

    def build(self) -> str:
        """Return the log of the builds of both images."""
        base = str(self._folder / "base.tar")
        needed = "python3,python3-venv,python-is-python3,ca-certificates"
        self("mmdebstrap", "--quiet", "--variant=minbase", f"--include={needed}", "bookworm", base)
        self("podman", "import", base, "localhost/base")
        command = (
            "buildah", "build", "--isolation=chroot", "--network=host", "--pull=never", "--layers",
            "--volume=/etc/ssl/certs:/etc/ssl/certs:ro",  # whom this machine trusts may be in front of pip's index
            "--build-arg=BASE_IMAGE=localhost/base",
        )  # fmt: skip
        worker = self(*command, f"--tag={IMAGE}", ".")
        return worker + self(*command, "--build-arg=TORCH_INDEX=", "--target=trainer", f"--tag={TRAINER}", ".")

    def run(self, *arguments: str) -> str:
        """Return the output of a confined container of the image."""
        return self("podman", "run", "--rm", *CONFINED, *arguments)

    def close(self) -> None:
        """Remove containers, mounts and files."""
        self.call("podman", "rm", "--all", "--force", "--time=0")
        self.call("umount", str(self._folder / "images/overlay"))
        shutil.rmtree(self._folder)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, str]]:
    if "buildah" not in required():
        pytest.skip("takes minutes and 13 GB: AESTREAM_TEST_REQUIRE=buildah runs it, as root")
    tool("buildah")
    missing = [name for name in ("podman", "runc", "mmdebstrap") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        unavailable("buildah", f"{' and '.join(missing) or 'root'} is missing")
    engine = Engine(tmp_path_factory.mktemp("engine"))
    try:
        yield engine, engine.build()
    finally:
        engine.close()


@pytest.fixture
def engine(built: tuple[Engine, str]) -> Engine:
    return built[0]


def test_the_build_warns_of_nothing_in_the_dockerfile(built: tuple[Engine, str]) -> None:
    lines = built[1].splitlines()
    assert any("useradd" in line for line in lines)
    assert [line for line in lines if "add warning" in line] == []


def test_it_is_aestream_of_this_version(engine: Engine) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert engine.run(IMAGE, "--version") == f"aestream {version}"


def test_only_the_image_of_the_trainer_can_train(engine: Engine) -> None:
    records = "--volume=" + str(ROOT / "tests/contract") + ":/records:ro"
    asked = ["podman", "run", "--rm", *CONFINED, records]
    refused = engine.call(*asked, IMAGE, "train", "/records/nothing.csv")
    assert "training needs PyTorch" in refused.stdout
    accepted = engine.call(*asked, TRAINER, "train", "/records/nothing.csv")
    assert "PyTorch" not in accepted.stdout
    assert "nothing.csv" in accepted.stdout


def test_a_command_reads_the_settings_of_the_image_and_of_the_environment(engine: Engine) -> None:
    lines = engine.run("--env=AESTREAM_TOPICS__INPUT=events", IMAGE, "config").splitlines()
    for line in ("HTTP__HOST=0.0.0.0", "MODEL__STORE=/var/lib/aestream/models", "TOPICS__INPUT=events"):
        assert f"AESTREAM_{line}" in lines


def test_only_a_volume_and_tmp_can_be_written_and_by_no_root(engine: Engine) -> None:
    folders = "/var/lib/aestream/models /tmp /opt/aestream /var/lib/aestream"
    script = f"id -u; for f in {folders}; do touch $f/x && echo $f; done"
    said = engine.run(
        "--volume=models:/var/lib/aestream/models", "--entrypoint=sh", IMAGE, "-c", f"({script}) 2>&1; true"
    )
    lines = [line for line in said.splitlines() if "Read-only file system" not in line]
    assert lines == ["10001", "/var/lib/aestream/models", "/tmp"]  # noqa: S108
    assert said.count("Read-only file system") == 2


def test_a_worker_without_a_model_lives_is_not_ready_and_stops_with_0(engine: Engine) -> None:
    worker = engine(
        "podman", "run", "--detach", *CONFINED, "--env=AESTREAM_TOPICS__INPUT=events",
        "--volume=models:/var/lib/aestream/models:ro", IMAGE,
    )  # fmt: skip
    kind, *healthcheck = yaml_of(COMPOSE)["services"]["worker"]["healthcheck"]["test"]
    assert kind == "CMD"
    deadline = time.monotonic() + 120
    while (asked := engine.call("podman", "exec", worker, *healthcheck)).returncode:
        assert time.monotonic() < deadline, asked.stdout + engine("podman", "logs", worker)
        time.sleep(0.2)
    ready = engine.call("podman", "exec", worker, *(word.replace("/livez", "/readyz") for word in healthcheck))
    assert "HTTP Error 503" in ready.stdout
    engine("podman", "stop", "--time=60", worker)
    assert engine("podman", "inspect", "--format={{.State.ExitCode}}", worker) == "0", engine("podman", "logs", worker)
