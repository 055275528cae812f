"""The real processes: the simulator and the exporter as a user starts them, and a client that only gets."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

PYTHON = os.environ.get("EXPORTER_PYTHON", sys.executable)
"""The interpreter of an environment such as users have: `make bench` makes one."""

STATIONS = 20
START_SECONDS = 60.0
IDLE_SECONDS = 3.0
_LINES = 5  # that the simulator prints of each brand

Section = dict[str, Any]
"""A brand in the configuration."""


@dataclass(frozen=True, slots=True)
class Exporter:
    """A running exporter."""

    pid: int
    port: int
    started: float
    """When it was started, `time.perf_counter()`."""
    log: Path

    def kill(self) -> None:
        """End it without asking, as a power cut does."""
        os.kill(self.pid, signal.SIGKILL)

    def scrape(self, query: str = "") -> str:
        """Scrape it; `query` may filter."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics{query}") as answer:
            return str(answer.read().decode())

    def polls(self) -> int:
        """Return how many polls there were so far."""
        lines = self.scrape("?name[]=clopos_venue_polls_total").splitlines()
        return sum(round(float(line.rpartition(" ")[2])) for line in lines if line.startswith("clopos"))

    def until_read(self) -> None:
        """Wait until every venue has been polled, and what follows on that is done: a full garbage collection."""
        while b"exporter.first_round" not in self.log.read_bytes():  # The last line may be half a letter.
            time.sleep(0.2)
        time.sleep(IDLE_SECONDS)

    def until(self, polls: int) -> None:
        """Wait for so many polls."""
        while self.polls() < polls:
            time.sleep(0.2)


@contextmanager
def simulator(*, brands: int, venues: int, changes_per_minute: float = 0.0) -> Iterator[list[Section]]:
    """Run a simulator without limits, and return the sections that configure its brands."""
    command = ["simulate", "--listen-address=127.0.0.1:0", "--scenario=calm", "--no-limits"]
    command.append(f"--changes-per-minute={changes_per_minute}")
    with _program([*command, f"--brands={brands}", f"--venues={venues}", f"--stations={STATIONS}"]) as (_, output):
        printed = _until(output, lambda text: text if text.count("\nCLOPOS_") == _LINES * brands else None)
        sections: list[Section] = []
        for name, value in re.findall(r"^CLOPOS_(\w+)=(.*)$", printed, re.MULTILINE):
            if name == "BASE_URL":
                sections.append({"requests_per_minute": 300})
            sections[-1][name.lower()] = value
        yield sections


@contextmanager
def exporter(brands: list[Section], *, port: int = 0, **settings: Any) -> Iterator[Exporter]:
    """Run an exporter; port 0 is any that is free."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as config:
        yaml.safe_dump({"brands": brands, **settings}, config)
        config.flush()
        began = time.perf_counter()
        command = [
            "serve",
            f"--config.file={config.name}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.format=json",
        ]
        with _program(command) as (process, output):
            yield Exporter(process.pid, int(_until(output, _port)), began, output)


@contextmanager
def bare_gets(brand: Section, venues: int, rate: float) -> Iterator[int]:
    """Get stations with `requests` and do nothing else, so many times a second; return the process' id."""
    process = multiprocessing.get_context("spawn").Process(target=_get, args=(brand, venues, rate), daemon=True)
    process.start()
    try:
        yield process.pid or 0
    finally:
        process.terminate()
        process.join()


def _get(brand: Section, venues: int, rate: float) -> None:
    session = requests.Session()
    names = ("client_id", "client_secret", "brand", "integrator_id")
    login = session.post(f"{brand['base_url']}/auth", json={name: brand[name] for name in names})
    session.headers["x-token"] = login.json()["token"]
    due = time.perf_counter()
    while True:
        for venue in range(1, venues + 1):
            session.get(f"{brand['base_url']}/stations", params={"limit": 200}, headers={"x-venue": str(venue)})
            due += 1 / rate
            time.sleep(max(0.0, due - time.perf_counter()))


@contextmanager
def _program(arguments: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    with tempfile.NamedTemporaryFile() as output:
        # As installed: with compiled modules, whatever developers have set.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        process = subprocess.Popen(  # noqa: S603 - our own
            [PYTHON, "-m", "exporter", *arguments],
            stdout=output,
            env=environment,
        )
        try:
            yield process, Path(output.name)
        finally:
            process.terminate()
            process.wait()


def _port(text: str) -> str | None:
    found = re.search(r"http://127\.0\.0\.1:(\d+)", text)
    return found[1] if found else None


def _until(output: Path, found: Callable[[str], str | None]) -> str:
    """Wait until something is found in what a program has written."""
    end = time.monotonic() + START_SECONDS
    while (what := found(output.read_text(errors="replace"))) is None:
        if time.monotonic() > end:
            raise TimeoutError(output.read_text())
        time.sleep(0.005)
    return what
