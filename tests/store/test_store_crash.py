"""A process that writes is killed at random points: what it said was remembered is there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import FakeClock

from exporter.journal import JournalQuery
from exporter.model import Venue
from exporter.store.sqlite import SQLiteStore

KILLS = int(os.environ.get("KILLS", "20"))

MANY = 2000
"""Rows of every fifth poll, so that a kill meets transactions half written."""

WRITER = f"""
import sys
from pathlib import Path
from exporter.clock import Clock
from exporter.model import Change, Event, Kind, Station, StationState, Venue, VenueState
from exporter.store.sqlite import SQLiteStore

store = SQLiteStore(Path(sys.argv[1]), Clock(), 1e10)
venue = Venue("tandir", "7", "Port")
known = store.venue(venue).stations
number = int(known["0"].since) if known else 0
while True:
    number += 1
    rows = [
        Station(str(id_), f"Grill {{number}}", Kind.KITCHEN, True, True, 1.0, float(number))
        for id_ in range(1 if number % 5 else {MANY})
    ]
    stations = {{row.id: StationState(row, True, True, since=float(number)) for row in rows}}
    change = Change(Event.STATION_TOUCHED, "tandir", float(number), venue, rows[0])
    print(f"emitted {{number}}", flush=True)
    store.commit(VenueState(venue, stations, last_success=1.0), changes=[change])
    print(f"remembered {{number}}", flush=True)
"""


@pytest.mark.slow
def test_what_was_remembered_outlives_a_kill_at_any_moment(path: Path, clock: FakeClock) -> None:
    chance = random.Random(7)  # noqa: S311 - not a secret
    remembered: set[int] = set()
    for _ in range(KILLS):
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline().startswith("emitted")
            try:
                writer.wait(chance.uniform(0.0, 0.1))
            except subprocess.TimeoutExpired:
                writer.kill()
            lines = writer.stdout.read().splitlines()
        remembered |= {int(number) for what, number in map(str.split, lines) if what == "remembered"}
        store = SQLiteStore(path, clock, 1e10)
        journal = {int(entry.observed_at) for entry in store.journal(JournalQuery(limit=10**6))}
        stations = store.venue(Venue("tandir", "7", "Port")).stations
        store.close()
        assert not list(path.parent.glob("*.damaged-*"))
        assert remembered <= journal
        # One poll is one transaction: state and journal are of the same moment.
        newest = max(journal, default=0)
        assert {int(station_state.since) for station_state in (stations or {}).values()} == (
            {newest} if newest else set()
        )
        assert len(stations or {}) == (1 if newest % 5 else MANY if newest else 0)
    assert len(remembered) > KILLS / 2  # a busy machine gets less done between two kills
