"""Keys that sign models, made by openssl as the guide says."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make(folder: Path, name: str = "signing", curve: str = "P-256") -> tuple[str, str]:
    """Write a private key and its public half; return the paths of both."""
    private, public = (str(folder / f"{name}-{half}.pem") for half in ("private", "public"))
    generate = ["-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}"]
    subprocess.run(["openssl", "genpkey", *generate, "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return private, public
