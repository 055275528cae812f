"""The whole client against the simulator, over HTTP, on a clock that waits in no time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from threading import Event

import pytest
from fakes import FakeClock

from exporter.clopos.client import Client
from exporter.clopos.limits import IpLimits
from exporter.clopos.login import Credentials
from exporter.model import Discovery, Failure, Reason, Snapshot
from exporter.simulator import Simulator, World


@pytest.fixture
def simulator(clock: FakeClock) -> Iterator[Simulator]:
    """Two brands of sixty venues, with the API's own limits."""
    with Simulator(World.generate(brands=2, venues=60, stations=3, clock=clock)) as simulator:
        yield simulator


@pytest.fixture
def clients(simulator: Simulator, clock: FakeClock) -> Iterator[list[Client]]:
    stop = Event()
    ip_limits = IpLimits(clock, stop)
    made = [
        Client(
            brand,
            Credentials(**simulator.credentials(brand)),
            base_url=simulator.url,
            requests_per_minute=240,
            clock=clock,
            stop=stop,
            ip_limits=ip_limits,
            observe=lambda *_: None,
        )
        for brand in simulator.world.brands
    ]
    yield made
    for one in made:
        one.close()


def codes(simulator: Simulator, brand: str | None = None) -> Counter[int | None]:
    return Counter(entry.code for entry in simulator.traffic.entries(brand=brand))


def test_a_brand_is_read_again_and_again_within_its_quota(
    clients: list[Client], simulator: Simulator, clock: FakeClock
) -> None:
    client = clients[0]
    found = client.discover(60)
    assert isinstance(found, Discovery)
    began = clock.monotonic()
    for _ in range(6):
        for venue in found.venues:
            assert isinstance(client.poll(venue, 60), Snapshot)
    assert codes(simulator) == {200: 362}
    assert clock.monotonic() - began == pytest.approx(360 / 4, rel=0.05)


def test_another_client_that_takes_half_of_the_quota_is_given_way(
    clients: list[Client], simulator: Simulator, clock: FakeClock
) -> None:
    client = clients[0]
    simulator.limits.set_load(client.brand, 150)
    found = client.discover(60)
    assert isinstance(found, Discovery)
    began = clock.monotonic()
    for _ in range(10):
        for venue in found.venues:
            assert isinstance(client.poll(venue, 60), Snapshot)
    assert codes(simulator) == {200: 602}
    assert clock.monotonic() - began > 200


def test_a_brand_whose_quota_is_gone_stops_and_the_other_goes_on(
    clients: list[Client], simulator: Simulator, clock: FakeClock
) -> None:
    first, second = clients
    venue, of_second = first.venues(60)[0], second.venues(60)[0]
    with simulator.faults.during("rate_limited", brand=first.brand, reset=40):
        outcome = first.poll(venue, 10)
    assert isinstance(outcome, Failure)
    assert outcome.reason is Reason.RATE_LIMITED
    before = clock.monotonic()
    assert isinstance(second.poll(of_second, 10), Snapshot)
    assert clock.monotonic() - before < 1
    assert isinstance(first.poll(venue, 60), Snapshot)
    assert clock.monotonic() - before >= 38


def test_tokens_that_end_are_renewed_without_a_failure(
    clients: list[Client], simulator: Simulator, clock: FakeClock
) -> None:
    client = clients[0]
    found = client.discover(60)
    assert isinstance(found, Discovery)
    ends: list[Callable[[], object]] = [
        simulator.tokens.expire,
        simulator.tokens.revoke,
        lambda: clock.forward(3600),
    ]
    for end in ends:
        end()
        assert isinstance(client.poll(found.venues[0], 60), Snapshot)
    assert len(simulator.traffic.entries(endpoint="auth")) == 4


def test_what_is_read_is_what_is_true(clients: list[Client], simulator: Simulator) -> None:
    client = clients[0]
    simulator.churn(50)
    for venue in client.venues(60):
        snapshot = client.poll(venue, 60)
        assert isinstance(snapshot, Snapshot)
        truth = {str(row["id"]): bool(row["status"]) for row in simulator.world.stations(client.brand, venue.id)}
        assert {station.id: station.active for station in snapshot.stations} == truth
