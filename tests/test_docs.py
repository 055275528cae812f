from __future__ import annotations

import inspect
import pydoc
import re
from pathlib import Path

import pytest

from benchmarks import torture
from exporter.config import load
from exporter.model import Event
from tools import tables

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def test_the_tables_of_the_readme_are_those_of_the_code() -> None:
    assert tables.render(README.read_text()) == README.read_text(), "run `make docs`"


def test_every_attack_has_a_row() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    (table,) = re.findall("<!-- begin attacks -->(.*?)<!-- end attacks -->", text, re.DOTALL)
    rows = [row.split("|")[1].strip() for row in table.splitlines() if row.startswith("|")]
    assert rows[2:] == [torture.title(*one) for one in torture.ATTACKS], "run `make torture`"


def test_every_event_has_a_row() -> None:
    assert tables.WHEN.keys() == set(Event)


def test_the_configuration_of_the_readme_is_accepted(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(# clopos.yml\n.*?)```", README.read_text(), re.DOTALL)
    secret = tmp_path / "tandir"
    secret.write_text("s3cret")
    path = tmp_path / "clopos.yml"
    path.write_text(example.replace("/run/secrets/tandir", str(secret)).replace('"..."', '"x"'))
    settings = load(path, {})
    assert settings.brands[0].brand == "tandir-group"


def test_the_default_of_base_url_is_the_only_place_that_knows_the_host_of_clopos() -> None:
    """The vendor names a successor on another host: whoever has to move changes a setting."""
    named = [
        (str(path.relative_to(ROOT)), line.split()[0])
        for path in ROOT.glob("exporter/**/*.py")
        for line in path.read_text().splitlines()
        if "integrations.clopos.com" in line
    ]
    assert sorted(named) == [("exporter/config/settings.py", "base_url:"), ("exporter/config/values.py", "raise")]
    assert "names a successor of this API on another host" in (ROOT / "docs" / "clopos-api.md").read_text()


def documents() -> list[Path]:
    return sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("helm/**/*.md")])


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#]+)", document.read_text())
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_classes_and_attributes_that_exist(document: Path) -> None:
    modules = {path.stem for path in ROOT.glob("exporter/*")}
    named = re.findall(r"`((?:exporter\.)?(\w+)(?:\.\w+)*\.[A-Z]\w+(?:\.\w+)*)", document.read_text())
    ours = [f"exporter.{name.removeprefix('exporter.')}" for name, first in named if first in modules]
    assert [name for name in ours if pydoc.locate(name) is None] == []


@pytest.mark.parametrize("path", ["poll", "scrape"])
def test_the_paths_of_the_architecture_name_functions_that_exist_and_call_each_other_in_order(path: str) -> None:
    text = (ROOT / "docs/architecture.md").read_text().partition(f"<!-- {path}:")[2].partition(f"<!-- {path} end")[0]
    steps = re.findall(r"^\d\. `([\w.]+)`", text, re.MULTILINE)
    functions = [pydoc.locate(step) for step in steps]
    assert None not in functions
    main = next(step for step in steps if step.startswith("exporter.app."))
    owner = pydoc.locate(main.rpartition(".")[0])
    source = inspect.getsource(owner)  # type: ignore[arg-type]
    body = source.partition(f"def {main.rpartition('.')[2]}(")[2]
    called = [f"{step.rpartition('.')[2]}(" for step in steps[steps.index(main) + 1 :]]
    positions = [body.index(name) for name in called]
    assert positions == sorted(positions)
