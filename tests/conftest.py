"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from hypothesis import settings

from benchmarks.postgres import PostgreSQL, binaries

# A busy machine makes an example slow for reasons of its own.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def absent() -> Callable[[str], NoReturn]:
    """Skip because of what this machine lacks, in a line that names it; with REQUIRE_ALL=1 fail instead."""

    def skip_or_fail(what: str) -> NoReturn:
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(f"absent: {what}, and REQUIRE_ALL=1", pytrace=False)
        pytest.skip(f"absent: {what}")

    return skip_or_fail


@pytest.fixture(scope="session")
def program(absent: Callable[[str], NoReturn]) -> Callable[..., str]:
    """Find a real program on PATH under the first of its names that is there: `program("prometheus")`."""

    def find(*names: str) -> str:
        return next(filter(None, map(shutil.which, names)), None) or absent(names[0])

    return find


@pytest.fixture(scope="session")
def postgresql(absent: Callable[[str], NoReturn]) -> Iterator[PostgreSQL]:
    """Start a real PostgreSQL for all tests of this process."""
    with PostgreSQL(binaries() or absent("postgresql")) as server:
        yield server


@pytest.fixture
def database_url(postgresql: PostgreSQL) -> str:
    """Return the URL of an empty database."""
    return postgresql.empty()
