"""The signatures of models are those of the OpenSSF: its own tool reads ours, and we read what it writes."""

from pathlib import Path

import pytest

from aestream import signature
from tests import keys, manifests
from tests.deploy.tools import run

pytestmark = pytest.mark.timeout(900)  # the tool may have to be installed first


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_each_side_verifies_what_the_other_has_signed(tmp_path: Path, curve: str) -> None:
    private, public = keys.make(tmp_path, curve=curve)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        manifests.write(folder)
    signature.sign(ours, signature.private_key(private), "default")
    file = theirs / signature.SIGNATURE
    run("model_signing", "sign", "key", theirs, "--signature", file, "--private_key", private)
    for folder in (ours, theirs):
        file = folder / signature.SIGNATURE
        run("model_signing", "verify", "key", folder, "--signature", file, "--public_key", public)
        assert signature.verify(folder, signature.public_key(public))
