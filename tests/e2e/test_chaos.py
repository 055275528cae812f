"""Every fault at every step, at random, while stations change: nothing is lost, invented or left behind."""

from __future__ import annotations

import os
import random
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from harness import Exporter, configuration
from witness import Witness

from exporter.simulator import Simulator, World
from exporter.simulator.misbehaviour import CATALOGUE

REJECTIONS = {
    "bad_request",
    "client_disabled",
    "dead_integrator",
    "forbidden",
    "status",
    "test_mode",
    "wrong_credentials",
}
"""After these Clopos is left alone for a while, so that chaos would soon be silence."""

UNHURRIED = {"hang", "slow_body", "slow_headers"}

STEPS = ("auth", "venues", "stations")

ROUNDS = int(os.environ.get("ROUNDS", "3"))
"""Of long chaos, each with a calm after it: more try more combinations."""


class Chaos:
    """A simulated Clopos that misbehaves and changes at random, by a seed."""

    def __init__(self, seed: int) -> None:
        self.simulator = Simulator(World.generate(brands=3, venues=3, stations=6, seed=seed), tiers=None)
        self.witness = Witness(self.simulator)
        self._chance = random.Random(seed)  # noqa: S311 - runs have to repeat

    def reign(self, exporter: Exporter, seconds: float, *, kinds: set[str]) -> None:
        """Let faults and changes happen for a while."""
        for kind in sorted(kinds):
            for step in STEPS:
                self.simulator.faults.add(kind, endpoint=step, probability=0.002 if kind in REJECTIONS else 0.012)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.simulator.churn()
            if self._chance.random() < 0.05:
                self.simulator.tokens.expire()
            if self._chance.random() < 0.05:
                exporter.reload()
            time.sleep(self._chance.uniform(0, 0.3))
        self.simulator.faults.clear()
        exporter.reload()

    def catch_up(self, exporter: Exporter) -> None:
        """Wait until what is true now was answered and taken in, and seen to be gone where it is gone."""
        world = self.simulator.world
        lists = [(brand, venue) for brand in world.brands for venue in (None, *world.venues(brand))]
        enough = {asked: len(self.witness.sights(asked)) + 3 for asked in lists}
        exporter.until(
            lambda: all(len(self.witness.sights(asked)) >= many for asked, many in enough.items()),
            "three more answers to everything",
            seconds=60,
        )

    def shown(self) -> dict[tuple[str, str, str], float]:
        """Return the status of every station as it truly is."""
        world = self.simulator.world
        return {
            (brand, venue, str(row["id"])): row["status"]
            for brand in world.brands
            for venue in world.venues(brand)
            for row in world.stations(brand, venue)
        }


@pytest.mark.slow
def test_chaos_costs_nothing_but_time(tmp_path: Path) -> None:
    try_chaos(tmp_path, seed=1, rounds=1, seconds=6, kinds=CATALOGUE.keys() - UNHURRIED)


@pytest.mark.slow
def test_a_long_chaos_costs_nothing_but_time(tmp_path: Path) -> None:
    try_chaos(tmp_path, seed=2, rounds=ROUNDS, seconds=15, kinds=set(CATALOGUE))


def try_chaos(folder: Path, *, seed: int, rounds: int, seconds: float, kinds: set[str]) -> None:
    chaos = Chaos(seed)
    with chaos.simulator, Exporter(folder, configuration(chaos.simulator)) as exporter:
        exporter.until_ready(9)
        chaos.catch_up(exporter)
        sizes = []
        for _ in range(rounds):
            chaos.reign(exporter, seconds, kinds=kinds)
            chaos.catch_up(exporter)
            sizes.append(size(exporter))
        samples = exporter.metrics()
        nothing_is_left_behind(sizes)
    emitted = exporter.events()
    assert not chaos.witness.faults(emitted)
    outages_begin_and_end(emitted)
    assert {
        (labels["brand"], labels["venue_id"], labels["station_id"]): value
        for labels, value in samples.all("clopos_station_active")
    } == chaos.shown()
    assert {value for _, value in samples.all("clopos_venue_up")} == {1}
    assert samples.total("clopos_venue_poll_failures_total") > 0
    present = {(labels["brand"], labels["venue_id"]) for labels, _ in samples.all("clopos_venue_up")}
    switched = Counter(
        (event["brand"], event["venue_id"], event["event"].removeprefix("station."))
        for event in emitted
        if event["event"] in ("station.activated", "station.deactivated")
        and present >= {(event["brand"], event["venue_id"])}
    )
    for venue in present:
        for event, to in (("activated", "active"), ("deactivated", "inactive")):
            counted = samples.total("clopos_station_transitions_total", brand=venue[0], venue_id=venue[1], to=to)
            assert counted == switched[(*venue, event)]


def size(exporter: Exporter) -> dict[str, int]:
    """Return what the process takes of the machine: threads, open files, and memory in MiB."""
    process = Path(f"/proc/{exporter.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return {
        "threads": int(status["Threads"]),
        "files": len(list((process / "fd").iterdir())),
        "memory": int(status["VmRSS"].split()[0]) // 1024,
    }


def nothing_is_left_behind(sizes: list[dict[str, int]]) -> None:
    brands, workers = 3, 16
    for at in sizes:
        assert at["threads"] <= brands * (workers + 1) + 12
        assert at["files"] <= brands * workers + 30
        assert at["memory"] < 250
    assert sizes[-1]["memory"] - sizes[0]["memory"] < 30


def outages_begin_and_end(emitted: list[dict[str, object]]) -> None:
    ends = {"venue.lost": "venue.recovered", "brand.login_failed": "brand.login_recovered"}
    for begin, end in ends.items():
        sequences = defaultdict(list)
        for event in emitted:
            if event["event"] in (begin, end):
                sequences[event["brand"], event.get("venue_id")].append(event["event"])
        for subject, sequence in sequences.items():
            assert sequence == [begin, end] * (len(sequence) // 2), subject
