"""What only a person can fix: it is said clearly and once, and Clopos is not asked again at speed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from harness import Exporter, Start, brand_section, configuration
from trials import world_of

from exporter.clock import Clock
from exporter.simulator import Simulator, World

pytestmark = pytest.mark.slow

REJECTIONS = {
    "client_disabled": ("client_disabled", "Switch the Open API module on again"),
    "dead_integrator": ("integrator", "Check integrator_id with Clopos"),
    "forbidden": ("forbidden", "the right to read stations and venues"),
    "test_mode": ("test_mode", "both in test mode or both in production"),
    "wrong_credentials": ("credentials", "Check client_id, client_secret and brand"),
}
BRAND = "openapitest"


def test_a_refused_login_says_what_to_do_and_is_not_repeated(tmp_path: Path, subtests: pytest.Subtests) -> None:
    with Simulator(world_of(REJECTIONS, [2]), tiers=None) as simulator:
        for kind in REJECTIONS:
            simulator.faults.add(kind, endpoint="auth", brand=kind)
        with Exporter(tmp_path, configuration(simulator)) as exporter:
            exporter.until(lambda: len(exporter.events("brand.login_failed")) == len(REJECTIONS), "rejections")
            time.sleep(3)  # polls and discoveries would come round several times
            samples = exporter.metrics()
            asked = simulator.traffic.entries()
            simulator.faults.clear()
            exporter.reload()
            exporter.until(lambda: len(exporter.events("brand.login_recovered")) == len(REJECTIONS), "recovery")
            exporter.until_ready(len(REJECTIONS))
    for kind, (reason, remedy) in REJECTIONS.items():
        with subtests.test(kind):
            [failed] = exporter.events("brand.login_failed", brand=kind)
            assert (failed["level"], failed["reason"]) == ("error", reason)
            assert remedy in failed["remedy"]
            assert samples.value("clopos_brand_up", brand=kind) == 0
            assert (samples.value("clopos_exporter_poll_failures_total", brand=kind, reason=reason) or 0) > 0
            assert [entry.endpoint for entry in asked if entry.brand == kind] == ["auth"]
            [recovered] = exporter.events("brand.login_recovered", brand=kind)
            assert recovered["down_for_seconds"] > 3
            assert not exporter.events("station.", brand=kind)


def test_a_venue_that_may_not_be_read_says_what_to_do_and_leaves_the_others_alone(
    simulator: Simulator, start: Start
) -> None:
    exporter = start()
    exporter.until_ready()
    simulator.faults.add("forbidden", endpoint="stations", venue="2")
    lost = exporter.until_event("venue.lost")
    assert (lost["venue_id"], lost["reason"]) == ("2", "forbidden")
    assert "the right to read stations" in lost["remedy"]
    seen = simulator.traffic.entries()[-1].seq
    exporter.until_polled(3)
    assert not simulator.traffic.entries(seen, endpoint="stations", venue="2")
    samples = exporter.metrics()
    assert samples.value("clopos_venue_up", brand=BRAND, venue_id="1") == 1
    assert samples.value("clopos_brand_up", brand=BRAND) == 1
    assert len(exporter.events("venue.lost")) == 1


def test_a_wrong_secret_is_mended_by_the_right_one_and_a_reload(simulator: Simulator, start: Start) -> None:
    exporter = start(brands=[brand_section(simulator, BRAND, client_secret="mistyped-secret")])
    failed = exporter.until_event("brand.login_failed")
    assert failed["reason"] == "credentials"
    assert "mistyped-secret" not in exporter.log
    exporter.configure(configuration(simulator))
    assert exporter.reload().status == 200
    exporter.until_event("brand.login_recovered")
    exporter.until_ready()
    exporter.until_value(1, "clopos_brand_up", brand=BRAND)


@pytest.mark.parametrize("action", ["expire", "revoke"])
def test_a_token_that_ends_early_is_renewed_without_a_failure(simulator: Simulator, start: Start, action: str) -> None:
    exporter = start()
    exporter.until_ready()
    getattr(simulator.tokens, action)()
    exporter.until_polled(2)
    assert len(simulator.traffic.entries(endpoint="auth")) == 2
    assert exporter.metrics().total("clopos_venue_poll_failures_total") == 0
    assert not exporter.events("venue.")


def test_a_token_is_renewed_before_it_ends(simulator: Simulator, start: Start) -> None:
    simulator.tokens.lifetime = 22  # it is used for twenty seconds at least
    exporter = start()
    exporter.until_ready()
    exporter.until(lambda: len(simulator.traffic.entries(endpoint="auth")) > 1, "renewal", seconds=60)
    exporter.until_polled()
    assert 401 not in {entry.code for entry in simulator.traffic.entries()}


def test_a_ready_token_that_ends_asks_for_a_new_one(simulator: Simulator, tmp_path: Path) -> None:
    env = {"CLOPOS_TOKEN": simulator.tokens.issue(BRAND)[0], "CLOPOS_BRAND": BRAND, "CLOPOS_BASE_URL": simulator.url}
    with Exporter(tmp_path, env={**env, "CLOPOS_POLL_INTERVAL": "1s"}) as exporter:
        exporter.until_ready()
        simulator.tokens.expire()
        failed = exporter.until_event("brand.login_failed")
        assert failed["reason"] == "token"
        assert "Supply a new token" in failed["remedy"]
        assert not simulator.traffic.entries(endpoint="auth")


class WrongClock(Clock):
    """Clopos' clock, wrong by so many seconds."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self._by = by

    def wall(self) -> float:
        return super().wall() + self._by


@pytest.mark.parametrize("hours", [-2, 48])
def test_a_wrong_clock_neither_logs_in_at_every_poll_nor_uses_a_dead_token(tmp_path: Path, hours: int) -> None:
    world = World.generate(venues=2, stations=2, clock=WrongClock(hours * 3600))
    with Simulator(world, tiers=None) as simulator, Exporter(tmp_path, configuration(simulator)) as exporter:
        exporter.until_ready()
        exporter.until_polled(2)
        assert len(simulator.traffic.entries(endpoint="auth")) == 1
        simulator.tokens.expire()
        exporter.until_polled(2)
        assert len(simulator.traffic.entries(endpoint="auth")) == 2
        assert exporter.metrics().total("clopos_venue_poll_failures_total") == 0
