"""What hostile input is thrown at: each target takes it whole or gives a reason, and raises for anything else.

Hypothesis calls them within the fast tests, and atheris guided by coverage: `python tests/fuzz/guided.py wire`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any, NamedTuple

import requests
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from urllib3 import HTTPResponse

sys.path.insert(0, str(Path(__file__).parents[1]))  # for those who are not pytest

from fakes import FakeClock

from exporter.changes import advance
from exporter.clopos.client import Client
from exporter.clopos.limits import IpLimits
from exporter.clopos.login import Credentials
from exporter.config import Settings, load
from exporter.errors import ConfigError
from exporter.journal import Entry, JournalQuery
from exporter.metrics.exposition import Exposition
from exporter.metrics.telemetry import Telemetry
from exporter.model import Change, Discovery, Failure, Snapshot, StationState, Venue, VenueState
from exporter.store.sqlite import SQLiteStore
from exporter.views import VenueView
from exporter.web.webconfig_file import WebConfigFile

SECRET = "marked-secret-of-the-fuzzers"
VENUE = Venue("tandir-group", "7", "Gəncə")
TIMEOUT = 8.0
"""CPU seconds that no input may take longer than: the slowest takes one, and took more than two beside other work."""

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Reply(NamedTuple):
    """What a server sends back."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = {}


LOGIN = Reply(b'{"success":true,"token":"jwt","expires_in":3600}')
VENUES = Reply(b'{"success":true,"data":[{"id":7,"name":"Port"}]}')


def polled(replies: Iterable[Reply]) -> tuple[VenueState, list[Change]]:
    """Let a client log in, discover and poll a venue until the replies are over; return the state and the changes."""
    clock, stop = FakeClock(), Event()
    client = Client(
        VENUE.brand,
        Credentials("client", SECRET, VENUE.brand, "integrator"),
        base_url="http://127.0.0.1:1/open-api/v2",
        requests_per_minute=300,
        clock=clock,
        stop=stop,
        ip_limits=IpLimits(clock, stop),
        observe=lambda *_: None,
    )
    adapter = _Adapter(replies)
    client._transport._adapter = adapter  # type: ignore[assignment]
    state = VenueState(VENUE)
    emitted: list[Change] = []
    found = client.discover(60.0)
    assert isinstance(found, Discovery | Failure)
    while adapter.left:
        asked = len(adapter.left)
        outcome = client.poll(VENUE, 60.0)
        assert isinstance(outcome, Snapshot | Failure)
        assert SECRET not in repr(outcome)
        state, changes = advance(state, outcome)
        emitted += changes
        if len(adapter.left) == asked:  # refused, or no token to ask with
            adapter.left.pop(0)
            client.reset_backoff()
    client.close()
    return state, emitted


def are_emitted_as_json(changes: Iterable[Change]) -> None:
    """Assert that each event is JSON in UTF-8, field by field."""
    for change in changes:
        assert json.loads(json.dumps(Entry.of(1, change).fields(), allow_nan=False, ensure_ascii=False).encode())


def served_rightly(state: VenueState) -> None:
    """Demand that both formats carry every station under its very own labels."""
    clock = FakeClock()
    exposition = Exposition(Telemetry(list, lambda: None), clock)
    exposition.update(VenueView(state, 30.0))
    for accept, parse in (("", parse_text), (OPENMETRICS, parse_openmetrics)):
        families: Iterable[Metric] = parse(exposition.scrape(accept, "").body.decode())
        samples = [sample for family in families for sample in family.samples if sample.name == "clopos_station_active"]
        labels = {(sample.labels["station_id"], sample.labels["station"], sample.labels["kind"]) for sample in samples}
        stations = [station_state.station for station_state in (state.stations or {}).values()]
        assert labels == {(station.id, station.name, station.kind.value) for station in stations}
        assert len(samples) == len(stations)


def remembered_wholly(state: VenueState, changes: list[Change]) -> None:
    """Demand that a state file gives back what it was given."""
    with TemporaryDirectory() as folder:
        path, clock = Path(folder) / "state.db", FakeClock()
        store = SQLiteStore(path, clock, 1e10)
        store.commit(state, changes=changes)
        assert store.up
        store.close()
        store = SQLiteStore(path, clock, 1e10)
        assert _plain(store.venue(VENUE).stations) == _plain(state.stations)
        journal = store.journal(JournalQuery(limit=10**6))[::-1]
        assert [(entry.event, entry.station, entry.details) for entry in journal] == [
            (change.event, change.station and change.station.name, change.details) for change in changes
        ]
        store.close()


def configuration(data: bytes) -> Settings | list[str]:
    """Read a configuration file that holds this; return the settings, or the faults."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clopos.yml"
        path.write_bytes(data)
        began = time.process_time()
        try:
            settings = load(path, {})
        except ConfigError as error:
            return _harmless(error, began)
        assert time.process_time() - began < TIMEOUT
        assert SECRET not in repr(settings) + settings.model_dump_json()
        return settings


def web_configuration(data: bytes) -> WebConfigFile | list[str]:
    """Read a web configuration file that holds this; give what it makes, or the faults."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "web.yml"
        path.write_bytes(data)
        began = time.process_time()
        try:
            return WebConfigFile(path)
        except ConfigError as error:
            return _harmless(error, began)


def scrape(accept: str, encoding: str) -> None:
    """Ask for metrics with these headers."""
    answer = Exposition(Telemetry(list, lambda: None), FakeClock()).scrape(accept, encoding)
    assert answer.content_type.startswith(("text/plain; version=0.0.4", OPENMETRICS))
    assert answer.content_encoding in (None, "gzip")
    assert answer.content_encoding is None or "gzip" in encoding.lower() or "*" in encoding


def _harmless(error: ConfigError, began: float) -> list[str]:
    """Return the faults, which must be there, be soon there, fit a terminal, and keep secrets."""
    assert time.process_time() - began < TIMEOUT
    faults = [str(fault) for fault in error.faults]
    assert faults
    for fault in faults:
        assert SECRET not in fault
        assert len(fault) < 1000
        fault.encode()
    return faults


def _plain(stations: Mapping[str, StationState] | None) -> dict[str, StationState]:
    return dict(stations or {})


class _Adapter:
    """Answer with one reply after the other, the last one once more for whoever asks on."""

    def __init__(self, replies: Iterable[Reply]) -> None:
        self.left = list(replies)

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        reply = self.left.pop(0) if self.left else Reply(b"")
        response = requests.Response()
        response.status_code = reply.status
        response.headers = requests.structures.CaseInsensitiveDict(reply.headers)
        response.raw = HTTPResponse(BytesIO(reply.body), reply.headers, reply.status, preload_content=False)
        response.request = request
        return response

    def close(self) -> None:
        """Have nothing to close."""
