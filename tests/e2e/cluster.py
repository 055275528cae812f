"""Several real processes with one database, what happens to them, and what is recorded of it."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

from cluster_checks import REQUESTS_PER_MINUTE, Accepted, Asked, Line, Trouble
from harness import Exporter, configuration
from proxies import Proxy
from receivers import Answer, Service
from witness import Witness

from benchmarks.postgres import PostgreSQL
from exporter.simulator import Simulator, World
from exporter.simulator.api import BASE_PATH
from exporter.simulator.messages import Request
from exporter.simulator.server import Wire

TIMEOUT = 60.0


def faketime() -> Path | None:
    """Return the library that lets the wall clock of one process jump, None where it is not installed."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None


class ClusterWitness(Witness):
    """Note also which process asked for what: each has a path of its own in front of the API's."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.requests: list[Asked] = []
        self.process_of: dict[str, str] = {}

    def serve(self, request: Request, wire: Wire) -> None:
        """Stand in for the API."""
        _, process, path = request.path.split("/", 2)
        token = request.headers.get("x-token", "")
        grant = self._find(token)
        brand = grant.brand if grant else json.loads(request.body or b"{}").get("brand", "")
        self.process_of[token] = process
        asked = Asked(time.monotonic(), process, brand, path.rpartition("/")[2], request.headers.get("x-venue"), token)
        self.requests.append(asked)
        super().serve(replace(request, path=f"/{path}"), wire)

    def doubt(self, troubles: Sequence[Trouble], wall: Callable[[float], float]) -> None:
        """Take no answer for surely stored that a process got which could not write just then."""
        for asked in self.lists:
            for sight in self.sights(asked):
                process = self.process_of.get(sight.token, "")
                at = sight.at - wall(0.0)
                if any(trouble.meets(at, process, margin=2.0) for trouble in troubles):
                    sight.sure = False


class TimedService(Service):
    """A receiver of notifications that notes when it accepted each, and from which process: by the path."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted: list[Accepted] = []

    def accept(self, path: str, body: dict[str, Any]) -> Answer:
        self.accepted.append(Accepted(time.monotonic(), path.split("/")[1], body))
        return super().accept(path, body)


class Process(Exporter):
    """One of the processes: its log is timed where it comes out, and its wall clock can jump."""

    STOP_SECONDS = 20.0
    """How soon a process has to end is tested where nothing else wears the machine out."""

    def __init__(self, folder: Path, config: Mapping[str, Any], proxy: Proxy, lines: list[Line]) -> None:
        library = faketime()
        self.clock_file = folder / "clock"
        env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock_file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        super().__init__(folder, config, env=env if library else {})
        self.name, self.proxy, self._lines = folder.name, proxy, lines
        self._follower: Thread | None = None
        self.jump(0)

    def jump(self, seconds: float) -> None:
        """Let the wall clock be wrong by so many seconds from now on."""
        draft = self.clock_file.with_suffix(".new")
        draft.write_text(f"{seconds:+}\n")
        draft.replace(self.clock_file)

    def launch(self) -> None:
        self.log_file.touch()
        with self.error_file.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *self.PROGRAM, *self._arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=self._env, cwd=self.folder,
            )  # fmt: skip
        self._follower = Thread(target=self._follow, args=(self._process,), daemon=True)
        self._follower.start()

    def join(self) -> None:
        """Wait for the end of its log, once it has ended."""
        if self._follower is not None:
            self._follower.join(TIMEOUT)

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as output, self.log_file.open("ab", buffering=0) as log:
            for line in output:
                at = time.monotonic()
                if line.endswith(b"\n"):  # The last line of a process that was killed may not be whole.
                    log.write(line)
                    self._lines.append(Line(at, self.name, json.loads(line)))


