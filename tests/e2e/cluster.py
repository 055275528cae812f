"""Several real processes with one database, what happens to them, and what a witness can say of it afterwards."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby, pairwise, product
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple, Self

from harness import Exporter, configuration
from proxies import Proxy
from receivers import Answer, Service
from test_notifications import ACTIVE, INACTIVE, WAS, channel, notices
from witness import Witness

from benchmarks.postgres import PostgreSQL
from exporter.simulator import Simulator, World
from exporter.simulator.api import BASE_PATH
from exporter.simulator.messages import Request, Wire

REQUESTS_PER_MINUTE = 60
SPACING = 60 / REQUESTS_PER_MINUTE
UNOWNED_SECONDS = 15.0
REPEATED_SECONDS = 30.0
"""How long after a fault an event may be repeated."""

TIMEOUT = 60.0


def faketime() -> Path | None:
    """Return the library that lets the wall clock of one process jump, None where it is not installed."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None


class Asked(NamedTuple):
    """A request as the simulator saw it: `at` is monotonic, `token` is empty for a login."""

    at: float
    process: str
    brand: str
    endpoint: str
    venue: str | None
    token: str


class Line(NamedTuple):
    """An event in the log of a process: `at` is when it came out of it, monotonic."""

    at: float
    process: str
    event: dict[str, Any]


@dataclass
class Trouble:
    """A fault: what happened to whom, and from when to when, monotonic; "" is the database and so everybody."""

    kind: str
    process: str
    start: float
    end: float = 0.0

    def __str__(self) -> str:
        return f"{self.start:9.2f} to {self.end:9.2f} {self.kind} {self.process}"


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
                if any(
                    trouble.process in ("", process) and wall(trouble.start) - 2.0 < sight.at < wall(trouble.end) + 2.0
                    for trouble in troubles
                ):
                    sight.sure = False


class TimedService(Service):
    """A receiver of notifications that notes when it accepted each, monotonic."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted: list[tuple[float, dict[str, Any]]] = []

    def accept(self, path: str, body: dict[str, Any]) -> Answer:
        self.accepted.append((time.monotonic(), body))
        return super().accept(path, body)


class Process(Exporter):
    """One of the processes: its log is timed where it comes out, and its wall clock can jump."""

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
            notifications={"group_wait": "1s", "channels": [channel(self.service, topics=["stations"])]},
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


# What the witness says


def polled_too_soon(requests: Sequence[Asked], tolerance: float = 0.25) -> list[str]:
    """Return the polls of one venue that were closer to each other than two requests of a brand may be."""
    by_venue: defaultdict[tuple[str, str | None], list[Asked]] = defaultdict(list)
    for one in requests:
        if one.endpoint == "stations":
            by_venue[one.brand, one.venue].append(one)
    return [
        f"{venue}: {before.process} at {before.at:.2f}, {after.process} at {after.at:.2f}"
        for venue, polls in by_venue.items()
        for before, after in pairwise(polls)
        if after.at - before.at < SPACING - tolerance
    ]


def polled_by_two(requests: Sequence[Asked]) -> list[str]:
    """Return where a process asked for a brand after another had begun to: each has a token of its own."""
    faults = []
    for brand in {one.brand for one in requests}:
        mine = [one for one in requests if one.brand == brand and one.token]
        seen: set[str] = set()
        for token, group in groupby(mine, key=lambda one: one.token):
            first = next(group)
            if token in seen:
                faults.append(f"{brand}: {first.process} went on at {first.at:.2f}")
            seen.add(token)
    return faults


def unowned(requests: Sequence[Asked], lines: Iterable[Line], troubles: Sequence[Trouble]) -> list[tuple[float, str]]:
    """Return for every pause of a brand how long it lasted from the last fault within it on, and a description.

    A brand is owned when something is asked about it, and from the moment at which a process says that it owns it:
    what it does first is a login, which has to wait for those of other brands.
    """
    found = []
    for brand in {one.brand for one in requests}:
        signs = [(one.at, one.process) for one in requests if one.brand == brand]
        signs += [(line.at, line.process) for line in lines if _owns(line, brand)]
        for (before, old), (after, new) in pairwise(sorted(signs)):
            within = [
                at
                for trouble in troubles
                for at in ((trouble.start, trouble.end) if trouble.kind == "restart" else (trouble.start,))
                if before <= at <= after
            ]
            found.append((after - max([before, *within]), f"{brand}: {old} at {before:.2f}, {new} at {after:.2f}"))
    return sorted(found, reverse=True)


def _owns(line: Line, brand: str) -> bool:
    return (line.event["event"], line.event.get("brand")) == ("brand.owned", brand)


def logins_in_a_minute(requests: Sequence[Asked]) -> int:
    """Return how many logins there were within a minute at the most."""
    times = [one.at for one in requests if one.endpoint == "auth"]
    return max((sum(at <= other < at + 60 for other in times) for at in times), default=0)


def emitted_by_others(lines: Iterable[Line]) -> list[str]:
    """Return the events about a brand that came from a process while another had it."""
    in_order = sorted(lines, key=lambda line: line.at)
    # What the last owner stored and did not emit may come out a moment before the line that says who has the brand.
    taken = {(line.process, line.event["brand"], line.at) for line in in_order if line.event["event"] == "brand.owned"}
    owner: dict[str, tuple[str, float]] = {}
    faults = []
    for line in in_order:
        name, brand = line.event["event"], line.event.get("brand", "")
        if name == "brand.owned":
            owner[brand] = (line.process, line.at)
        elif name.startswith(("station.", "venue.", "incident.")) and brand:
            process, since = owner.get(brand, (line.process, line.at))
            soon = any((mine, of) == (line.process, brand) and line.at <= at <= line.at + 3.0 for mine, of, at in taken)
            if process != line.process and line.at > since + 0.5 and not soon:
                faults.append(f"{line.at:.2f} {line.process} emits {name} of {brand}, which {process} has")
    return faults


def union(lines: Iterable[Line], troubles: Sequence[Trouble]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return all changes in the order in which they came out, each once, and those repeated without a fault."""
    seen: set[str] = set()
    events, faults = [], []
    for line in sorted(lines, key=lambda line: line.at):
        if not line.event["event"].startswith(("station.", "incident.", "venue.added", "venue.removed")):
            continue
        key = json.dumps({name: value for name, value in line.event.items() if name != "timestamp"}, sort_keys=True)
        if key not in seen:
            seen.add(key)
            events.append(line.event)
        elif not any(trouble.start <= line.at <= trouble.end + REPEATED_SECONDS for trouble in troubles):
            faults.append(f"{line.at:.2f} {line.process} repeats {key}")
    return events, faults


