from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

COVERED = [
    "exporter.changes",
    "exporter.incidents",
    "exporter.views",
    "exporter.metrics.families",
    "exporter.metrics.render",
]
"""Where it is decided what happened, who has to know of it, and what is shown."""

TESTS = [
    "tests/test_changes.py",
    "tests/test_changes_brand.py",
    "tests/test_views.py",
    "tests/incidents/test_conditions.py",
    "tests/incidents/test_counters.py",
    "tests/incidents/test_inactive.py",
    "tests/incidents/test_service.py",
    "tests/metrics",
]


@pytest.mark.slow
def test_what_is_decided_and_what_is_shown_is_covered_to_the_last_branch(tmp_path: Path) -> None:
    covered = [f"--cov={module}" for module in COVERED]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS, *covered, "--cov-branch",
         "--cov-report=term-missing", "--cov-fail-under=100"],
        cwd=ROOT, env={**os.environ, "COVERAGE_FILE": str(tmp_path / "coverage")}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