class Cluster:
    """Processes that share brands, a simulated Clopos and a receiver of notifications; a context manager."""

    def __init__(self, folder: Path, postgresql: PostgreSQL, *, processes: int = 3, brands: int = 12) -> None:
        self._stack = ExitStack()
        self._folder, self.postgresql = folder, postgresql
        self.simulator = Simulator(_world(brands), tiers=None)
        self.witness = ClusterWitness(self.simulator)
        self.service = TimedService()
        self.lines: list[Line] = []
        self.troubles: list[Trouble] = []
        self._names = [f"p{number + 1}" for number in range(processes)]
        self.processes: list[Process] = []
        self._wall_minus_monotonic = time.time() - time.monotonic()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.service)
        self._stack.enter_context(self.simulator)
        self.postgresql.empty()
        for name in self._names:
            proxy = self._stack.enter_context(Proxy(self.postgresql.port))
            self.processes.append(Process(self._folder / name, self._config(name, proxy), proxy, self.lines))
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.proxy.restore()
            process.kill()
            process.join()
        self._stack.close()

    @property
    def brands(self) -> tuple[str, ...]:
        return self.simulator.world.brands

    @property
    def running(self) -> list[Process]:
        return [process for process in self.processes if process.running]

    def wall(self, monotonic: float) -> float:
        """Return the epoch seconds of a monotonic time."""
        return monotonic + self._wall_minus_monotonic

    def until_asked(self, since: float, seconds: float = TIMEOUT) -> None:
        """Wait until something was asked about every brand after a time."""
        end = time.monotonic() + seconds
        missing = set(self.brands)
        while missing:
            missing = set(self.brands) - {one.brand for one in self._requests_since(since)}
            assert time.monotonic() < end, f"nobody polls {sorted(missing)}\n{self.story()}"
            time.sleep(0.1)

    def story(self) -> str:
        """Return what happened."""
        return "\n".join(map(str, self.troubles))

    def _requests_since(self, since: float) -> Iterator[Asked]:
        for one in reversed(self.witness.requests):
            if one.at <= since:
                return
            yield one

    def _config(self, name: str, proxy: Proxy) -> dict[str, Any]:
        config = configuration(
            self.simulator,
            poll_interval="1s",
            discovery_interval="15m",
            state={"url": f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"},
            incidents={"delay": "1s"},
            # Each brand has a channel of its own, so that no message lists more than fits.
            notifications={
                "group_wait": "1s",
                "channels": [
                    {"name": brand, "url": f"json://{self.service.address}/{name}?redirect=no", "brands": [brand]}
                    for brand in self.brands
                ],
            },
        )
        for brand in config["brands"]:
            brand["base_url"] = f"{self.simulator.root_url}/{name}{BASE_PATH}"
            brand["requests_per_minute"] = REQUESTS_PER_MINUTE
        return config


def _world(brands: int) -> World:
    world = World()
    for number in range(brands):
        brand = f"brand-{number + 1:02}"
        world.add_brand(brand)
        for venue in ("1", "2"):
            world.add_venue(brand, f"Venue {number}-{venue}")
            for station in range(1, 4):
                world.add_station(brand, venue, f"Grill {number}-{venue}-{station}", type=1, status=1)
    return world


class Restaurants:
    """Let people switch and edit stations at random; the first of a venue stays active."""

    def __init__(self, world: World, seed: int) -> None:
        self._world, self._random = world, random.Random(f"restaurants {seed}")  # noqa: S311 - runs have to repeat
        self._stopping = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        chosen = [(brand, venue, station) for brand in self._world.brands for venue in "12" for station in "23"]
        while not self._stopping.wait(self._random.uniform(0.1, 0.5)):
            brand, venue, station = self._random.choice(chosen)
            if self._random.random() < 0.2:
                self._world.touch(brand, venue, station)
            else:
                self._world.set_status(brand, venue, station, 1 - self._world.station(brand, venue, station)["status"])


class Faults:
    """Do to the processes of a cluster and to its database what may happen to them, at random, by a seed."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster, self._random = cluster, random.Random(f"faults {seed}")  # noqa: S311 - runs have to repeat

    def strike(self) -> Trouble:
        """Let one fault happen, and return it when it is over."""
        running = self._cluster.running
        some = {"clock": self.clock, "restart": self.restart}
        if len(running) > 1:
            some |= {"kill": self.kill, "leave": self.leave, "freeze": self.freeze, "cut": self.cut}
        if len(running) < len(self._cluster.processes):
            some["join"] = self.join
        kinds = sorted(some)
        [kind] = self._random.choices(kinds, [3 if kind == "join" else 1 for kind in kinds])
        trouble = Trouble(kind, "", time.monotonic())
        self._cluster.troubles.append(trouble)
        some[kind](trouble)
        trouble.end = time.monotonic()
        return trouble

    def kill(self, trouble: Trouble) -> None:
        process = self._any(trouble)
        process.kill()

    def leave(self, trouble: Trouble) -> None:
        self._any(trouble).stop()

    def join(self, trouble: Trouble) -> None:
        process = self._random.choice([one for one in self._cluster.processes if not one.running])
        trouble.process = process.name
        process.jump(0)
        process.start(TIMEOUT)

    def freeze(self, trouble: Trouble) -> None:
        process = self._any(trouble)
        process.send(signal.SIGSTOP)
        time.sleep(self._random.uniform(0.5, 14.0))
        process.send(signal.SIGCONT)

    def cut(self, trouble: Trouble) -> None:
        process = self._any(trouble)
        process.proxy.cut()
        time.sleep(self._random.uniform(0.5, 14.0))
        process.proxy.restore()

    def restart(self, trouble: Trouble) -> None:
        del trouble
        self._cluster.postgresql.stop()
        time.sleep(self._random.uniform(0.0, 2.0))
        self._cluster.postgresql.start()

    def clock(self, trouble: Trouble) -> None:
        self._any(trouble).jump(self._random.choice([-1, 1]) * round(self._random.uniform(1, 7200)))

    def _any(self, trouble: Trouble) -> Process:
        process = self._random.choice(self._cluster.running)
        trouble.process = process.name
        return process
