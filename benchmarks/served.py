"""A server in a process of its own: the exporter's exposition beside prebuilt bytes, polled at a word."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.collector import ViewCollector
from benchmarks.measuring import timed
from exporter import log
from exporter.app.daemon import SWITCH_SECONDS
from exporter.changes import advance
from exporter.clock import Clock
from exporter.events import EventLog
from exporter.metrics.exposition import Exposition
from exporter.metrics.telemetry import Telemetry
from exporter.model import Incident, IncidentKind, Instant, Kind, Snapshot, Station, StationState, Venue, VenueState
from exporter.store import MemoryStore
from exporter.views import VenueView
from exporter.web.addresses import Address, listen
from exporter.web.endpoints import Management, create_app
from exporter.web.server import WebServer

PREBUILT = "/prebuilt"
JSON = "/stations.json"

STATIONS = 20
KITCHEN = 3
"""Number of the first kitchen station."""

NOON = 1_800_000_000.0


class Served:
    """The far end: its port, and words for it."""

    def __init__(self, port: int, series: int, connection: Connection) -> None:
        self.port, self.series = port, series
        self._connection = connection

    def poll(self) -> None:
        """Let one venue be polled, with one station that changed."""
        self._ask("poll")

    def make_both(self, rounds: int) -> tuple[float, float]:
        """Return the median seconds that a body takes to make after one poll: ours, and prometheus-client's."""
        fast, slow = self._ask("make", rounds)
        return fast, slow

    def start_poll_of_many_changes(self, events: int) -> None:
        """Store and emit a poll of a venue with so many changes."""
        self._connection.send(("emit", events))

    def has_finished(self) -> bool:
        """Return whether that is done."""
        return self._connection.poll()

    def _ask(self, *words: Any) -> Any:
        self._connection.send(words)
        return self._connection.recv()


@contextmanager
def serving(venues: int, incidents: int = 0) -> Iterator[Served]:
    """Serve so many venues of 20 stations; in so many of them a kitchen station is inactive, which is an incident."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(venues, incidents, there), daemon=True)
    process.start()
    try:
        port, series = here.recv()
        yield Served(port, series, here)
    finally:
        process.terminate()
        process.join()


def view(number: int, polls: int = 1, *, is_off: bool = False) -> VenueView:
    """Make the view of a venue; a station changes with each of its polls."""
    venue = Venue("openapitest", str(number), f"Sumqayıt Bulvar {number}")
    station_state = {}
    for i in range(1, STATIONS + 1):
        kind = Kind.KITCHEN if i % 3 == 0 else Kind.OTHER
        active = (i != 1 or polls % 2 == 1) and not (is_off and i == KITCHEN)
        station = Station(str(i), f"Station {i}", kind, active, i % 2 == 0, NOON - 1e7 * i, NOON - 1e5 * i)
        station_state[station.id] = StationState(station, active, station.printable, NOON)
    return VenueView(
        VenueState(venue, station_state, polls=polls, last_success=NOON + polls, last_duration=0.213), 60.0
    )


class Prebuilt:
    """Answer with bytes that are there already, and pass everything else on."""

    def __init__(self, bodies: dict[str, tuple[bytes, list[tuple[bytes, bytes]]]], others: ASGIApp) -> None:
        self._bodies, self._others = bodies, others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        found = self._bodies.get(scope["path"])
        if found is None:
            await self._others(scope, receive, send)
            return
        body, headers = found
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _incident(one: VenueView) -> Incident:
    kind, station = IncidentKind.KITCHEN_STATION_INACTIVE, one.stations[str(KITCHEN)].station
    venue = one.state.venue
    return Incident(
        kind, kind.severity, venue.brand, NOON, venue, station.id, station.name, station.kind, fired_at=NOON
    )


def _serve(venues: int, incidents: int, connection: Connection) -> None:
    sys.setswitchinterval(SWITCH_SECONDS)
    clock = Clock()
    views = [view(number, is_off=number < incidents) for number in range(venues)]
    firing = [_incident(one) for one in views[:incidents]]
    telemetry = Telemetry(list, lambda: None, incidents=lambda: firing)
    exposition = Exposition(telemetry, clock)
    for one in views:
        exposition.update(one)
    plain = exposition.scrape("", "").body
    app = Prebuilt(
        {
            f"{PREBUILT}/plain": _prebuilt(plain, b"text/plain"),
            f"{PREBUILT}/gzip": _prebuilt(exposition.scrape("", "gzip").body, b"text/plain", gzipped=True),
            JSON: _prebuilt(_as_json(views), b"application/json"),
        },
        create_app(exposition.scrape, Management(list, lambda: None)),
    )
    server = WebServer(app, listen([Address("127.0.0.1", 0)]))
    series = sum(not line.startswith(b"#") for line in plain.splitlines())
    connection.send((int(server.urls[0].rpartition(":")[2]), series))
    Thread(target=_obey, args=(connection, exposition, views), daemon=True).start()
    server.run()


def _obey(connection: Connection, exposition: Exposition, views: list[VenueView]) -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ViewCollector(lambda: views, list))

    def poll() -> None:
        number = len(views) // 2
        views[number] = view(number, views[number].state.polls + 1)
        exposition.update(views[number])

    def make(rounds: int) -> tuple[float, float]:
        fast, slow = [], []
        for _ in range(rounds + 1):
            poll()
            fast.append(timed(lambda: exposition.scrape("", "")))
            slow.append(timed(lambda: generate_latest(registry)))
        # The first round pays for memory that the allocator keeps for those after it.
        return median(fast[1:]), median(slow[1:])

    words: dict[str, Callable[..., object]] = {"poll": poll, "make": make, "emit": _emit}
    with suppress(EOFError):
        while True:
            word, *arguments = connection.recv()
            connection.send(words[word](*arguments))


def _emit(events: int) -> None:
    """Store the poll of one venue all of whose stations changed, and emit that."""
    before, after = view(0), view(0, 2)
    stations = tuple(station_state.station for station_state in after.stations.values())
    changed = advance(before.state, Snapshot(stations, Instant(NOON, 0.0)))[1][0]
    store = MemoryStore()
    with Path(os.devnull).open("w") as stream:
        output = log.configure("info", "json", stream)
        store.commit(after.state, changes=[changed] * events)
        event_log = EventLog(store, Event(), output.emit)
        while event_log.emit_pending():
            pass


def _prebuilt(body: bytes, kind: bytes, *, gzipped: bool = False) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    return body, [*headers, (b"content-encoding", b"gzip")] if gzipped else headers


def _as_json(views: Sequence[VenueView]) -> bytes:
    """Write the same stations as an API might, for the peer to read."""
    rows = [
        {
            "brand": one.state.venue.brand,
            "venue": one.state.venue.name,
            "venue_id": one.state.venue.id,
            "station": station_state.station.name,
            "station_id": station_state.station.id,
            "kind": station_state.station.kind,
            "active": int(bool(station_state.station.active)),
            "printable": int(bool(station_state.station.printable)),
            "created": station_state.station.created_at,
            "updated": station_state.station.updated_at,
        }
        for one in views
        for station_state in one.stations.values()
    ]
    return json.dumps({"data": rows}, ensure_ascii=False).encode()