def without_database(lines: Iterable[Line], end: float) -> list[Trouble]:
    """Return when each process could not write, as it says itself: what it emitted then may be lost with its lease."""
    found: list[Trouble] = []
    open_by: dict[str, Trouble] = {}
    for line in sorted(lines, key=lambda line: line.at):
        name = line.event["event"]
        if name == "store.unavailable":
            # It says so once the database has not answered for seconds.
            open_by.setdefault(line.process, Trouble("no database", line.process, line.at - 5.0, end))
        elif name in ("store.recovered", "exporter.started") and line.process in open_by:
            trouble = open_by.pop(line.process)
            trouble.end = line.at + 1.0
            found.append(trouble)
    return [*found, *open_by.values()]


def notices_that_differ(lines: Iterable[Line], service: TimedService, doubts: Sequence[Trouble]) -> list[str]:
    """Return the stations about which people heard something else than the log says.

    What a process logs while it cannot write may be forgotten before it is sent, and only what is stored is sent. An
    end that was not sent when another process took over may be left out where the station is off again by then.
    """
    logged: defaultdict[str, list[tuple[str, bool, str]]] = defaultdict(list)
    heard: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in sorted(lines, key=lambda line: line.at):
        if line.event.get("incident") == "kitchen_station_inactive":
            what = INACTIVE if line.event["event"] == "incident.firing" else ACTIVE
            doubtful = any(one.process == line.process and one.start <= line.at <= one.end for one in doubts)
            known = logged[line.event["station"]]
            if known and (what, known[-1][0]) == (INACTIVE, ACTIVE) and known[-1][2].split()[1] != line.process:
                known[-1] = (ACTIVE, True, known[-1][2])
            known.append((what, doubtful, f"{line.at:.2f} {line.process}"))
    for at, body in service.accepted:
        for station, what in notices(body):
            heard[station] += [(one, f"{at:.2f}") for one in ((INACTIVE, ACTIVE) if what == WAS else (what,))]
    return [
        f"{station}: logged {logged[station]}, heard {heard[station]}"
        for station in sorted(logged.keys() | heard.keys())
        if not _may_be(_each_once(what for what, _ in heard[station]), logged[station])
    ]


def _may_be(heard: list[str], logged: Sequence[tuple[str, bool, str]]) -> bool:
    """Return whether this is what was logged, but perhaps for what is doubtful."""
    ways = [(True, False)] if not logged else [(True, False) if doubtful else (True,) for _, doubtful, _ in logged]
    return any(
        _each_once(what for (what, _, _), stays in zip(logged, chosen, strict=False) if stays) == heard
        for chosen in product(*ways)
    )


def _each_once(values: Iterable[str]) -> list[str]:
    return [value for value, _ in groupby(values)]
