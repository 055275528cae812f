"""What every test may ask for."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from typing import NoReturn

import pytest
import structlog
from hypothesis import settings

from benchmarks.postgres import PostgreSQL, binaries

# A busy machine makes an example slow for reasons of its own. Every run tries others.
settings.register_profile("patient", deadline=None, max_examples=int(os.environ.get("EXAMPLES", "50")))
settings.load_profile("patient")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without collecting garbage, and leave them, which last, out of every garbage collection to come."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run slow tests first, so that the many short ones keep every worker busy to the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Report a test of a group under its own name, as `--last-failed` looks for it.

    With `--dist loadgroup`, pytest-xdist appends `@group`, which a run without workers does not know.
    """
    if hasattr(report, "node") and report.nodeid.rfind("@") > report.nodeid.rfind("]"):
        report.nodeid = report.nodeid.rpartition("@")[0]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Forget what failed in a run that was cut short: to repeat that alone would pass over what never ran."""
    cache = getattr(session.config, "cache", None)  # There is none with `-p no:cacheprovider`.
    if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and cache is not None:
        cache.set("cache/lastfailed", {})


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Undo what a test made of the process' log, for the tests that follow on the same worker."""
    root = logging.getLogger()
    before = structlog.get_config(), root.handlers[:], root.level, sys.excepthook, threading.excepthook
    yield
    structlog.configure(**before[0])
    root.handlers[:] = before[1]
    root.setLevel(before[2])
    sys.excepthook, threading.excepthook = before[3:]
    logging.getLogger("uvicorn.access").disabled = False
    logging.captureWarnings(capture=False)


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
