"""Weeks in minutes: the real process and a simulated Clopos on one fast clock, with faults, reloads and restarts.

    python tests/e2e/soak.py --minutes 10 --seed 7

Storms of faults, changes and accidents alternate with calms. In each calm the metrics have to say what is true and no
resource may have grown beyond its bound; at the end the whole log is held against what the exporter was answered.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from harness import Exporter, brand_section, configuration, station_labels
from witness import List, Witness

from exporter.cli import main, serve
from exporter.clock import Clock
from exporter.model import Instant
from exporter.simulator import Simulator, World
from exporter.simulator.misbehaviour import CATALOGUE

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
SPEED = 7 * DAY / 120.0
"""A week in two minutes."""

CLOCK = "SOAK_CLOCK"
HEAVY = {"deep_json", "endless_body", "gzip_bomb", "huge_headers", "many_headers", "slow_body", "slow_headers"}
"""Faults that take real time to carry out: they come seldom."""

OPENING = {"Mo-Su 10:00-02:00": range(2, 10), "Mo-Su 06:00-23:00": (23, 0, 1, 2, 3, 4, 5)}
"""Opening hours, and the local hours of the day at which those are over; Baku has no summer time."""

RETENTION = 3 * DAY

MOST_THREADS = 80
MOST_FILES = 120
MOST_DATABASE = 8.0
MOST_GROWTH = 16.0
"""Bounds: three brands have at most 16 polls at a time each; MiB of the database and its log; MiB that the process may
grow by between the first third of its longest life and the end, in which the journal in memory fills up."""


class SharedClock(Clock):
    """A fast clock that several processes agree on."""

    def __init__(self, began: Instant) -> None:
        super().__init__(SPEED)
        self._began = began


class FastExporter(Exporter):
    """The real command in a process of its own, on the clock of the soak."""

    PROGRAM = (str(Path(__file__).resolve()),)


class Figures(NamedTuple):
    """What a life takes, seen from outside: MiB, and numbers of things."""

    memory: float
    threads: int
    files: int
    database: float
    entries: int


class Soak:
    """A run: make one, `run` it, and read `lives` for the figures of every calm of every life."""

    def __init__(self, folder: Path, *, minutes: float, seed: int) -> None:
        began = Instant(time.time(), time.monotonic())
        self.clock = SharedClock(began)
        self.simulator = Simulator(
            World.generate(brands=3, venues=3, stations=6, seed=seed, clock=self.clock), token_lifetime=6 * HOUR
        )
        self.witness = Witness(self.simulator)
        self.exporter: Exporter
        self.lives: list[list[Figures]] = [[]]
        self.done: Counter[str] = Counter()
        self._folder, self._began = folder, began
        self._ends = began.monotonic + minutes * 60
        self._last_life = began.monotonic + minutes * 60 * 0.4
        self._chance = random.Random(seed)  # noqa: S311 - runs have to repeat
        self._settings: dict[str, Any] = {}
        self._opening = ""
        self._guest = self.simulator.world.brands[2]
        self._transitions: dict[tuple[str, str], tuple[int, int]] = {}

    def run(self) -> None:
        """Go through it all. Raises AssertionError with what went wrong."""
        self.simulator.start()
        try:
            self._set(poll_interval="15m", guest=True)
            environment = {CLOCK: f"{self._began.wall!r} {self._began.monotonic!r}"}
            self.exporter = FastExporter(self._folder, self._settings, env=environment)
            with self.exporter:
                while time.monotonic() < self._ends:
                    self._storm()
                    self._calm()
            self._check_log()
        finally:
            self.simulator.stop()

    # A storm

    def _storm(self) -> None:
        for _ in range(self._chance.randrange(4)):
            self._add_fault()
        acts: list[Callable[[], None]] = [
            self._reload, self._reload_nonsense, self._open_venue, self._close_venue, self._rename_venue,
            self._expire, self._revoke, self._crowd, self._vanish, self._toggle_guest, lambda: None,
        ]  # fmt: skip
        if time.monotonic() < self._last_life:
            acts += [self._restart, self._kill] * 2
        for _ in range(3):
            self._pass(self._chance.uniform(0.5, 3) * HOUR)
            act = self._chance.choice(acts)
            act()
            self.done[act.__name__.strip("_<>")] += 1

    def _add_fault(self) -> None:
        kind = self._chance.choice(list(CATALOGUE))
        where: dict[str, Any] = {"endpoint": self._chance.choice(["auth", "venues", "stations", "stations", None])}
        if CATALOGUE[kind].moment == "rows":  # a list of venues that lacks one is to be believed, if it is repeated
            where["endpoint"] = "stations"
        where["brand"] = self._chance.choice([*self.simulator.world.brands, None])
        where["probability"] = 0.02 if kind in HEAVY else self._chance.choice([0.05, 0.3, 1.0])
        self.simulator.faults.add(kind, **where, duration=self._chance.uniform(0.2, 6) * HOUR)
        self.done["faults"] += 1

    def _pass(self, seconds: float) -> None:
        """Let time pass in which stations change, about one a minute."""
        end = self.clock.monotonic() + seconds
        while (left := end - self.clock.monotonic()) > 0:
            step = min(left, self._chance.expovariate(1 / MINUTE))
            self.clock.wait(Event(), step)
            if step < left:
                self.simulator.churn()

    def _reload(self) -> None:
        if self._chance.random() < 0.7:
            self._set(poll_interval=self._chance.choice(["12m", "15m", "20m"]), guest=self._watches_guest)
        self.exporter.configure(self._settings)
        if self._chance.random() < 0.5:
            assert self.exporter.reload().status == 200
        else:
            reloaded = len(self.exporter.events("config.reloaded"))
            self.exporter.send(signal.SIGHUP)
            self.exporter.until_event("config.reloaded", times=reloaded + 1)

    def _reload_nonsense(self) -> None:
        nonsense = self._chance.choice(["brands: [", "", "brands: [{}]", "\0", "poll_interval: 0s", "a: &a [*a]"])
        self.exporter.configure(nonsense)
        assert self.exporter.reload().status == 400
        name = "clopos_exporter_config_last_reload_successful"
        assert self.exporter.metrics(name).value(name) == 0
        self.exporter.configure(self._settings)
        assert self.exporter.reload().status == 200
        assert self.exporter.metrics(name).value(name) == 1

    def _toggle_guest(self) -> None:
        self._set(poll_interval=self._settings["poll_interval"], guest=not self._watches_guest)
        self.exporter.configure(self._settings)
        assert self.exporter.reload().status == 200
        if not self._watches_guest:
            # Its counters go with it, and begin again should it come back.
            self._transitions = {venue: seen for venue, seen in self._transitions.items() if venue[0] != self._guest}

    def _restart(self) -> None:
        self._rest()
        self.exporter.stop()
        self.simulator.churn(self._chance.randrange(5))
        self._begin_life()

    def _kill(self) -> None:
        self._rest()
        self.exporter.kill()
        log = self.exporter.log_file.read_bytes()
        self.exporter.log_file.write_bytes(log[: log.rfind(b"\n") + 1])
        self.simulator.churn(self._chance.randrange(5))
        self._begin_life()

    def _rest(self) -> None:
        time.sleep(self._chance.uniform(0, 0.2))

    def _begin_life(self) -> None:
        self._transitions.clear()
        self.lives.append([])
        self.exporter.start()

    def _open_venue(self) -> None:
        world = self.simulator.world
        brand = self._chance.choice(world.brands)
        if len(world.venues(brand)) < 5:
            venue = world.add_venue(brand, "Yeni")
            for name in ("Tandir", "Bar"):
                world.add_station(brand, venue, name, type=int(name == "Tandir"))

    def _close_venue(self) -> None:
        world = self.simulator.world
        brand = self._chance.choice(world.brands)
        if len(venues := list(world.venues(brand))) > 1:
            world.remove_venue(brand, self._chance.choice(venues))

    def _rename_venue(self) -> None:
        world = self.simulator.world
        brand = self._chance.choice(world.brands)
        world.rename_venue(brand, self._chance.choice(list(world.venues(brand))), f"Filial {self._chance.random():.3f}")

    def _expire(self) -> None:
        self.simulator.tokens.expire()

    def _revoke(self) -> None:
        self.simulator.tokens.revoke()

    def _crowd(self) -> None:
        self.simulator.limits.set_load(self._chance.choice(self.simulator.world.brands), 250)

    def _vanish(self) -> None:
        self.simulator.stop()
        self._pass(self._chance.uniform(0.1, 2) * HOUR)
        self.simulator.start()

    # A calm

    def _calm(self) -> None:
        """Let all trouble end, wait until everything true was seen, and compare."""
        self.simulator.faults.clear()
        for brand in self.simulator.world.brands:
            self.simulator.limits.set_load(brand, 0)
        assert self.exporter.reload().status == 200, "a person says that it is fixed"
        world, sights = self.simulator.world, self.witness.sights
        watched = [brand for brand in world.brands if brand != self._guest or self._watches_guest]
        lists: list[List] = [(brand, venue) for brand in watched for venue in (None, *world.venues(brand))]
        enough = {asked: len(sights(asked)) + 3 for asked in lists}
        self.exporter.until(
            lambda: all(len(sights(asked)) >= enough[asked] for asked in lists), "answers to everything", seconds=60
        )
        self.exporter.until(lambda: not self._untrue(watched), "the truth on the metrics", seconds=20)
        self._check_transitions()
        assert self.exporter.get("/-/healthy").status == self.exporter.get("/-/ready").status == 200
        figures = self._figures()
        self.lives[-1].append(figures)
        assert figures.threads <= MOST_THREADS, figures
        assert figures.files <= MOST_FILES, figures
        assert figures.database <= MOST_DATABASE, figures

    def _untrue(self, brands: Sequence[str]) -> str | None:
        """Say what on the metrics is not as it is in truth, None where all is."""
        world, samples = self.simulator.world, self.exporter.metrics()
        venues = {(brand, venue) for brand in brands for venue in world.venues(brand)}
        up = {(has["brand"], has["venue_id"]) for has, value in samples.all("clopos_venue_up") if value == 1}
        if up != venues or len(samples.all("clopos_venue_up")) != len(venues):
            return f"venues up: {up}"
        stations = 0
        for brand, venue in venues:
            for row in world.stations(brand, venue):
                stations += 1
                labels = station_labels(self.simulator, brand, venue, str(row["id"]))
                for name, key in (("active", "status"), ("printable", "printable")):
                    if samples.value(f"clopos_station_{name}", **labels) != row[key]:
                        return f"{name} of {labels}"
        if len(samples.all("clopos_station_active")) != stations:
            return "too many stations"
        hour, minute = divmod((self.clock.wall() / MINUTE + 4 * 60) % (24 * 60), 60)
        opened = {value for _, value in samples.all("clopos_venue_open")}
        if opened != {float(int(hour) not in OPENING[self._opening])} and 20 < minute < 40:
            return f"open at {hour}: {opened}"
        return None

    def _check_transitions(self) -> None:
        """Hold the counters of this life against the log."""
        emitted: Counter[tuple[str, str]] = Counter()
        for event in self.exporter.events():
            if event["event"] in ("station.activated", "station.deactivated"):
                emitted[event["brand"], event["venue_id"]] += 1
        samples = self.exporter.metrics("clopos_station_transitions_total")
        counted: Counter[tuple[str, str]] = Counter()
        for has, value in samples.all("clopos_station_transitions_total"):
            counted[has["brand"], has["venue_id"]] += int(value)
        for venue, (emitted_before, counted_before) in self._transitions.items():
            if venue in counted:  # else it was closed meanwhile
                assert emitted[venue] - emitted_before == counted[venue] - counted_before, venue
        self._transitions = {venue: (emitted[venue], counted[venue]) for venue in counted}

    def _figures(self) -> Figures:
        process = Path(f"/proc/{self.exporter.pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        database = self.exporter.folder / "state.db"
        size = sum(path.stat().st_size for path in database.parent.glob("state.db*"))
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            entries, oldest = connection.execute("SELECT count(*), min(observed_at) FROM journal").fetchone()
        assert not entries or oldest > self.clock.wall() - RETENTION - DAY, "the journal keeps what it need not"
        return Figures(
            memory=int(status["VmRSS"].split()[0]) / 1024,
            threads=int(status["Threads"]),
            files=len(list((process / "fd").iterdir())),
            database=size / 2**20,
            entries=entries,
        )

    # All in all

    def _check_log(self) -> None:
        faults = self.witness.faults(self.exporter.events())
        assert not faults, faults
        assert not list(self._folder.glob("*damaged*"))
        life = self.lives[-1]
        if len(life) > 8:
            growth = life[-1].memory - life[len(life) // 3].memory
            assert growth <= MOST_GROWTH, [figures.memory for figures in life]

    def _set(self, *, poll_interval: str, guest: bool) -> None:
        self._watches_guest = guest
        self._opening = self._chance.choice(list(OPENING))
        sections = [
            brand_section(
                self.simulator,
                brand,
                requests_per_minute=self._chance.choice([60, 240]),
                time_zone="Asia/Baku",
                opening_hours=self._opening,
            )
            for brand in self.simulator.world.brands
            if guest or brand != self._guest
        ]
        self._settings = configuration(
            self.simulator,
            brands=sections,
            poll_interval=poll_interval,
            discovery_interval="30m",
            stale_after="2h",
            state={"path": "state.db", "journal_retention": f"{RETENTION / DAY:.0f}d"},
        )

    def summary(self) -> str:
        """Return the figures of the run for people."""
        emitted = Counter(event["event"] for event in self.exporter.events())
        news = sum(number for name, number in emitted.items() if name.startswith(("station.", "venue.", "brand.")))
        days = (self.clock.wall() - self._began.wall) / DAY
        life = self.lives[-1]
        return "\n".join(
            [
                f"{days:.1f} days at {SPEED:.0f} times the speed, {len(self.lives)} lives",
                f"{len(self.simulator.world.mutations())} changes, {self.witness.asked} requests",
                f"{news} events emitted: none missing, none invented",
                f"done: {_listed(self.done)}",
                f"emitted: {_listed(emitted)}",
                "the last life, calm by calm:",
                f"{'memory MiB':>12}{'threads':>9}{'files':>7}{'database MiB':>14}{'journal':>9}",
                *(
                    f"{now.memory:12.1f}{now.threads:9}{now.files:7}{now.database:14.2f}{now.entries:9}"
                    for now in life[:: max(1, len(life) // 12)]
                ),
            ]
        )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))


def soak(folder: Path, *, minutes: float, seed: int) -> str:
    """Run a soak and return its figures. Raises AssertionError with what went wrong."""
    run = Soak(folder, minutes=minutes, seed=seed)
    run.run()
    return run.summary()


def command() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0, help="real minutes; a week takes two [%(default)s]")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same troubles [%(default)s]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(f"{soak(Path(folder), minutes=options.minutes, seed=options.seed)}\n")


if __name__ == "__main__":
    if CLOCK in os.environ:
        began = Instant(*map(float, os.environ[CLOCK].split()))
        serve.Clock = lambda: SharedClock(began)  # type: ignore[assignment,misc,attr-defined]  # all that is not the real program
        main()
    else:
        command()
