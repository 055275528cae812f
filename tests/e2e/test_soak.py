"""A day and a half of storms and calms in half a minute; `make soak` runs for longer."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak import soak


@pytest.mark.slow
def test_days_of_faults_reloads_and_restarts_lose_invent_and_leak_nothing(tmp_path: Path) -> None:
    assert "none missing" in soak(tmp_path, minutes=0.3, seed=3)
