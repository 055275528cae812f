"""GitHub's workflows and CONTRIBUTING.md, as far as they can be checked without GitHub."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from containers import ROOT

Program = Callable[..., str]

WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))


def workflow(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(ROOT.joinpath(".github", "workflows", f"{name}.yml").read_text())
    return content


def check(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing(program: Program) -> None:
    check([program("actionlint"), "-shellcheck=", *map(str, WORKFLOWS)])


def test_zizmor_finds_nothing(program: Program) -> None:
    check([program("zizmor"), "--offline", ".github"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_commit(path: Path) -> None:
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    for use in uses:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use), use


def test_images_are_taken_by_digest_where_a_registry_is_reached() -> None:
    """A release asks for it, and Renovate writes it into the repository."""
    steps = workflow("release")["jobs"]["build"]["steps"]
    scripts = [step.get("run", "") for step in steps]
    (pin,) = [script for script in scripts if "RepoDigests" in script]
    assert scripts.index(pin) < next(number for number, script in enumerate(scripts) if "make release" in script)
    line = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", ROOT.joinpath("Dockerfile").read_text(), re.MULTILINE)
    assert line, "what both of them look for"
    renovate = json.loads(ROOT.joinpath(".github", "renovate.json").read_text())
    assert {"dockerfile", "docker-compose"} <= set(renovate["enabledManagers"])
    assert any(rule.get("pinDigests") for rule in renovate["packageRules"])
    dependabot = yaml.safe_load(ROOT.joinpath(".github", "dependabot.yml").read_text())
    assert not any("docker" in update["package-ecosystem"] for update in dependabot["updates"]), "one tool for each"


def test_one_release_of_an_action_is_used_everywhere() -> None:
    uses = {use for path in WORKFLOWS for use in re.findall(r"uses: (.*)", path.read_text())}
    assert len({use.partition("@")[0] for use in uses}) == len(uses)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_job_has_only_the_permissions_that_it_names(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert content["permissions"] == {}
    assert all("permissions" in job and "timeout-minutes" in job for job in content["jobs"].values())


def test_every_supported_python_is_tested() -> None:
    project = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())["project"]
    declared = re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert workflow("ci")["jobs"]["test"]["strategy"]["matrix"]["python"] == declared


def test_only_what_was_built_once_is_published() -> None:
    jobs = workflow("release")["jobs"]
    for name in ("package-index", "registry"):
        assert jobs[name]["needs"] == "build"
        assert not any("make" in step.get("run", "") for step in jobs[name]["steps"])
    assert "secrets." not in ROOT.joinpath(".github", "workflows", "release.yml").read_text()


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/ISSUE_TEMPLATE/[!c]*.yml")), ids=lambda path: path.stem)
def test_an_issue_form_has_what_github_requires(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= form.keys()
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids))


def test_every_path_that_contributing_names_is_there() -> None:
    named = re.findall(r"`((?:\.?\w[\w-]*/)[\w./-]+)`", ROOT.joinpath("CONTRIBUTING.md").read_text())
    assert len(named) > 10
    assert [path for path in named if path != "dist/" and not ROOT.joinpath(path).exists()] == []
