"""A wall clock that jumps, or is wrong all along, under the whole exporter: monotonic time alone moves it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from exporter.app.daemon import Daemon
from exporter.clock import Clock
from exporter.config import Settings
from exporter.journal import Entry, JournalQuery
from exporter.model import Event as Name
from exporter.model import VenueState
from exporter.simulator import Simulator, World
from exporter.store.leases import LEASE_SECONDS, Lease, Leases

BRAND = "openapitest"
SPEED = 120.0
MINUTE, HOUR, DAY, YEAR = 60.0, 3600.0, 86400.0, 365 * 86400.0
JUMPS = [HOUR, -DAY, YEAR]


class JumpingClock(Clock):
    """A fast clock whose wall time is `ahead` of what it should be, in seconds."""

    def __init__(self) -> None:
        super().__init__(SPEED)
        self.ahead = 0.0

    def wall(self) -> float:
        return super().wall() + self.ahead


class Unwritten:
    """A log output that nothing is written to."""

    up = True

    def mask(self, secrets: Iterable[str]) -> None:
        """Do nothing."""

    def start(self) -> None:
        """Do nothing."""

    def stop(self, seconds: float) -> None:
        """Do nothing."""

    def emit(self, events: Iterable[object]) -> bool:
        return bool([*events])


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """One brand with a venue of two stations, on a clock of its own that is always right."""
    world = World.generate(venues=1, stations=2, clock=Clock(SPEED))
    with Simulator(world, tiers=None, token_lifetime=10 * MINUTE) as simulator:
        yield simulator


Start = Callable[..., Daemon]


@pytest.fixture
def start(simulator: Simulator, clock: JumpingClock) -> Iterator[Start]:
    with ExitStack() as stack:

        def one(**settings: Any) -> Daemon:
            brand = {**simulator.credentials(BRAND), "base_url": simulator.url}
            configured = Settings.model_validate({"brands": [brand], "stale_after": 5 * MINUTE, **settings})
            daemon = Daemon(lambda: configured, Unwritten(), clock)  # type: ignore[arg-type]
            daemon.start()
            stack.callback(daemon.stop)
            return daemon

        yield one


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def let_pass(clock: Clock, seconds: float) -> None:
    clock.wait(Event(), seconds)


def shown(daemon: Daemon) -> int:
    """Return the number of stations in the scrape."""
    return daemon.exposition.scrape("", "").body.count(b"\nclopos_station_active{")


def state(daemon: Daemon) -> VenueState:
    (venue,) = daemon.store.venues()
    return venue


def emitted(daemon: Daemon) -> list[Entry]:
    return [entry for entry in daemon.store.journal(JournalQuery()) if "incident" not in entry.details]


def requests(simulator: Simulator, endpoint: str) -> int:
    return len(simulator.traffic.entries(endpoint=endpoint))


@pytest.mark.slow
@pytest.mark.parametrize("jump", JUMPS)
def test_a_jump_moves_no_poll(start: Start, clock: JumpingClock, simulator: Simulator, jump: float) -> None:
    daemon = start()
    until(lambda: shown(daemon))
    clock.ahead += jump
    before = requests(simulator, "stations")
    let_pass(clock, 5 * MINUTE)
    assert 5 <= requests(simulator, "stations") - before <= 11  # every 30 s; fewer on a machine that is late itself
    assert shown(daemon) == 2
    assert state(daemon).failures == 0


@pytest.mark.slow
@pytest.mark.parametrize("jump", JUMPS)
def test_values_grow_stale_after_their_time_whatever_the_wall_says(
    start: Start, clock: JumpingClock, simulator: Simulator, jump: float
) -> None:
    daemon = start()
    until(lambda: shown(daemon))
    simulator.stop()
    until(lambda: state(daemon).up is False)
    clock.ahead += jump
    assert shown(daemon) == 2
    let_pass(clock, 6 * MINUTE)
    assert shown(daemon) == 0
    simulator.start()
    until(lambda: shown(daemon) == 2)


@pytest.mark.parametrize("jump", JUMPS)
def test_a_change_across_a_jump_is_reported_once_and_lasted_no_negative_time(
    start: Start, clock: JumpingClock, simulator: Simulator, jump: float
) -> None:
    daemon = start()
    until(lambda: shown(daemon))
    clock.ahead += jump
    simulator.world.set_status(BRAND, "1", "1", 0)
    until(lambda: emitted(daemon))
    let_pass(clock, 2 * MINUTE)
    (entry,) = emitted(daemon)
    assert entry.event is Name.STATION_DEACTIVATED
    assert min(value for name, value in entry.details.items() if name.startswith("previous_for")) >= 0
    assert entry.observed_at == pytest.approx(clock.wall(), abs=5 * MINUTE)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [0.0, *JUMPS])
def test_a_clock_that_is_wrong_all_along_logs_in_as_often_as_tokens_end(
    start: Start, clock: JumpingClock, simulator: Simulator, wrong: float
) -> None:
    clock.ahead = wrong
    daemon = start()
    until(lambda: shown(daemon))
    let_pass(clock, 21 * MINUTE)  # two lives of a token
    assert 2 <= requests(simulator, "auth") <= 4
    assert state(daemon).failures == 0


@pytest.mark.parametrize(
    "said",
    [{"set": {"expires_at": 1}}, {"set": {"expires_at": 4e9}}, {"drop": ["expires_at"]}, {"drop": ["expires_in"]},
     {"drop": ["expires_at", "expires_in"]}, {"set": {"expires_at": 9e14}}, {"set": {"expires_at": "soon"}}],
    ids=str,
)  # fmt: skip
def test_whatever_a_login_says_of_its_end_a_token_refused_as_expired_costs_no_poll(
    start: Start, clock: JumpingClock, simulator: Simulator, said: dict[str, Any]
) -> None:
    clock.ahead = -DAY
    simulator.faults.add("fields", endpoint="auth", **said)
    daemon = start()
    until(lambda: shown(daemon))
    simulator.tokens.expire()
    polls = state(daemon).polls
    until(lambda: state(daemon).polls >= polls + 3)
    assert state(daemon).failures == 0
    assert state(daemon).up


@pytest.mark.parametrize(("jump", "fresh"), [(0.0, True), (-DAY, True), (DAY, False)])
def test_what_is_restored_is_as_old_as_the_wall_says_and_never_younger_than_now(
    start: Start, clock: JumpingClock, simulator: Simulator, tmp_path: Path, jump: float, *, fresh: bool
) -> None:
    daemon = start(state={"path": tmp_path / "state.db"})
    until(lambda: shown(daemon))
    daemon.stop()
    simulator.stop()
    clock.ahead += jump
    daemon = start(state={"path": tmp_path / "state.db"})
    assert shown(daemon) == (2 if fresh else 0)
    simulator.start()
    until(lambda: shown(daemon) == 2 and state(daemon).up)
    stations = [entry for entry in emitted(daemon) if entry.event.startswith("station.")]
    assert stations == [], "the stations are as they were"


# A machine that sleeps


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux has a clock that goes on meanwhile")
def test_monotonic_time_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, read = Clock(speed=2.0), time.clock_gettime
    lease = Leases("a process", clock)
    lease.hold(BRAND, Lease(1, clock.monotonic() + LEASE_SECONDS))
    assert lease.owns(BRAND)
    before = clock.monotonic()
    monkeypatch.setattr(time, "clock_gettime", lambda one: read(one) + (HOUR if one == time.CLOCK_BOOTTIME else 0.0))
    assert clock.monotonic() - before == pytest.approx(2 * HOUR, abs=60.0)
    assert not lease.owns(BRAND), "another process polls the brand by now"
