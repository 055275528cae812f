"""The real process, started as a user starts it, and what a test sees of it: metrics, log, answers, exit code."""

from __future__ import annotations

import http.client
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.simulator import Simulator

TIMEOUT = 30.0
"""Seconds that a test waits for what should take one or two: the machine may be busy."""

STOP_SECONDS = 5.0
"""What the contract gives the daemon to end."""

CRASHES = {"poll.crashed", "process.crashed", "thread.crashed", "worker.failed"}
"""Events that no scenario may lead to: a mistake of ours came to light."""

ENVIRONMENT = {"PATH": os.environ.get("PATH", ""), "PYTHONWARNINGS": "default"}
"""What every process gets: warnings are shown, and nothing of the machine's own Clopos variables or proxies."""

T = TypeVar("T")


class Answer(NamedTuple):
    """What an HTTP request came back with; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Samples:
    """A parsed scrape."""

    def __init__(self, text: str, *, openmetrics: bool = False) -> None:
        self._by_name: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in (parse_openmetrics if openmetrics else parse_text)(text):
            for sample in family.samples:
                self._by_name.setdefault(sample.name, []).append((sample.labels, sample.value))

    @property
    def names(self) -> set[str]:
        return set(self._by_name)

    def all(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """Return every sample of a name that has these labels."""
        return [found for found in self._by_name.get(name, ()) if labels.items() <= found[0].items()]

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of the only sample with these labels, None where there is none."""
        found = self.all(name, **labels)
        assert len(found) <= 1, f"{name} {labels} is not one sample: {found}"
        return found[0][1] if found else None

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over every sample with these labels."""
        return sum(value for _, value in self.all(name, **labels))

    def label_values(self, name: str, label: str, **labels: str) -> set[str]:
        """Return the values that a label has among the samples of a name."""
        return {has[label] for has, _ in self.all(name, **labels)}


def configuration(simulator: Simulator, *brands: str, **settings: Any) -> dict[str, Any]:
    """Return the content of a configuration file for these brands of a simulator, all where none is named.

    Polls follow each other as fast as the configuration allows; `settings` replace what is said here.
    """
    return {
        "poll_interval": "1s",
        "discovery_interval": "1s",
        "brands": [brand_section(simulator, brand) for brand in brands or simulator.world.brands],
        **settings,
    }


def brand_section(simulator: Simulator, brand: str, **settings: Any) -> dict[str, Any]:
    """Return the section of a brand in a configuration file."""
    return {**simulator.credentials(brand), "base_url": simulator.url, "requests_per_minute": 300, **settings}


class Exporter:
    """`clopos-exporter serve` in a process of its own, on a free port; a context manager that demands a clean end.

    `config` is written to a file in `folder`, where it can be rewritten; None leaves it to `env`. Nothing else of the
    environment reaches the process.
    """

    PROGRAM: Sequence[str] = ("-m", "exporter")
    STOP_SECONDS = STOP_SECONDS

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any] | None = None,
        *,
        flags: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        log_format: str = "json",
        log_level: str = "info",
        command: str = "serve",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config_file = folder / "clopos.yml"
        self.log_file = folder / "log"
        self.error_file = folder / "stderr"
        self._arguments = [command, "--web.listen-address=127.0.0.1:0"]
        self._arguments += [f"--log.format={log_format}", f"--log.level={log_level}", *flags]
        if config is not None:
            self.configure(config)
            self._arguments.append(f"--config.file={self.config_file}")
        self._env = {**ENVIRONMENT, **(env or {})}
        self._is_json = log_format == "json"
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._read = 0
        self._events: list[dict[str, Any]] = []

    # Life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._process is None:
            return
        if kind is None:
            self.stop()
        else:  # the failure that is under way is the one to see
            self.kill()

    def configure(self, config: Mapping[str, Any] | str) -> None:
        """Write the configuration file, as a whole or not at all."""
        text = config if isinstance(config, str) else yaml.safe_dump(dict(config), allow_unicode=True)
        draft = self.config_file.with_suffix(".new")
        draft.write_text(text)
        draft.chmod(0o600)
        draft.replace(self.config_file)

    def start(self, seconds: float = 60) -> None:
        """Start it, and return once it listens. The log goes on in the same file after a restart."""
        seen = self.log_file.stat().st_size if self.log_file.exists() else 0
        self.launch()
        self._url = self.until(lambda: self._listening(seen), "an address to listen on", seconds=seconds)

    def launch(self) -> None:
        """Start it, and do not wait for anything."""
        with self.log_file.open("ab") as log, self.error_file.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *self.PROGRAM, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=errors,
                env=self._env,
                cwd=self.folder,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Let it end, as the contract says: in time, with exit code 0 and nothing of a crash; return the seconds."""
        began = time.monotonic()
        self.send(number)
        code = self.wait(self.STOP_SECONDS)
        took = time.monotonic() - began
        assert code == 0, self._story(f"exit code {code}")
        assert not self.errors, self._story("something on standard error")
        if self._is_json:
            crashes = [event for event in self.events() if event["event"] in CRASHES or event["level"] == "critical"]
            assert not crashes, self._story("a crash in the log")
        return took

    def wait(self, seconds: float) -> int:
        """Wait for its end and return the exit code."""
        assert self._process is not None
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(self._story(f"still there after {seconds} s")) from None
        self._process = None
        return code

    def kill(self) -> None:
        """End it without asking, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    # Sight

    @property
    def url(self) -> str:
        """Return its address, without a path."""
        return self._url

    @property
    def log(self) -> str:
        """Return all that it wrote to standard output."""
        return self.log_file.read_text(encoding="utf-8")

    @property
    def errors(self) -> str:
        """Return all that it wrote to standard error."""
        return self.error_file.read_text(encoding="utf-8")

    def events(self, name: str = "", **fields: Any) -> list[dict[str, Any]]:
        """Return the log events so far, of one name or with a prefix such as `station.`; each line has to be JSON."""
        with self.log_file.open("rb") as log:
            log.seek(self._read)
            whole, _, _ = (new := log.read()).rpartition(b"\n")
        if new:
            self._read += len(whole) + (b"\n" in new)
            self._events += [json.loads(line) for line in whole.decode("utf-8").split("\n") if line]
        return [
            event
            for event in self._events
            if (event["event"].startswith(name) if name.endswith(".") else name in ("", event["event"]))
            and fields.items() <= event.items()
        ]

    def get(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        """Ask it something; header names have underscores for dashes."""
        target = urlsplit(self._url)
        connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=10)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=sent)
            response = connection.getresponse()
            got = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, got, response.read())
        finally:
            connection.close()

    def metrics(self, *names: str) -> Samples:
        """Scrape it, limited to these names if there are any."""
        answer = self.get("/metrics?" + urlencode([("name[]", name) for name in names]))
        assert answer.status == http.client.OK
        return Samples(answer.text)

    def reload(self) -> Answer:
        """Let it read its configuration again."""
        return self.get("/-/reload", method="POST")

    # Waiting

    def until(self, seen: Callable[[], T | None], what: str, *, seconds: float = TIMEOUT) -> T:
        """Wait until something is seen, and return it."""
        end = time.monotonic() + seconds
        while not (found := seen()):
            assert self.running or self._process is None, self._story(f"it ended while waiting for {what}")
            assert time.monotonic() < end, self._story(f"no {what} in {seconds} s")
            time.sleep(0.05)
        return found

    def until_value(self, value: float | None, name: str, **labels: str) -> Samples:
        """Wait until a sample has a value, None for its absence, and return a scrape."""
        self.until(lambda: self.metrics(name).value(name, **labels) == value, f"{name}{labels} of {value}")
        return self.metrics()

    def until_event(self, name: str, *, times: int = 1, seconds: float = TIMEOUT, **fields: Any) -> dict[str, Any]:
        """Wait until an event was logged so many times, and return the last one."""
        self.until(lambda: len(self.events(name, **fields)) >= times, f"{name} {fields} x {times}", seconds=seconds)
        return self.events(name, **fields)[-1]

    def until_ready(self, venues: int = 2, *, seconds: float = TIMEOUT) -> None:
        """Wait until it is ready and so many venues had their first poll."""

        def seen() -> bool:
            polled = len(self.metrics("clopos_venue_up").all("clopos_venue_up")) >= venues
            return polled and self.get("/-/ready").status == http.client.OK

        self.until(seen, f"first polls of {venues} venues", seconds=seconds)

    def until_polled(self, times: int = 1, *, seconds: float = TIMEOUT, **labels: str) -> None:
        """Wait until each of these venues was polled so many times more."""

        def polls() -> dict[tuple[str, str], float]:
            samples = self.metrics("clopos_venue_polls_total").all("clopos_venue_polls_total", **labels)
            return {(has["brand"], has["venue_id"]): value for has, value in samples}

        before = polls()
        assert before, self._story(f"no venue of {labels} to wait for")

        def seen() -> bool:
            now = polls()
            return all(now.get(venue, math.inf) >= polled + times for venue, polled in before.items())

        self.until(seen, f"{times} more polls of {labels}", seconds=seconds)

    def _listening(self, seen: int) -> str | None:
        # The log of a poll that began before may hold the address of Clopos.
        log = self.log_file.read_bytes()[seen:].decode(errors="replace")
        found = re.search(r"\blistening\W.*?(http://127\.0\.0\.1:\d+)", log)
        return found[1] if found else None

    def _story(self, what: str) -> str:
        log = "\n".join(self.log.splitlines()[-30:])
        return f"{what}\n--- standard error\n{self.errors}\n--- end of the log\n{log}"


Start = Callable[..., Exporter]
"""A function that starts exporters: the fixture `start`."""


def run(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of `clopos-exporter` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "exporter", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=60, check=False,
        env={**ENVIRONMENT, **(env or {})}, cwd=cwd,
    )  # fmt: skip


def station_labels(simulator: Simulator, brand: str, venue: str, station: str) -> dict[str, str]:
    """Return the labels that the series of a station of the simulated world have to have."""
    row = simulator.world.station(brand, venue, station)
    return {
        "brand": brand,
        "venue_id": venue,
        "venue": simulator.world.venues(brand)[venue],
        "station_id": station,
        "station": row["name"],
        "kind": "kitchen" if row["type"] else "other",
    }
