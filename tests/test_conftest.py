"""What the tests' own settings promise to whoever runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

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


def run(folder: Path, *flags: str) -> str:
    """Run the tests of a folder with the settings of ours, and return what pytest says."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:schemathesis", *flags]
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    environment = {key: value for key, value in environment.items() if not key.startswith("PYTEST_")}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment).stdout


def test_what_failed_in_groups_on_workers_is_what_runs_again_alone(tmp_path: Path) -> None:
    shutil.copy(TESTS / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow")
    (tmp_path / "test_some.py").write_text(FAILING)
    first = run(tmp_path, "-n", "1", "--dist", "loadgroup")
    assert "3 failed, 1 passed" in first, first
    again = run(tmp_path, "-n", "0", "--last-failed")
    assert "3 failed, 1 deselected" in again, again
    assert re.findall(r"^FAILED (\S+)", again, re.MULTILINE) == re.findall(r"^FAILED (\S+)", first, re.MULTILINE)
