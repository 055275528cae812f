from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from fakes import FakeClock

NOBODY = 65534


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def unprivileged(tmp_path: Path) -> Callable[[], AbstractContextManager[None]]:
    """Drop the rights of root for a while, as permissions mean nothing to root; the test's folder is nobody's."""

    @contextmanager
    def as_nobody() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        for folder in (tmp_path, *tmp_path.parents[:3]):
            folder.chmod(0o755)
        for mine in (tmp_path, *tmp_path.iterdir()):
            os.chown(mine, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    return as_nobody
