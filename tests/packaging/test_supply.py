"""Whatever a build or a test installs is pinned and hashed, and a lower bound is a version that is tried."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from containers import ROOT
from packaging.requirements import Requirement
from packaging.version import Version

PROJECT = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())
SCRIPTS = [
    *(ROOT / name for name in ("Makefile", "Dockerfile", ".ci/install", ".ci/run", "tools/release", "tools/image")),
    *sorted(ROOT.glob(".github/workflows/*.yml")),
]
INSTALL = re.compile(
    r"(?:\bpip(?:x|3)?|\$\(PIP\)|\buv)\b[^\n|&]* (?:install|download|tool run)\b.*|\b(?:npm|uvx|go install|gem)\b .*"
)
HARMLESS = ("--require-hashes", "--no-index", "--no-deps", "--offline")


def joined(path: Path) -> str:
    """Return the text of a script without comments, continued lines joined."""
    text = path.read_text().replace("\\\n", " ")
    return re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_install_is_hashed(script: Path) -> None:
    hashed = "PIP_REQUIRE_HASHES=1" in script.read_text()
    loose = [
        match[0]
        for match in INSTALL.finditer(joined(script))
        if not hashed and not any(flag in match[0] for flag in HARMLESS)
    ]
    assert loose == []


def test_the_search_for_loose_installs_finds_one(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("python -m pip install \\\n  uv\nuv pip install --quiet x\npip download y\n")
    assert len(INSTALL.findall(joined(script))) == 3


@pytest.mark.parametrize("lock", sorted(ROOT.glob("*.lock")), ids=lambda path: path.name)
def test_every_pin_of_a_lock_has_hashes(lock: Path) -> None:
    pins = [entry for entry in re.split(r"\n(?=\S)", lock.read_text()) if "==" in entry.partition("\n")[0]]
    assert pins
    assert [pin for pin in pins if "--hash=sha256:" not in pin] == []


def test_every_tool_of_the_installation_has_a_checksum() -> None:
    text = ROOT.joinpath(".ci", "install").read_text()
    tables = re.findall(r'^go_\w+="\n(.*?)^"', text, re.DOTALL | re.MULTILINE)
    rows = [line.split() for table in tables for line in table.splitlines()]
    assert rows
    for row in rows:
        assert re.fullmatch(r"v\d\S+", row[-2]), row
        assert re.fullmatch(r"h1:[A-Za-z0-9+/]{43}=", row[-1]), row


def test_the_oldest_versions_tried_are_the_lower_bounds() -> None:
    text = ROOT.joinpath("requirements-lowest.lock").read_text()
    tried = dict(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==([^ ;]+)", text, re.MULTILINE))
    for need in map(Requirement, PROJECT["project"]["dependencies"]):
        (bound,) = (part.version for part in need.specifier if part.operator == ">=")
        assert f"{tried[need.name]}.0".startswith(f"{bound}."), f"{need}: run `make lock`"


ADVISORIES = {
    "apprise": ("CVE-2021-39229", "0.9.5.1"),
    "babel": ("CVE-2021-42771", "2.9.1"),
    "cryptography": ("CVE-2026-26007", "46.0.5"),
    "jinja2": ("CVE-2025-27516", "3.1.6"),
    "pydantic": ("CVE-2024-3772", "2.4.0"),
    "pyyaml": ("CVE-2020-14343", "5.4"),
    "requests": ("CVE-2026-25645", "2.33.0"),
    "starlette": ("GHSA-86qp-5c8j-p5mr", "1.0.1"),
    "urllib3": ("CVE-2026-44432", "2.7.0"),
    "uvicorn": ("CVE-2020-7694", "0.11.7"),
}
"""The newest advisory of each direct dependency that has one, and the first version without it. `make audit` asks for
those of the locked versions; nobody asks for those of the oldest that are allowed, so that a new one is added here."""


def test_lower_bounds_are_above_versions_with_known_advisories() -> None:
    dev = [need for need in PROJECT["dependency-groups"]["dev"] if isinstance(need, str)]
    bounds = {
        need.name: Version(part.version)
        for need in map(Requirement, [*PROJECT["project"]["dependencies"], *dev])
        for part in need.specifier
        if part.operator == ">="
    }
    below = {name: known for name, known in ADVISORIES.items() if bounds[name] < Version(known[1])}
    assert below == {}


def test_the_commit_hooks_are_the_commands_of_make_lint() -> None:
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", ROOT.joinpath("Makefile").read_text(), re.MULTILINE)
    commands = [
        line.strip().replace("$(BIN)", ".venv/bin").replace("$(PY)", ".venv/bin/python") for line in recipe.splitlines()
    ]
    (local,) = yaml.safe_load(ROOT.joinpath(".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == commands


def test_the_pipeline_needs_nothing_outside_of_the_repository() -> None:
    outside = [path for path in (*SCRIPTS, *ROOT.glob("tests/**/*.py")) if re.search(r"\.\./shared", path.read_text())]
    assert outside == []


@pytest.mark.parametrize(("target", "for_two"), [("test", 4), ("test-all", 5)])
def test_the_number_of_workers_follows_the_machine(program: Callable[..., str], target: str, for_two: int) -> None:
    command = [program("make"), "-s", "-n", target]
    cores = int(subprocess.run(["getconf", "_NPROCESSORS_ONLN"], capture_output=True, text=True, check=True).stdout)
    # Without what a person who runs the tests with `make test WORKERS=2` passes on.
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "WORKERS")}
    shown = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"-n {cores * for_two // 2}\b", shown), shown
