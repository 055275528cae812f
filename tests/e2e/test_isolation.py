"""Seven brands fail in every way, the machine runs out of everything, reloads rain: a healthy brand notices nothing."""

from __future__ import annotations

import http.client
import os
import random
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from harness import Answer, brand_section, configuration
from test_event_log import Piped

from exporter.simulator import Simulator, World
from exporter.simulator.misbehaviour import CATALOGUE

SECONDS = float(os.environ.get("ISOLATION_SECONDS", "30"))
"""How long it goes on; more tries more combinations."""
INTERVAL = 2
VENUES = 5


Shortage = Callable[[], AbstractContextManager[None]]


class Limited(Piped):
    """An exporter whose log may block, and whose threads, files and disk may run out while it runs."""

    PROGRAM = (str(Path(__file__).with_name("limited.py")),)

    _connection: http.client.HTTPConnection | None = None

    def get(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        """Ask over one connection that is kept, as Prometheus does: it needs no further file."""
        if self._connection is None:
            target = urlsplit(self.url)
            self._connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=10)
        self._connection.request(method, path, headers=headers)
        response = self._connection.getresponse()
        got = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, got, response.read())

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._connection is not None:
            self._connection.close()
        super().__exit__(kind, *error)

    def shortages(self, chance: random.Random) -> Iterator[Sequence[Shortage]]:
        """Yield without end which shortages come together: each in its turn, and every third with another."""
        every = [self.no_threads, self.no_files, self.full_disk, self.blocked_log, self.broken_reload]
        while True:
            for one in chance.sample(every, len(every)):
                other = chance.choice([shortage for shortage in every if shortage != one])
                yield [one, other] if chance.random() < 1 / 3 else [one]

    @contextmanager
    def no_threads(self) -> Iterator[None]:
        """Let no thread start."""
        file = self.folder / "no-threads"
        file.touch()
        yield
        file.unlink()

    @contextmanager
    def no_files(self) -> Iterator[None]:
        """Let nothing more be opened: what is closed can be."""
        opened = [int(path.name) for path in Path(f"/proc/{self.pid}/fd").iterdir()]
        with self._limit(resource.RLIMIT_NOFILE, max(opened) + 1):
            yield

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Let no file grow beyond its first page."""
        with self._limit(resource.RLIMIT_FSIZE, 4096):
            yield

    @contextmanager
    def blocked_log(self) -> Iterator[None]:
        """Let nobody read the log."""
        self.reading.clear()
        yield
        self.reading.set()

    @contextmanager
    def broken_reload(self) -> Iterator[None]:
        """Reload a file that is no configuration."""
        self.configure("brands: nonsense")
        assert self.reload().status == 400
        yield

    @contextmanager
    def _limit(self, what: int, number: int) -> Iterator[None]:
        before = resource.prlimit(self.pid, what)
        resource.prlimit(self.pid, what, (number, before[1]))
        yield
        resource.prlimit(self.pid, what, before)


class Brands:
    """A healthy brand and seven others, each with a fault of its own that changes every few seconds."""

    def __init__(self, simulator: Simulator, chance: random.Random) -> None:
        self.simulator = simulator
        self.healthy, *self.failing = simulator.world.brands
        self._chance = chance
        self.switched: list[tuple[str, str, int]] = []

    def misbehave(self) -> None:
        """Inject another fault into every failing brand, wherever it acts."""
        self.simulator.faults.clear()
        for brand in self.failing:
            kind = self._chance.choice(sorted(CATALOGUE))
            self.simulator.faults.add(kind, brand=brand)

    def switch(self) -> None:
        """Switch a station of the healthy brand, each at most once in two polls so that every change can be seen."""
        venue, station = str(len(self.switched) % VENUES + 1), str(len(self.switched) // VENUES % 3 + 1)
        status = 1 - self.simulator.world.station(self.healthy, venue, station)["status"]
        self.simulator.world.set_status(self.healthy, venue, station, status)
        self.switched.append((venue, station, status))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_healthy_brand_keeps_its_polls_loses_no_event_and_shows_no_false_value(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)  # noqa: S311 - runs have to repeat
    world = World.generate(brands=8, venues=VENUES, stations=4, seed=seed)
    with Simulator(world, tiers=None) as simulator:
        brands = Brands(simulator, chance)
        for venue in map(str, range(1, VENUES + 1)):
            for station in "1234":
                world.set_status(brands.healthy, venue, station, 1)
        exporter = Limited(tmp_path, simulator)
        config = configuration(simulator, poll_interval=f"{INTERVAL}s", state={"path": "state.db"})
        exporter.configure(config)
        with exporter:
            exporter.until_ready(venues=8 * VENUES)
            exporter.until_polled(brand=brands.healthy)
            before, began = polls(exporter, brands.healthy), time.monotonic()
            for shortages in exporter.shortages(chance):
                brands.misbehave()
                ignored = brand_section(simulator, brands.failing[0], ignore_stations=[str(len(brands.switched))])
                rest = [brand_section(simulator, brand) for brand in (brands.healthy, *brands.failing[1:])]
                exporter.configure({**config, "brands": [*rest, ignored]})
                exporter.reload()
                with ExitStack() as stack:
                    for shortage in shortages:
                        stack.enter_context(shortage())
                    brands.switch()
                    shows(exporter, brands.healthy, brands.switched[-1])
                    time.sleep(1)
                if time.monotonic() > began + SECONDS:
                    break
            polled, seconds = polls(exporter, brands.healthy) - before, time.monotonic() - began
            simulator.faults.clear()
            assert polled >= 0.95 * VENUES * (seconds / INTERVAL - 1), f"{polled} polls in {seconds:.0f} s"
            for switch in brands.switched[-VENUES:]:
                shows(exporter, brands.healthy, switch)
            exporter.until(lambda: len(switches(exporter, brands.healthy)) >= len(brands.switched), "every event")
            assert switches(exporter, brands.healthy) == brands.switched
            assert exporter.events("venue.", brand=brands.healthy) == []
            assert exporter.events("brand.", brand=brands.healthy) == []
            exporter.until_value(1, "clopos_exporter_store_up")


def shows(exporter: Piped, brand: str, switched: tuple[str, str, int]) -> None:
    """Wait until a station has the status that it was switched to; its venue is up all the time."""
    venue, station, status = switched
    samples = exporter.until_value(status, "clopos_station_active", brand=brand, venue_id=venue, station_id=station)
    assert [value for _, value in samples.all("clopos_venue_up", brand=brand)] == [1.0] * VENUES


def polls(exporter: Piped, brand: str) -> float:
    return exporter.metrics("clopos_venue_polls_total").total("clopos_venue_polls_total", brand=brand)


def switches(exporter: Piped, brand: str) -> list[tuple[str, str, int]]:
    names = {"station.activated": 1, "station.deactivated": 0}
    events = [event for event in exporter.events("station.", brand=brand) if event["event"] in names]
    return [(event["venue_id"], event["station_id"], names[event["event"]]) for event in events]
