"""The Makefile keeps what the README promises."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import pytest
from containers import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


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
    for document in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{document.name}: make {target}"


def test_a_machine_without_a_python_that_will_do_is_reported_what_to_do(
    make: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = make("demo", "PYTHON=")
    assert done.returncode == 2
    assert "needs Python 3.11 or newer, able to make virtual environments" in done.stderr
    assert "make demo PYTHON=/path/to/python3" in done.stderr


def test_a_pin_names_the_extras_that_others_ask_for() -> None:
    """Older pips take the newest release for `name[extra]` where only `name` is pinned, and find no hash for that."""
    text = ROOT.joinpath("requirements-dev.lock").read_text()
    pins = [Requirement(line) for line in re.findall(r"^([a-z0-9.\[\],_-]+==[^ ;]+)(?= \\)", text, re.MULTILINE)]
    pinned = {pin.name: pin.extras for pin in pins}
    ours = [one for one in distributions() if canonicalize_name(one.name) in {"clopos-exporter", *pinned}]
    wanted = [Requirement(text) for one in ours for text in one.requires or ()]
    asked = [need for need in wanted if need.extras and (need.marker is None or need.marker.evaluate({"extra": ""}))]
    assert {"coverage", "tabulate"} <= {need.name for need in asked}
    for need in asked:
        assert need.extras <= pinned[need.name], need
