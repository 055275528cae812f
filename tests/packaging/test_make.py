"""The Makefile keeps what the README promises."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from containers import ROOT


@pytest.fixture
def make(program: Callable[..., str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run make where nothing is set up yet, in a folder with a space in its name."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for path in (ROOT / "Makefile", *ROOT.glob("*.lock"), ROOT / "pyproject.toml"):
        shutil.copy(path, folder)

    # Below another make, as in `make test`, it would say so.
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program("make"), *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=environment,
        )

    return run


def test_every_target_explains_itself(make: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    makefile = ROOT.joinpath("Makefile").read_text()
    targets = {name for line in re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE) for name in line.split()}
    shown = {line.split()[0] for line in make().stdout.splitlines()[1:]}
    assert shown == targets


def test_every_target_the_documents_name_is_there() -> None:
    makefile = ROOT.joinpath("Makefile").read_text()
    for document in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")):
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{document.name}: make {target}"


def test_a_machine_without_a_python_that_will_do_is_told_what_to_do(
    make: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = make("demo", "PYTHON=")
    assert done.returncode == 2
    assert "needs Python 3.11 or newer, able to make virtual environments" in done.stderr
    assert "make demo PYTHON=/path/to/python3" in done.stderr
