"""What notifications cost: ten thousand venues with a thousand open incidents, with a channel and without one."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from benchmarks.figures import Figure
from benchmarks.measuring import cpu_seconds, resident_mb
from benchmarks.processes import Exporter, Section, exporter
from exporter.simulator import Simulator, World

BRANDS, VENUES, STATIONS = 40, 250, 5
INCIDENTS = 1000
APART_SECONDS = 660.0
"""Between two stations of a brand that are switched off: closer together, they would be one incident."""

CHANGES = 120.0
"""Stations switched a minute by everybody else: each may become an incident."""

PER_MINUTE = 420
"""Requests of a brand a minute, so that the first round does not take long."""

SECONDS = 15.0
WAIT_SECONDS = 180.0


def figures() -> Iterator[Figure]:
    """Measure two exporters at the same time that differ in nothing but a channel."""
    with ExitStack() as stack:
        sections, channel = stack.enter_context(_clopos())
        settings: dict[str, Any] = {"poll_interval": "30s", "incidents": {"delay": "1s"}, "state": {}}
        bare = stack.enter_context(exporter(sections, **settings))
        notifications = {"group_wait": "1s", "channels": [{"name": "shift", "url": channel}]}
        notifying = stack.enter_context(exporter(sections, **settings, notifications=notifications))
        both = bare, notifying
        for one in both:
            _until_known(one)
        polls, used = [one.polls() for one in both], [cpu_seconds(one.pid) for one in both]
        time.sleep(SECONDS)
        used = [cpu_seconds(one.pid) - before for one, before in zip(both, used, strict=True)]
        polls = [one.polls() - before for one, before in zip(both, polls, strict=True)]
        per_poll = [seconds / count for seconds, count in zip(used, polls, strict=True)]
        memory = [resident_mb(one.pid) for one in both]
        sent = notifying.scrape("?name[]=clopos_exporter_notifications_total")
        if 'outcome="sent"} 0' in sent or 'outcome="sent"}' not in sent:
            raise RuntimeError(f"no message was sent: {sent}")
    what = f"{BRANDS * VENUES:,} venues, {INCIDENTS:,} open incidents"
    yield Figure(f"{what}: CPU per poll without notifications", f"{per_poll[0] * 1e3:.2f} ms")
    yield Figure.at_most(f"{what}: CPU per poll with a channel / without", per_poll[1] / per_poll[0], 1.1)
    yield Figure(f"{what}: resident memory without notifications", f"{memory[0]:.0f} MB")
    yield Figure(f"{what}: more of it with a channel", f"{memory[1] - memory[0]:.0f} MB")


def _until_known(process: Exporter) -> None:
    """Wait until every venue was polled and the incidents fire."""
    end = time.monotonic() + WAIT_SECONDS
    while process.polls() < BRANDS * VENUES or _incidents(process) < INCIDENTS:
        if time.monotonic() > end:
            raise TimeoutError(f"{process.polls()} polls, {_incidents(process)} incidents")
        time.sleep(1.0)


def _incidents(process: Exporter) -> int:
    return process.scrape("?name[]=clopos_incident").count("\nclopos_incident{")


@contextmanager
def _clopos() -> Iterator[tuple[list[Section], str]]:
    """Run a simulator and somebody who takes messages in another process; yield sections and the channel's URL."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve(connection: Connection) -> None:
    world = World.generate(brands=BRANDS, venues=VENUES, stations=STATIONS)
    now = world.clock.wall()
    for brand in world.brands:
        for number, venue in enumerate(list(world.venues(brand))[: INCIDENTS // BRANDS]):
            world.add_station(brand, venue, "Grill", type=1, status=0, created_at=now - APART_SECONDS * (number + 1))
    with Simulator(world, tiers=None, changes_per_minute=CHANGES) as simulator, _phone() as url:
        rest = {"base_url": simulator.url, "requests_per_minute": PER_MINUTE}
        connection.send(([{**simulator.credentials(brand), **rest} for brand in world.brands], url))
        connection.poll(None)


@contextmanager
def _phone() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"json://127.0.0.1:{server.server_port}/"
