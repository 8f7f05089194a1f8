"""The workflow for a hosted CI is valid, and runs what a person runs, on the versions of Python that are promised."""

import re
import tomllib

from tests.deploy.files import ROOT, WORKFLOW, yaml_of
from tests.deploy.tools import run

(JOB,) = yaml_of(WORKFLOW)["jobs"].values()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_it_follows_the_schema_of_workflows() -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW)


def test_it_runs_what_a_person_runs_and_all_that_the_other_runner_runs() -> None:
    commands = [step["run"] for step in JOB["steps"] if "run" in step]
    assert commands == ["make lint", "make test", "make demo"]
    assert set(re.findall(r"^make \w+$", (ROOT / ".ci/run").read_text(), re.MULTILINE)) <= set(commands)


def test_it_has_the_oldest_and_the_newest_python_that_are_promised() -> None:
    promised = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", c)]
    assert JOB["strategy"]["matrix"]["python"] == [promised[0], promised[-1]]
    assert PROJECT["requires-python"] == f">={promised[0]}"
