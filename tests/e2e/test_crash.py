"""The real process, killed again and again while stations change underneath: the log holds all that could be known."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import pytest
from harness import Exporter, Start, configuration, run
from witness import List, Witness

from exporter.model import Event
from exporter.simulator import Simulator, World

pytestmark = pytest.mark.slow

BRAND = "openapitest"
DATABASE = "state.db"
KILLS = int(os.environ.get("KILLS", "40"))
"""docs/reliability.md has what came of 200."""


class Lives:
    """One exporter over many lives with its log in one piece, a world that changes, and a witness of what was answered.

    The seed fixes what changes and when it is killed; how far the exporter is by then is up to the machine.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.simulator = Simulator(World.generate(brands=4, venues=4, stations=6, seed=seed), tiers=None)
        self.witness = Witness(self.simulator)
        self.exporter: Exporter
        self._folder, self._chance = folder, random.Random(seed)  # noqa: S311 - runs have to repeat

    def __enter__(self) -> Self:
        self.simulator.start()
        self.exporter = Exporter(self._folder, configuration(self.simulator, state={"path": DATABASE}))
        return self

    def __exit__(self, *_: object) -> None:
        self.exporter.kill()
        self.simulator.stop()

    @property
    def journal(self) -> list[dict[str, Any]]:
        """Return what the journal holds, in the words of the log."""
        path = self.exporter.folder / DATABASE
        lines = run("history", f"--state.path={path}", "--limit=1000000", "--output=json").stdout
        return [json.loads(line) for line in lines.splitlines()]

    def end_by_kill(self) -> None:
        """Live for a while and be killed: at any moment, or right after logging a change that is to be stored."""
        self.exporter.start()
        if self._chance.random() < 0.4:
            self._let_pass(self._chance.uniform(0, 0.8))
        else:
            size = self.exporter.log_file.stat().st_size
            self._let_pass(2.0, lambda: self.exporter.log_file.stat().st_size > size)
            time.sleep(self._chance.choice([0, 0.0005, 0.002]))
        self.exporter.kill()
        self._drop_torn_line()
        self.simulator.churn(self._chance.randrange(3))
        self._open_or_close_a_venue()

    def end_well(self) -> None:
        """Live until everything true is known, and be stopped."""
        self.exporter.start()
        self.catch_up()
        self.exporter.stop()

    def catch_up(self) -> None:
        """Wait until what is true now was answered twice, as a removal takes, and surely taken in."""
        world, sights = self.simulator.world, self.witness.sights
        lists: list[List] = [(brand, venue) for brand in world.brands for venue in (None, *world.venues(brand))]
        enough = {asked: len(sights(asked)) + 3 for asked in lists}
        self.exporter.until(
            lambda: all(len(sights(asked)) >= enough[asked] for asked in lists), "answers to everything", seconds=60
        )

    def _let_pass(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not enough():
            if self._chance.random() < 0.02:
                self.simulator.churn()
            time.sleep(0.0005)

    def _open_or_close_a_venue(self) -> None:
        world = self.simulator.world
        brand = self._chance.choice(world.brands)
        venues = list(world.venues(brand))
        match self._chance.randrange(20):
            case 0:
                world.add_station(brand, world.add_venue(brand, "Yeni"), "Tandir", type=1)
            case 1 if len(venues) > 2:
                world.remove_venue(brand, self._chance.choice(venues))

    def _drop_torn_line(self) -> None:
        """Do as a log shipper does with a line that never ends."""
        log = self.exporter.log_file.read_bytes()
        self.exporter.log_file.write_bytes(log[: log.rfind(b"\n") + 1])


def test_what_a_killed_exporter_could_know_is_reported_and_nothing_else(tmp_path: Path) -> None:
    try_lives(tmp_path, kills=2)


def test_many_kills_lose_and_invent_nothing(tmp_path: Path) -> None:
    try_lives(tmp_path, kills=KILLS)


def try_lives(folder: Path, *, kills: int) -> None:
    with Lives(folder, seed=kills) as lives:
        for _ in range(kills):
            lives.end_by_kill()
        lives.end_well()
        emitted, journal = lives.exporter.events(), lives.journal
        assert lives.witness.faults(emitted) == ""
        assert lives.witness.faults(journal) == ""
        assert wrongly_dated(emitted, lives.witness) == []
        lives.end_well()
        again = {event["event"] for event in lives.exporter.events()[len(emitted) :]}
        assert again.isdisjoint(set(Event)), "nothing is logged twice after a clean stop"
        assert not list(folder.glob("*damaged*"))
        changes = [event for event in emitted if event["event"].startswith("station.")]
        twice = len(changes) - sum(event["event"].startswith("station.") for event in journal)
        print(  # noqa: T201 - the figures of docs/reliability.md
            f"\n{kills} kills: {len(lives.simulator.world.mutations())} changes happened, {len(changes)} were logged, "
            f"{twice} of these twice, {sum('detected' in event for event in changes)} after a restart"
        )


def wrongly_dated(emitted: Sequence[Mapping[str, Any]], witness: Witness) -> list[Mapping[str, Any]]:
    """Return the events whose `detected` is wrong: the first answer of a process shows what it has to be."""
    wrong = []
    for event in emitted:
        if event["event"].startswith("station.") and event["event"] != "station.found_inactive":
            at = datetime.fromisoformat(event["observed_at"]).timestamp()
            seen = [sight for sight in witness.sights((event["brand"], event["venue_id"])) if sight.at <= at]
            before = [sight for sight in seen[:-1] if sight.token == seen[-1].token]
            if (event.get("detected") == "after_restart") is not (not before):
                wrong.append(event)
    return wrong


def test_what_changed_while_it_was_stopped_is_reported_once_and_says_so(simulator: Simulator, start: Start) -> None:
    exporter = start(state={"path": DATABASE})
    exporter.until_ready()
    exporter.stop()
    world = simulator.world
    world.set_status(BRAND, "1", "2", 0)
    world.set_status(BRAND, "2", "1", 0)
    world.set_status(BRAND, "2", "1", 1)
    world.remove_station(BRAND, "2", "3")
    world.add_station(BRAND, "1", "Çay")
    exporter.start()
    exporter.until_event("station.removed")
    exporter.until_polled(2)
    changes = exporter.events("station.")
    assert {(event["event"], event.get("detected")) for event in changes} == {
        ("station.deactivated", "after_restart"),
        ("station.added", "after_restart"),
        ("station.touched", "after_restart"),
        ("station.removed", None),  # the second answer without it proves it, and that was no answer to a restart
    }
    assert len(changes) == 4
