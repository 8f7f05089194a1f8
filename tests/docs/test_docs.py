"""Documentation that fails: the pages must agree with the code."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import msgspec
import pytest
import yaml

from aestream import errors
from aestream.cli import build_parser
from aestream.messages.closings import Closing, Ending, Place
from aestream.messages.scores import FeatureShare, Origin, Score
from aestream.settings import reference
from aestream.settings.settings import load
from aestream.types import Reason
from tests.docs import generate

ROOT = generate.ROOT
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy/runbooks").glob("*.md")]


@pytest.mark.parametrize("path", generate.documents(), ids=lambda path: path.name)
def test_generated_parts_are_up_to_date(path: Path) -> None:
    assert path.read_text() == generate.documents()[path], "stale: run `make docs`"


def test_the_example_sets_nothing_and_every_line_of_it_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "config.example.env").read_text()
    assert not [line for line in text.splitlines() if line and not line.startswith("#")]
    assignments = re.findall(r"^# (AESTREAM_\w+)=(.*)$", text, re.MULTILINE)
    assert {name for name, _ in assignments} == reference.environment_names() - {"AESTREAM_CONFIG"}
    defaults = load()
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("\n".join(f"{name}={value}" for name, value in assignments))
    assert load() == defaults


def test_the_error_tree_drawn_in_the_code_shows_every_class() -> None:
    drawn = re.findall(r"^    ([│├└─ ]*)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    assert [(len(branches) // 4, name) for branches, name in drawn] == list(generate.error_classes())


def test_every_module_has_its_place_in_the_table() -> None:
    # A folder stands for what is in it, unless its files are named one by one.
    table = (ROOT / "docs/ARCHITECTURE.md").read_text().partition("## Where things are")[2].partition("## Who")[0]
    named = set(re.findall(r"`([\w/]+/|[\w/]+\.py)`", table))
    missing = [
        str(path)
        for path in sorted(p.relative_to(ROOT / "aestream") for p in (ROOT / "aestream").rglob("*.py"))
        if not path.name.startswith("__") and not {str(path), *(f"{parent}/" for parent in path.parents)} & named
    ]
    assert not missing
    gone = [name for name in named if not (ROOT / "aestream" / name).exists()]
    assert not gone


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_variable_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"AESTREAM_[A-Z]+(?:__[A-Z_]+[A-Z]|_[A-Z]+)*", page.read_text()))
    known = reference.environment_names()
    sections = {name.rsplit("__", 1)[0] for name in known}
    unknown = {n for n in named if n not in known and n not in sections and not n.startswith("AESTREAM_TEST_")}
    assert not unknown - {"AESTREAM_BENCH_DATA", "AESTREAM_CACHE"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_in_a_code_block_parses(page: Path) -> None:
    parser = build_parser()
    for block in re.findall(r"```(?:bash|sh|console)\n(.*?)```", page.read_text(), re.DOTALL):
        joined = block.replace("\\\n", " ")
        for line in re.findall(r"^(?:\$ )?(?:AESTREAM_\S+ )*aestream ([^|#\n]*)", joined, re.MULTILINE):
            words = line.split()
            if words and words[0] not in {"--help", "--version"}:
                parser.parse_args([word for word in words if word != "&"])


def test_the_figures_of_the_demo_are_the_same_on_both_pages() -> None:
    readme = " ".join((ROOT / "README.md").read_text().split())
    (found,) = re.findall(r"finds (\d+) of the (\d+)", readme)
    (share,) = re.findall(r"flags ([\d.]+ %) of the normal records", readme)
    assert f"| {' of '.join(found)} | {share} |" in (ROOT / "docs/demo.md").read_text()


def test_every_reason_is_documented() -> None:
    page = (ROOT / "docs/output.md").read_text()
    assert not [reason for reason in Reason if f"| `{reason}` |" not in page]
    told = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())
    headers = told["components"]["messages"]["deadLetter"]["headers"]["properties"]
    assert headers["aestream.dlq.error_type"]["enum"] == list(Reason)


def test_every_field_of_a_score_is_documented_and_fits_the_schema() -> None:
    page = (ROOT / "docs/output.md").read_text()
    assert not [name for name in Score.__struct_fields__ if f"| `{name}` |" not in page]
    share = FeatureShare("cpu", 0.9, 0.2, 1.0)
    origin, about = Origin("t", 0, 7, 1), {"host": "web-1"}
    score = Score(2.0, True, 4.0, 2.0, 0.001, "scored", "m@1", origin, None, about, [share], [0.5], {"cpu": 0.2})
    document = msgspec.json.decode(msgspec.json.encode(score))
    schema = msgspec.json.decode((ROOT / "docs/score.schema.json").read_bytes())
    jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "score": "high"}, schema)


def test_every_field_of_a_closing_is_documented_and_is_one_of_a_score() -> None:
    page = (ROOT / "docs/output.md").read_text().partition("### Closings")[2].partition("\n## ")[0]
    assert not [name for name in Closing.__struct_fields__ if f"`{name}`" not in page]
    assert not [reason for reason in Ending if f"`{reason}`: " not in page]
    assert set(Closing.__struct_fields__) < set(Score.__struct_fields__)
    assert set(Place.__struct_fields__) < set(Origin.__struct_fields__)


def test_the_asyncapi_document_names_the_default_topics() -> None:
    channels = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())["channels"]
    topics = load().topics
    addresses = {channel["address"] for channel in channels.values()}
    assert addresses == {topics.scores, topics.anomalies, topics.dead_letters}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_python_examples_run(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        if "aestream.sklearn" in block:
            pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install '.[sklearn]'")
        code = compile(block, str(page), "exec")
        if "KafkaConsumer" not in block:  # that one would wait for a broker
            exec(code, {})  # noqa: S102 - our own pages
