"""The real Helm, and the data that the real tools need."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rendering import Chart


@pytest.fixture(scope="session")
def chart(program: Callable[..., str]) -> Chart:
    return Chart(program("helm"))


@pytest.fixture(scope="session")
def tool_data(absent: Callable[[str], Any]) -> Callable[[str], Path]:
    """Find a folder of data that `.ci/install` fetches; skip, or fail with REQUIRE_ALL=1, where it is absent."""

    def find(name: str) -> Path:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = cache / "clopos-exporter-ci" / name
        return folder if folder.is_dir() else absent(f"{name} (fetched by .ci/install)")

    return find
