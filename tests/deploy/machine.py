"""A real systemd: a container over this machine's own files, of which it changes none.

What the machine has enabled does not start in it. It is on the network of the machine. aestream is in /opt/aestream, as
the guide has it: a virtual environment of this interpreter, these packages and this checkout, all mounted there.
"""

import contextlib
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

from tests.deploy.files import ROOT

_BOOT = """
set -e
folder=$1; shift
mount -t tmpfs -o mode=0755 tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
cd "$folder/root"
rm -rf etc/systemd/system etc/aestream etc/default/aestream* opt/aestream var/lib/aestream var/lib/private
mkdir -p etc/systemd/system
exec "$@" --directory="$folder/root"
"""
_CHECKOUT = "/opt/checkout"
_PYTHON = "/opt/python"
_PACKAGES = "/opt/packages"


class Machine:
    """A machine that is booted by `start` and gone after `stop`. `folder` is an empty one to build it in."""

    def __init__(self, nspawn: str, folder: Path) -> None:
        self._nspawn = nspawn
        self._folder = folder
        self._log = folder.with_suffix(".log")

    def start(self) -> None:
        """Boot it. Raises OSError with its last words when it does not come up."""
        binds = {sys.base_prefix: _PYTHON, sysconfig.get_path("purelib"): _PACKAGES, str(ROOT): _CHECKOUT}
        command = [
            # A mount namespace of its own, and killed with this process: nothing is left whatever happens to the tests.
            *("unshare", "--mount", "setpriv", "--pdeathsig", "KILL", "sh", "-c", _BOOT, "sh", str(self._folder)),
            *(self._nspawn, "--register=no", "--keep-unit", "--link-journal=no", "--boot"),
            *(f"--machine=aestream-{os.getpid()}", f"--uuid={uuid4()}"),
            *(f"--bind-ro={source}:{target}" for source, target in binds.items()),
        ]
        with self._log.open("wb") as log:
            self._nspawned = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(self._booted, 60)
        except TimeoutError:
            self._nspawned.kill()
            self._nspawned.wait()
            raise OSError(" / ".join(self._log.read_text(errors="replace").split("\n")[-5:])) from None
        self._install()

    def stop(self) -> None:
        """Shut it down."""
        self._nspawned.terminate()
        try:
            self._nspawned.wait(60)
        except subprocess.TimeoutExpired:
            self._nspawned.kill()
            self._nspawned.wait()

    def inside(self, *command: str) -> Sequence[str]:
        """What runs a command in it from here."""
        enter = ("nsenter", f"--target={self._leader()}", "--mount", "--uts", "--ipc", "--pid", "--cgroup")
        return (*enter, f"--wdns={_CHECKOUT}", "--", *command)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in it, in the checkout."""
        done = subprocess.run(
            self.inside(*command), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done

    def file(self, path: str) -> Path:
        """A file of it as this process finds it."""
        return Path(f"/proc/{self._leader()}/root{path}")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file into it."""
        file = self.file(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def _leader(self) -> int:
        """Its first process."""
        pid = self._nspawned.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def _booted(self) -> bool:
        if self._nspawned.poll() is not None:
            raise TimeoutError
        with contextlib.suppress(IndexError):
            return self.run("systemctl", "is-system-running", check=False).stdout.strip() in {"running", "degraded"}
        return False

    def _install(self) -> None:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.write("/opt/aestream/pyvenv.cfg", f"home = {_PYTHON}/bin\n")
        self.write(f"/opt/aestream/lib/{version}/site-packages/it.pth", f"{_CHECKOUT}\n{_PACKAGES}\n")
        # An interpreter may expect its library where it was built, and a home folder is closed to the units.
        start = f'export LD_LIBRARY_PATH={_PYTHON}/lib\nexec /opt/aestream/bin/python -P -m aestream "$@"\n'
        self.write("/opt/aestream/bin/aestream", f"#!/bin/sh\n{start}", 0o755)
        self.file("/opt/aestream/bin/python").symlink_to(f"{_PYTHON}/bin/{version}")


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something. Raises TimeoutError when it does not come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.2)
