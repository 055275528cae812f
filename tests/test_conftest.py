"""What the tests' own settings promise to whoever runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

FAILING = """
import pytest

@pytest.mark.xdist_group("some")
def test_of_a_group(): assert False

@pytest.mark.xdist_group("some")
@pytest.mark.parametrize("address", ["a@b"])
def test_of_a_group_with_a_parameter(address): assert False

@pytest.mark.parametrize("address", ["a@b"])
def test_of_no_group(address): assert False

def test_that_passes(): pass
"""

CUT_SHORT = """
def test_that_fails(): assert False

def test_in_which_the_run_ends(): raise KeyboardInterrupt

def test_that_never_runs(): pass
"""

ALONE = ("-n", "0", "--last-failed", "--last-failed-no-failures=none")
"""As in .ci/run."""


def run(folder: Path, tests: str, *flags: str) -> str:
    """Run tests with the settings of ours, and return what pytest says."""
    shutil.copy(TESTS / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = slow")
    (folder / "test_some.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", *flags]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(TESTS.parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment).stdout


@pytest.mark.slow
def test_what_failed_in_groups_on_workers_is_what_runs_again_alone(tmp_path: Path) -> None:
    first = run(tmp_path, FAILING, "-n", "1", "--dist", "loadgroup")
    assert "3 failed, 1 passed" in first, first
    again = run(tmp_path, FAILING, *ALONE)
    assert "3 failed in" in again, again
    assert re.findall(r"^FAILED (\S+)", again, re.MULTILINE) == re.findall(r"^FAILED (\S+)", first, re.MULTILINE)


@pytest.mark.slow
def test_a_run_that_was_cut_short_cannot_be_mended_by_what_failed_in_it(tmp_path: Path) -> None:
    first = run(tmp_path, CUT_SHORT, "-n", "0")
    assert "1 failed" in first, first
    again = run(tmp_path, CUT_SHORT, *ALONE)
    assert "3 deselected in" in again, again


def test_ci_repeats_alone_what_failed_and_nothing_else() -> None:
    repeated = re.findall(r'ARGS="(.*?)"', (TESTS.parent / ".ci" / "run").read_text())
    assert repeated == [" ".join(ALONE)]
