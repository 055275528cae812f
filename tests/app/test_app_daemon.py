from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest
from app_fakes import FakeOutput, samples, settings
from structlog.testing import capture_logs

from exporter.app.brand import BrandMonitor
from exporter.app.daemon import Daemon
from exporter.clock import Clock, Deadline
from exporter.config import Settings
from exporter.config.sharding import shard_of
from exporter.errors import ConfigError, ConfigProblem
from exporter.journal import JournalQuery
from exporter.log import Output
from exporter.model import Event as Happened
from exporter.model import Venue, VenueState
from exporter.outbox import DeliveryState
from exporter.simulator import Simulator, World
from exporter.store import FORGET_SECONDS
from exporter.views import VenueView

TIMEOUT = 20.0
FIRST, SECOND = "openapitest", "tandir-group"
Start = Callable[[Settings], Daemon]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Two brands of one venue with two stations each, and no limits."""
    with Simulator(World.generate(brands=2, venues=1, stations=2), tiers=None) as simulator:
        yield simulator


@pytest.fixture
def both(simulator: Simulator) -> Settings:
    return settings(simulator)


@pytest.fixture
def start() -> Iterator[Start]:
    made: list[Daemon] = []

    def one(of: Settings) -> Daemon:
        configured = {"now": of}

        def load() -> Settings:
            if configured["now"] is None:
                raise ConfigError([ConfigProblem("clopos.yml:1: brands", "is missing")])
            return configured["now"]

        daemon = Daemon(load, FakeOutput(), Clock(20.0))  # type: ignore[arg-type]
        daemon.configured = configured  # type: ignore[attr-defined]
        made.append(daemon)
        daemon.start()
        return daemon

    yield one
    for daemon in made:
        daemon.stop()


def configure(daemon: Daemon, of: Settings | None) -> None:
    daemon.configured["now"] = of  # type: ignore[attr-defined]


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def shown(daemon: Daemon) -> set[str]:
    """Return the brands whose stations are in the scrape."""
    return {labels[0] for labels in samples(daemon.source, "clopos_station_active")}


def only(of: Settings, *brands: str) -> Settings:
    return of.model_copy(update={"brands": tuple(brand for brand in of.brands if brand.brand in brands)})


def test_every_brand_is_watched_and_shown(start: Start, both: Settings) -> None:
    daemon = start(both)
    assert set(daemon.not_ready()) <= {f"brand {name}: no outcome of the first poll yet" for name in (FIRST, SECOND)}
    until(lambda: shown(daemon) == {FIRST, SECOND})
    assert list(daemon.not_ready()) == []
    assert {view.state.brand for view in daemon.source.brands()} == {FIRST, SECOND}


def test_it_is_ready_when_the_wanted_share_of_venues_was_polled(start: Start, both: Settings) -> None:
    daemon = start(both.model_copy(update={"ready_venues_percent": 60}))
    until(lambda: shown(daemon) == {FIRST, SECOND} and not daemon.not_ready())
    daemon.registry.publish(VenueView(VenueState(Venue(FIRST, id_, "New")), 30.0) for id_ in ("8", "9"))
    assert daemon.not_ready() == ["2 of 4 venues polled so far: ready_venues_percent is 60"]
    daemon.registry.remove([(FIRST, "9")])
    assert daemon.not_ready() == []


def test_secrets_are_hidden_from_the_log_before_anything_is_done(start: Start, both: Settings) -> None:
    daemon = start(both)
    output: Output = daemon._output
    assert set(output.masked) == set(both.secrets)  # type: ignore[attr-defined]


def test_a_reload_adds_and_removes_brands_and_leaves_the_others_alone(start: Start, both: Settings) -> None:
    daemon = start(only(both, FIRST))
    until(lambda: shown(daemon) == {FIRST})
    configure(daemon, both)
    assert daemon.reload() is None
    until(lambda: shown(daemon) == {FIRST, SECOND})
    second = daemon._monitors[SECOND]
    configure(daemon, only(both, SECOND))
    assert daemon.reload() is None
    assert shown(daemon) == {SECOND}
    assert list(daemon._monitors) == [second]
    assert FIRST not in daemon.source.scrape("", "").body.decode()
    assert {state.brand for state in daemon.store.brands()} == {FIRST, SECOND}, "it may come back tomorrow"


def test_a_brand_that_is_configured_otherwise_keeps_what_is_known_of_it(start: Start, both: Settings) -> None:
    daemon = start(only(both, FIRST))
    until(lambda: shown(daemon) == {FIRST})
    before = daemon._monitors[FIRST]
    (brand,) = only(both, FIRST).brands
    configure(daemon, both.model_copy(update={"brands": (brand.model_copy(update={"requests_per_minute": 60}),)}))
    assert daemon.reload() is None
    assert daemon._monitors[FIRST] is not before
    assert shown(daemon) == {FIRST}
    (polls,) = samples(daemon.source, "clopos_venue_polls_total").values()
    until(lambda: max(samples(daemon.source, "clopos_venue_polls_total").values()) > polls)


def test_a_new_interval_is_in_force_after_a_reload(start: Start, both: Settings) -> None:
    daemon = start(only(both, FIRST))
    until(lambda: shown(daemon) == {FIRST})
    configure(daemon, only(both, FIRST).model_copy(update={"poll_interval": 7.0}))
    assert daemon.reload() is None
    assert set(samples(daemon.source, "clopos_venue_poll_interval_seconds").values()) == {7.0}


def test_a_refused_configuration_leaves_everything_as_it_was_and_says_so(start: Start, both: Settings) -> None:
    daemon = start(both)
    until(lambda: shown(daemon) == {FIRST, SECOND})
    brands = list(daemon._monitors)
    configure(daemon, None)
    with capture_logs() as logged:
        assert daemon.reload() == (ConfigProblem("clopos.yml:1: brands", "is missing"),)
    assert [line["event"] for line in logged if line["event"].startswith("config")] == ["config.refused"]
    assert list(daemon._monitors) == brands
    assert samples(daemon.source, "clopos_exporter_config_last_reload_successful") == {(): 0.0}
    configure(daemon, both)
    assert daemon.reload() is None
    daemon._clock = Clock()
    until(lambda: samples(daemon.source, "clopos_exporter_config_last_reload_successful") == {(): 1.0})
    assert list(daemon._monitors) == brands


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"total_shards": 2}, "--total-shards"),
        ({"state": {"path": "/elsewhere.db"}}, "state.path"),
        ({"state": {"journal_retention": 60.0}}, "state.journal_retention"),
    ],
)
def test_what_cannot_change_while_running_is_refused(
    start: Start, both: Settings, change: dict[str, object], place: str
) -> None:
    daemon = start(only(both, FIRST))
    changed = Settings.model_validate({**only(both, FIRST).model_dump(), **change})
    configure(daemon, changed)
    assert daemon.reload() == (ConfigProblem(place, "cannot change while running: restart"),)


def test_a_reload_asks_again_where_clopos_refused(start: Start, both: Settings, simulator: Simulator) -> None:
    with simulator.faults.during("wrong_credentials", endpoint="auth"):
        daemon = start(only(both, FIRST))
        until(lambda: not daemon.not_ready())
    daemon._monitors[FIRST].client.login.backoff._known = {
        key: (error, until_ + 10**6, times)
        for key, (error, until_, times) in daemon._monitors[FIRST].client.login.backoff._known.items()
    }
    assert daemon.reload() is None
    until(lambda: shown(daemon) == {FIRST})


def test_what_is_remembered_is_shown_from_the_start_and_brands_that_are_gone_are_forgotten_after_a_week(
    start: Start, both: Settings, simulator: Simulator, tmp_path: Path
) -> None:
    kept = {"state": {"path": str(tmp_path / "state.db")}}
    daemon = start(Settings.model_validate({**both.model_dump(), **kept}))
    until(lambda: shown(daemon) == {FIRST, SECOND})
    daemon.stop()
    with simulator.faults.during("unavailable"):
        again = start(Settings.model_validate({**only(both, SECOND).model_dump(), **kept}))
        assert shown(again) == {SECOND}
        assert {state.brand for state in again.store.brands()} == {FIRST, SECOND}
        for state in again.store.venues():
            again.store.commit(replace(state, last_success=(state.last_success or 0.0) - 2 * FORGET_SECONDS))
        again.stop()
        later = start(Settings.model_validate({**only(both, SECOND).model_dump(), **kept}))
        assert {state.brand for state in later.store.brands()} == {SECOND}


def test_stopping_ends_everything_in_time_though_a_request_hangs(
    start: Start, both: Settings, simulator: Simulator
) -> None:
    simulator.faults.add("hang", endpoint="stations")
    daemon = start(both)
    until(lambda: simulator.traffic.entries(endpoint="stations"))
    began = time.monotonic()
    daemon.stop()
    assert time.monotonic() - began < 3


def test_all_that_hangs_together_ends_before_the_deadline(
    start: Start, both: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start(both)
    until(lambda: shown(daemon) == {FIRST, SECOND})
    going_on = Event()
    with ExitStack() as hanging:
        hanging.enter_context(daemon._reloading)
        for monitor in daemon._monitors:
            hanging.enter_context(monitor._lock)  # as a poll that is being stored
        monkeypatch.setattr(daemon.store, "cursor", lambda _: going_on.wait(TIMEOUT) and 0)
        monkeypatch.setattr(daemon.store, "close", lambda: going_on.wait(TIMEOUT))
        hanging.callback(going_on.set)
        daemon._event_log._grown.set()
        began = time.monotonic()
        daemon.stop(Deadline(0.4))
        assert time.monotonic() - began < 2.0


def test_a_reload_that_a_stop_overtakes_starts_nothing(start: Start, both: Settings, simulator: Simulator) -> None:
    daemon = start(only(both, FIRST))
    until(lambda: shown(daemon) == {FIRST})
    reading, go = Event(), Event()

    def load() -> Settings:
        reading.set()
        assert go.wait(10)
        return both

    daemon._load = load
    reload = Thread(target=daemon.reload)
    reload.start()
    assert reading.wait(10)
    stop = Thread(target=daemon.stop)
    stop.start()
    stop.join(0.1)
    assert stop.is_alive(), "a stop waits for the reload, which would start a brand after it"
    go.set()
    stop.join(10)
    reload.join(10)
    asked = len(simulator.traffic.entries())
    reading.clear()
    assert daemon.reload() is None
    assert not reading.is_set(), "nothing is read any more"
    assert len(simulator.traffic.entries()) == asked


class FakeServer:
    """A web server that runs until it is stopped, sending itself what a test wants."""

    def __init__(self, *signals: signal.Signals) -> None:
        self.urls = ["http://127.0.0.1:1"]
        self.signals = signals
        self.stopped = False

    def run(self) -> None:
        for number in self.signals:
            signal.raise_signal(number)
        until(lambda: self.stopped)

    def stop(self) -> None:
        self.stopped = True


def serve(daemon: Daemon, server: FakeServer) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        daemon.serve(server)  # type: ignore[arg-type]
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serving_ends_with_a_signal_and_says_when_it_began_and_ended(both: Settings, number: signal.Signals) -> None:
    with capture_logs() as logged:
        serve(Daemon(lambda: both, FakeOutput(), Clock()), FakeServer(signal.SIGHUP, number))  # type: ignore[arg-type]
    events = [line["event"] for line in logged]
    assert events[0] == "exporter.started"
    assert events[-1] == "exporter.stopped"


def test_what_is_loaded_is_shown_while_the_rest_is_still_to_come(
    start: Start, both: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Settings.model_validate({**both.model_dump(), "state": {"path": str(tmp_path / "state.db")}})
    daemon = start(kept)
    until(lambda: shown(daemon) == {FIRST, SECOND})
    daemon.stop()
    gate, begin = threading.Event(), BrandMonitor.start

    def begin_late(monitor: BrandMonitor) -> None:
        assert monitor.settings.brand == FIRST or gate.wait(10)
        begin(monitor)

    monkeypatch.setattr(BrandMonitor, "start", begin_late)
    again = Daemon(lambda: kept, FakeOutput(), Clock())  # type: ignore[arg-type]

    class Reader(FakeServer):
        def run(self) -> None:
            until(lambda: shown(again) == {FIRST})
            assert again.checks.healthy()
            assert again.not_ready()
            gate.set()
            until(lambda: shown(again) == {FIRST, SECOND})

    serve(again, Reader())
    assert gate.is_set()


def test_a_start_that_fails_ends_the_process(both: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: BrandMonitor) -> None:
        raise RuntimeError("cannot start")

    monkeypatch.setattr(BrandMonitor, "start", fail)
    with pytest.raises(RuntimeError, match="cannot start"):
        serve(Daemon(lambda: both, FakeOutput(), Clock()), FakeServer())  # type: ignore[arg-type]


def test_a_shard_without_a_brand_says_so(start: Start, both: Settings) -> None:
    with capture_logs() as events:
        daemon = start(only(both))
    assert "shard.empty" in [event["event"] for event in events]
    assert daemon.not_ready() == []


def test_pages_read_the_same_as_the_scrape(start: Start, both: Settings) -> None:
    daemon = start(both)
    until(lambda: shown(daemon) == {FIRST, SECOND})
    source = daemon.source
    assert {view.state.venue.brand for view in source.venues()} == {FIRST, SECOND}
    assert {view.state.brand for view in source.brands()} == {FIRST, SECOND}
    assert source.journal(JournalQuery()) == []
    assert abs(source.now().monotonic - daemon._clock.monotonic()) < 60


def test_a_ready_token_that_ends_soon_is_an_incident_until_a_reload_brings_credentials(
    start: Start, both: Settings, simulator: Simulator
) -> None:
    credentials = {"client_id": None, "client_secret": None, "integrator_id": None}
    with_token = both.brands[0].model_dump() | credentials | {"token": simulator.tokens.issue(FIRST)[0]}
    daemon = start(Settings.model_validate({"brands": [with_token]}))

    def kinds() -> list[str]:
        return [incident.kind.value for incident in daemon.source.incidents()]

    until(lambda: kinds() == ["token_expiring"])
    configure(daemon, only(both, FIRST))
    assert daemon.reload() is None
    until(lambda: kinds() == [])
    configure(daemon, Settings.model_validate({"brands": [with_token]}))
    assert daemon.reload() is None
    until(lambda: kinds() == ["token_expiring"])
    configure(daemon, Settings.model_validate({"brands": [{**with_token, "token": "says-not-when-it-ends"}]}))
    assert daemon.reload() is None
    until(lambda: "token_expiring" not in kinds())


def test_the_incidents_of_a_brand_that_moved_to_another_shard_do_not_end(
    start: Start, both: Settings, simulator: Simulator, tmp_path: Path
) -> None:
    kept = {"state": {"path": str(tmp_path / "state.db")}, "incidents": {"delay": 1}}
    simulator.world.set_status(FIRST, "1", "1", 0)
    daemon = start(Settings.model_validate({**both.model_dump(), **kept}))
    until(daemon.source.incidents)
    daemon.stop()
    total = next(total for total in range(2, 100) if shard_of(FIRST, total) != shard_of(SECOND, total))
    sharding = {"total_shards": total, "shard": shard_of(SECOND, total)}
    again = start(Settings.model_validate({**only(both, SECOND).model_dump(), **kept, **sharding}))
    assert any(state.incidents for state in again.store.venues(FIRST))


@pytest.mark.parametrize("how", ["reload", "restart", "restart of a shard"])
def test_the_incidents_of_a_brand_that_the_configuration_no_longer_names_end(
    start: Start, both: Settings, simulator: Simulator, tmp_path: Path, how: str
) -> None:
    kept = {"state": {"path": str(tmp_path / "state.db")}, "incidents": {"delay": 1}}
    kept["notifications"] = {"channels": [{"name": "shift", "url": "json://127.0.0.1:9", "topics": ["stations"]}]}
    simulator.world.set_status(FIRST, "1", "1", 0)
    daemon = start(Settings.model_validate({**both.model_dump(), **kept}))
    until(daemon.source.incidents)
    [begun] = daemon.store.deliveries("shift")
    daemon.store.update_deliveries([replace(begun, state=DeliveryState.ACCEPTED)])
    sharding = {"total_shards": 3, "shard": shard_of(FIRST, 3)} if "shard" in how else {}
    without = Settings.model_validate({**only(both, SECOND).model_dump(), **kept, **sharding})
    if how == "reload":
        configure(daemon, without)
        assert daemon.reload() is None
    else:
        daemon.stop()
        daemon = start(without)
    assert [one.change.event.value for one in daemon.store.deliveries("shift")] == [
        "incident.firing",
        "incident.resolved",
    ]
    [entry] = daemon.store.journal(JournalQuery(events=frozenset({Happened.INCIDENT_RESOLVED})))
    assert entry.details["ended"] == "ignored"
    assert not any(state.incidents for state in daemon.store.venues(FIRST))


@pytest.mark.slow
def test_a_reload_reaches_the_incidents_of_stations(start: Start, both: Settings, simulator: Simulator) -> None:
    [station] = [row for row in simulator.world.stations(FIRST, "1") if row["type"] == 1][:1]
    simulator.world.set_status(FIRST, "1", station["id"], 0)
    brand = only(both, FIRST)
    daemon = start(brand)

    def kinds() -> set[str]:
        return {incident.kind.value for incident in daemon.source.incidents()}

    until(lambda: "kitchen_station_inactive" in kinds())
    ignored = brand.brands[0].model_dump() | {"ignore_stations": [str(station["id"])]}
    configure(daemon, Settings.model_validate({"brands": [ignored]}))
    assert daemon.reload() is None
    assert kinds() == set()
    configure(daemon, brand.model_copy(update={"incidents": brand.incidents.model_copy(update={"delay": 1.0})}))
    assert daemon.reload() is None
    until(lambda: "kitchen_station_inactive" in kinds())


def test_a_scrape_right_after_a_refused_reload_says_so(start: Start, both: Settings) -> None:
    daemon = start(both)
    name = b"clopos_exporter_config_last_reload_successful "
    assert name + b"1.0" in daemon.source.scrape("", "").body
    configure(daemon, None)
    daemon.reload()
    assert name + b"0.0" in daemon.source.scrape("", "").body


def test_a_healthy_start_is_logged_once_with_what_was_read(start: Start, both: Settings) -> None:
    with capture_logs() as lines:
        daemon = start(both)
        until(lambda: any(line["event"] == "exporter.first_round" for line in lines))
        daemon._log_first_round()
    [line] = [line for line in lines if line["event"] == "exporter.first_round"]
    assert (line["venues"], line["stations"], line["failed_venues"]) == (2, 4, 0)
