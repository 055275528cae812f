"""The real Helm, and the data that the real tools need."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from containers import BASE, BUILD_ARGUMENTS, ROOT, Engine
from rendering import Chart

from exporter.simulator import Simulator, World

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clopos-exporter-ci"
"""What is kept between runs: `.ci/install` puts the tools' data there, and the base image lasts."""


@pytest.fixture(scope="session")
def chart(program: Callable[..., str]) -> Chart:
    return Chart(program("helm"))


@pytest.fixture(scope="session")
def tool_data(absent: Callable[[str], Any]) -> Callable[[str], Path]:
    """Find a folder of data that `.ci/install` fetches; skip, or fail with REQUIRE_ALL=1, where it is absent."""

    def find(name: str) -> Path:
        folder = CACHE / name
        return folder if folder.is_dir() else absent(f"{name} (fetched by .ci/install)")

    return find


@pytest.fixture(scope="session")
def engine(program: Callable[..., str], absent: Callable[[str], Any]) -> Engine:
    storage = CACHE / "containers"
    storage.mkdir(parents=True, exist_ok=True)
    engine = Engine(storage, program("buildah"), program("podman"), program("runc"))
    trouble = engine.missing_base()
    return engine if trouble is None else absent(f"{BASE}, pulled or built with BASE_IMAGE=debian: {trouble}")


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what images are built from, that nobody edits meanwhile."""
    folder = tmp_path_factory.mktemp("context")
    for name in ("Dockerfile", ".dockerignore", "LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for lock in ROOT.glob("*.lock"):
        shutil.copy(lock, folder)
    shutil.copytree(ROOT / "exporter", folder / "exporter", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="session")
def image(engine: Engine, context: Path) -> Iterator[str]:
    """The image of this checkout; it is gone afterwards, the base stays."""
    tag = f"localhost/clopos-exporter:test-{os.getpid()}"
    engine.build(tag, context, *BUILD_ARGUMENTS)
    yield tag
    engine.podman("rmi", "--force", tag)


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """A Clopos on loopback: the brand `openapitest` with two venues of four stations."""
    with Simulator(World.generate(venues=2, stations=4), tiers=None) as simulator:
        yield simulator


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory, program: Callable[..., str]) -> Path:
    """A copy of this checkout as git knows it, in a folder with a space in its name."""
    git = program("git")
    folder = tmp_path_factory.mktemp("a checkout")
    listed = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if ROOT.joinpath(name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    return folder
