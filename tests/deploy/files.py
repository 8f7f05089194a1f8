"""Where the deploy files are, and what is written in them: manifests, queries, commands."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
RUNBOOKS = sorted((DEPLOY / "runbooks").glob("*.md"))
GUIDE = ROOT / "docs/operations.md"
DOCKERFILE = ROOT / "Dockerfile"
COMPOSE = DEPLOY / "compose/compose.yaml"
BASE = DEPLOY / "kubernetes/base"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
RULES = DEPLOY / "prometheus/alerts.yml"
ADDRESSES = DEPLOY / "prometheus/addresses.yml"
WORKFLOW = ROOT / ".github/workflows/ci.yml"
DASHBOARD = DEPLOY / "grafana/dashboards/aestream.json"

_WRAPPED = r"^(?:sudo )?aestream-run (?:--as \w+ )?"


class Found(NamedTuple):
    """A text and the place where it was found."""

    place: str
    text: str


def yaml_of(path: Path) -> Any:
    """The one document of a YAML file."""
    return yaml.safe_load(path.read_text())


def texts() -> list[Found]:
    """Every file that a user deploys or reads while operating."""
    files = [p for p in sorted(DEPLOY.rglob("*")) if p.is_file()]
    return [Found(str(p.relative_to(ROOT)), p.read_text()) for p in (*files, DOCKERFILE, GUIDE)]


def rules() -> list[dict[str, Any]]:
    """Recording rules and alerts, in order."""
    return [rule for group in yaml_of(RULES)["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """The alerts alone."""
    return [rule for rule in rules() if "alert" in rule]


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    read: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return read


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels without its rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[Found]:
    """Every PromQL expression of the rules, the dashboard and the pages. Grafana's variables are set."""
    found = [Found(f"alerts.yml: {r.get('alert') or r['record']}", r["expr"]) for r in rules()]
    for panel in panels():
        found += [Found(f"dashboard: {panel['title']}", filled(t["expr"])) for t in panel["targets"]]
    board = dashboard()
    for mark in board["annotations"]["list"]:
        found.append(Found(f"dashboard: {mark['name']}", filled(mark["expr"])))
    for variable in board["templating"]["list"]:
        asked = re.match(r"label_values\((.*), \w+\)$", variable.get("definition", ""))
        if asked:
            found.append(Found(f"dashboard: ${variable['name']}", filled(asked[1])))
    for page in (*RUNBOOKS, GUIDE):
        found += [Found(page.name, block) for block in _fenced(page, "promql")]
    return found


def filled(query: str) -> str:
    """A query of the dashboard with Grafana's variables set: every process, five minutes."""
    for variable in ("$__rate_interval", "$__range"):
        query = query.replace(variable, "5m")
    return query.replace("$job", ".*").replace("$instance", ".*")


def commands() -> list[Found]:
    """The arguments of every call of `aestream`, as one line each."""
    found = [Found("Dockerfile", shlex.join(command)) for command in _dockerfile_lists("CMD")]
    for name, service in yaml_of(COMPOSE)["services"].items():
        if service["image"].startswith("aestream"):
            found.append(Found(f"compose: {name}", shlex.join(service["command"])))
    for unit in UNITS:
        called = re.findall(r"^Exec\w+=\S*/aestream (.+)$", unit.read_text(), re.MULTILINE)
        found += [Found(unit.name, text) for text in called]
    for manifest in sorted(BASE.glob("*.yaml")):
        for document in yaml.safe_load_all(manifest.read_text()):
            for container in _containers(document):
                found.append(Found(manifest.name, shlex.join(container["args"])))
    for page in (*RUNBOOKS, GUIDE):
        found += [Found(page.name, text) for text in _spoken(page)]
    return found


def kustomizations() -> list[str]:
    """The overlays that the guide shows, in order."""
    return [block for block in _fenced(GUIDE, "yaml") if "\nkind: Kustomization\n" in block]


def _containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    template = document.get("spec", {}).get("template", {})
    containers: list[dict[str, Any]] = template.get("spec", {}).get("containers", [])
    return containers


def _dockerfile_lists(instruction: str) -> list[list[str]]:
    lines = re.findall(rf"^{instruction} (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    return [json.loads(line) for line in lines]


def _fenced(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def _spoken(page: Path) -> Iterator[str]:
    """Calls in a page: in shell blocks at a line's start, behind `--` or a path; else between backticks.

    `aestream-run` passes its words on, but for `--as SERVICE`.
    """
    for block in _fenced(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            yield from re.findall(r"(?:^|/bin/|-- )aestream (.+)$", line)
            yield from re.findall(rf"{_WRAPPED}(.+)$", line)
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for quoted in re.findall(r"`([^`]+)`", prose):
        yield from re.findall(r"(?:^|-- |trainer |worker )aestream (.+)$", " ".join(quoted.split()))
        yield from re.findall(rf"{_WRAPPED}(.+)$", " ".join(quoted.split()))
