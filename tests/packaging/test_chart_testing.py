"""chart-testing, which shops that keep many charts run on each."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from containers import ROOT

Clone = Callable[[str], Path]


@pytest.fixture
def clone(tmp_path: Path, program: Callable[..., str]) -> Clone:
    """Clone a repository whose chart is older, and commit there the chart as it is, with this version."""
    git, origin, clone = program("git"), tmp_path / "origin", tmp_path / "clone"

    def run(folder: Path, *arguments: str) -> None:
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run([git, *identity, *arguments], cwd=folder, check=True, capture_output=True)

    def change(version: str) -> Path:
        shutil.copytree(ROOT / "helm", origin / "helm")
        set_version(origin, "0.0.1")
        (origin / "helm" / "clopos-exporter" / "README.md").write_text("# Older\n")
        run(origin, "init", "--initial-branch=main")
        run(origin, "add", ".")
        run(origin, "commit", "--message=Before")
        run(tmp_path, "clone", str(origin), str(clone))
        run(clone, "switch", "--create=change")
        shutil.copytree(ROOT / "helm", clone / "helm", dirs_exist_ok=True)
        set_version(clone, version)
        run(clone, "commit", "--all", "--message=Change")
        return clone

    return change


def set_version(folder: Path, version: str) -> None:
    chart = folder / "helm" / "clopos-exporter" / "Chart.yaml"
    chart.write_text(re.sub(r"^version: .*$", f"version: {version}", chart.read_text(), flags=re.MULTILINE))


def lint(folder: Path, program: Callable[..., str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(program('helm')).parent}:{os.environ['PATH']}"}
    command = [program("ct"), "lint", "--config=helm/ct.yaml"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_ct_lints_the_chart_with_every_values_file(clone: Clone, program: Callable[..., str]) -> None:
    done = lint(clone("0.0.2"), program)
    assert done.returncode == 0, done.stdout + done.stderr
    for values in ROOT.joinpath("helm", "clopos-exporter", "ci").glob("*-values.yaml"):
        assert f"ci/{values.name}" in done.stdout


@pytest.mark.slow
def test_ct_refuses_a_change_without_a_new_version(clone: Clone, program: Callable[..., str]) -> None:
    done = lint(clone("0.0.1"), program)
    assert done.returncode != 0, done.stdout + done.stderr
    assert "version" in (done.stdout + done.stderr).lower()
