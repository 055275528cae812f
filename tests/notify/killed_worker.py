"""Kill outbox workers one after another: `killed_worker.py FOLDER PORT KILLS SEED`.

Each life is a fork of this process with the real store, the real worker and the real transport. It fires and ends
incidents all the time, and is killed after a moment; the last one ends everything, waits until all is delivered, and
stops in order. A service on PORT sees the number of the life in the path.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import exporter.notify.messages
import exporter.notify.transport
from exporter import log
from exporter.clock import Clock
from exporter.model import Change, Event, Incident, IncidentKind, Kind, Severity, Topic, Venue
from exporter.notify.channel import ChannelSettings, ChannelWorker
from exporter.notify.notifier import Notifier
from exporter.notify.plan import Timing
from exporter.notify.transport import problem_of
from exporter.outbox import Route
from exporter.store.sqlite import SQLiteStore

BRAND, VENUE = "tandir-group", Venue("tandir-group", "7", "Nizami")
STATIONS = 6
SPEED = 200.0
"""So that a backoff of 5 s takes 25 ms."""


class Life:
    """One process between two kills."""

    def __init__(self, folder: Path, port: int, number: int, clock: Clock) -> None:
        self.number, self.clock = number, clock
        self.chance = Random(number)  # noqa: S311 - runs have to repeat
        self.store = SQLiteStore(folder / "state.db", clock, 1e12)
        self.store.routes = [Route("shift", frozenset(Topic))]
        self.notifier = Notifier(self.store, lambda channel: ChannelWorker(channel, self.store, clock))
        self.store.subscribe(self.notifier.wake, incidents_only=True)
        url = f"json://127.0.0.1:{port}/{number}?redirect=no"
        self.notifier.apply([ChannelSettings("shift", url, timing=Timing(group_wait=2.0))])
        self.fired = 0

    def go_on(self) -> None:
        """Let stations change for ever."""
        while True:
            self._switch(str(self.chance.randrange(STATIONS)))
            time.sleep(self.chance.uniform(0.001, 0.03))

    def end(self) -> None:
        """End what fires, deliver everything, and stop."""
        for id_ in list(self.store.venue(VENUE).incidents):
            self._switch(id_)
        while self.store.deliveries("shift"):
            time.sleep(0.01)
        self.notifier.stop()
        self.store.close()

    def _switch(self, id_: str) -> None:
        """Let an incident fire or end, in one transaction with the state."""
        state, now = self.store.venue(VENUE), self.clock.wall()
        incidents = dict(state.incidents)
        if incident := incidents.pop(id_, None):
            change = Change(Event.INCIDENT_RESOLVED, BRAND, now, details={"ended": "active again"}, incident=incident)
        else:
            self.fired += 1
            incidents[id_] = incident = Incident(
                IncidentKind.KITCHEN_STATION_INACTIVE, Severity.CRITICAL, BRAND, now - 120.0, VENUE, id_,
                f"S{self.number}.{self.fired}.", Kind.KITCHEN, now,
            )  # fmt: skip
            change = Change(Event.INCIDENT_FIRING, BRAND, now, incident=incident)
        self.store.commit(replace(state, incidents=incidents), changes=[change])


def main(folder: Path, port: int, kills: int, seed: int) -> None:
    """Live and die so many times, and once more to the end."""
    log.configure("error", "json")
    problem_of("json://127.0.0.1")  # loads Apprise before the first fork
    # However much was held up, every incident is named.
    exporter.notify.messages.LISTED_STATIONS = exporter.notify.transport.MESSAGE_LENGTH = 1_000_000
    chance, clock = Random(seed), Clock(SPEED)  # noqa: S311 - runs have to repeat
    for number in range(kills + 1):
        pid = os.fork()
        if pid == 0:
            life = Life(folder, port, number, clock)
            life.go_on() if number < kills else life.end()
            os._exit(0)
        if number < kills:
            time.sleep(chance.uniform(0.02, 0.4))
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        expected = signal.SIGKILL if number < kills else 0
        if status != expected:
            sys.exit(f"life {number} ended with status {status}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
