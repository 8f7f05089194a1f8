"""A real thing that is missing skips a test with its reason, and fails it where AESTREAM_TEST_REQUIRE lists it."""

import re
from pathlib import Path

import pytest

from tests.deploy import tools
from tests.deploy.files import ROOT

NAME = "aestream-test-program"


@pytest.fixture(autouse=True)
def _nothing_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("AESTREAM_TEST_REQUIRE", raising=False)


def test_a_missing_program_skips_with_the_way_to_get_it() -> None:
    with pytest.raises(pytest.skip.Exception, match=f"{NAME}: not installed; `python -m tests.deploy.tools {NAME}`"):
        tools.tool(NAME)


def test_a_required_program_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def install() -> None:
        (tmp_path / NAME).touch(mode=0o755)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(tools._INSTALL, NAME, install)
    monkeypatch.setenv("AESTREAM_TEST_REQUIRE", f"promtool, {NAME}")
    assert tools.tool(NAME) == str(tmp_path / NAME)


def test_a_required_program_that_cannot_be_had_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tools._INSTALL, NAME, lambda: None)
    monkeypatch.setenv("AESTREAM_TEST_REQUIRE", NAME)
    with pytest.raises(pytest.fail.Exception, match=f"{NAME} is required here and cannot be had"):
        tools.tool(NAME)


def test_ci_requires_what_only_checks_files(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tools.required() == set()
    monkeypatch.setenv("CI", "true")
    assert tools.required() == set(tools._CHECKERS)


def test_what_the_runner_requires_can_be_installed() -> None:
    (listed,) = re.findall(r"^export AESTREAM_TEST_REQUIRE=(\S+)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert set(listed.split(",")) <= set(tools._INSTALL)
