"""Several real processes with one database: who polls, who says so, and who takes over."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cluster_checks as checks
import pytest
from cluster import TIMEOUT, Cluster
from harness import Exporter, configuration, run
from proxies import Proxy

from benchmarks.postgres import PostgreSQL
from exporter.simulator import Simulator, World

ZOMBIE_SECONDS = float(os.environ.get("ZOMBIE_SECONDS", "14"))
"""How long a process is stopped: longer than a lease."""

TAKEOVER_SECONDS = 15.0

Start = Callable[..., Exporter]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(World.generate(brands=12, venues=1, stations=3), tiers=None) as simulator:
        yield simulator


@pytest.fixture
def start(simulator: Simulator, database_url: str, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def start_one(name: str, **settings: Any) -> Exporter:
            settings = {"poll_interval": "1s", "state": {"url": database_url}, **settings}
            return stack.enter_context(Exporter(tmp_path / name, configuration(simulator, **settings)))

        yield start_one


def owned(exporter: Exporter) -> set[str]:
    return {labels["brand"] for labels, value in exporter.metrics().all("clopos_exporter_brand_owned") if value == 1}


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(0.1)
    return time.monotonic() - began


@pytest.mark.slow
def test_processes_divide_the_brands_and_a_killed_ones_are_taken_over(simulator: Simulator, start: Start) -> None:
    brands = set(simulator.world.brands)
    first = start("first")
    wait_until(lambda: owned(first) == brands)
    second = start("second")
    wait_until(lambda: bool(owned(second)) and owned(first) == brands - owned(second))
    first.kill()
    assert wait_until(lambda: owned(second) == brands) < TAKEOVER_SECONDS


@pytest.mark.slow
def test_every_process_shows_all_brands_and_is_ready(simulator: Simulator, start: Start) -> None:
    brands = set(simulator.world.brands)
    first, second = start("first"), start("second")
    wait_until(lambda: bool(owned(first) and owned(second)) and owned(first) | owned(second) == brands)

    def shown(exporter: Exporter) -> set[str]:
        return {row["brand"] for row in rows(exporter, "venues")}

    wait_until(lambda: shown(first) == shown(second) == brands)
    wait_until(lambda: first.get("/-/ready").status == second.get("/-/ready").status == 200)
    for exporter in (first, second):
        polled_by = {row["brand"]: row["polled_by"] for row in rows(exporter, "venues")}
        assert len(set(polled_by.values())) == 2
        assert {brand for brand in brands if polled_by[brand] == polled_by[min(owned(first))]} == owned(first)


@pytest.mark.slow
def test_incidents_and_history_of_every_process_are_those_of_all(simulator: Simulator, start: Start) -> None:
    brands = set(simulator.world.brands)
    quick = {"incidents": {"delay": "1s"}}
    first, second = start("first", **quick), start("second", **quick)
    wait_until(lambda: bool(owned(first) and owned(second)) and owned(first) | owned(second) == brands)
    wait_until(lambda: {row["brand"] for row in rows(first, "venues")} == brands)
    for exporter in (first, second):
        exporter.until_polled()
    for brand in brands:
        venue = next(iter(simulator.world.venues(brand)))
        for row in simulator.world.stations(brand, venue):
            simulator.world.set_status(brand, venue, row["id"], 0)
    for exporter in (first, second):
        wait_until(lambda exporter=exporter: {row["brand"] for row in rows(exporter, "incidents")} == brands)  # type: ignore[misc]
        wait_until(lambda exporter=exporter: {row["brand"] for row in rows(exporter, "changes")} == brands)  # type: ignore[misc]
        firing = exporter.metrics("clopos_incident").label_values("clopos_incident", "brand")
        assert firing <= owned(exporter), "metrics show only the brands that the process polls"
    history = run("history", f"--config.file={first.config_file}", "--output=json", "--limit=1000")
    assert history.returncode == 0, history.stderr
    assert {json.loads(line)["brand"] for line in history.stdout.splitlines()} == brands


def rows(exporter: Exporter, path: str) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = json.loads(exporter.get(f"/api/v1/{path}?limit=1000").body)["data"]
    return answer


@pytest.fixture
def cluster(tmp_path: Path, postgresql: PostgreSQL, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Processes that all run, and poll."""
    with Cluster(tmp_path, postgresql, processes=request.param) as cluster:
        for process in cluster.processes:
            process.start(TIMEOUT)
        wait_until(lambda: sum(len(owned(process)) for process in cluster.processes) == len(cluster.brands))
        wait_until(lambda: all(map(owned, cluster.processes)))
        cluster.until_asked(time.monotonic())
        yield cluster


def nothing_is_polled_or_said_twice(cluster: Cluster) -> None:
    found = [
        *checks.polled_too_soon(cluster.witness.requests),
        *checks.polled_by_two(cluster.witness.requests),
        *checks.emitted_by_others(cluster.lines),
    ]
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_a_planned_stop_hands_over_at_once_and_nobody_polls_twice(cluster: Cluster) -> None:
    first, second = cluster.processes
    first.stop()
    assert wait_until(lambda: owned(second) == set(cluster.brands)) < 6.0, "it waited for the leases to end"
    cluster.until_asked(time.monotonic())
    nothing_is_polled_or_said_twice(cluster)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_a_zombie_polls_emits_and_writes_nothing_until_it_has_a_lease_again(cluster: Cluster) -> None:
    zombie, heir = cluster.processes
    brands = owned(zombie)
    zombie.send(signal.SIGSTOP)
    try:
        assert wait_until(lambda: owned(heir) == set(cluster.brands)) < TAKEOVER_SECONDS
        for brand in brands:  # What the zombie would have to say if it went on where it was.
            cluster.simulator.world.set_status(brand, "1", "2", 0)
        wait_until(lambda: {event["brand"] for event in heir.events("station.deactivated")} == brands)
        time.sleep(max(0.0, ZOMBIE_SECONDS - TAKEOVER_SECONDS))
        cluster.simulator.world.set_status(min(brands), "1", "2", 1)
        heir.until_event("station.activated")
    finally:
        zombie.send(signal.SIGCONT)
    woken = time.monotonic()
    zombie.until_event("brand.lease_lost", times=len(brands))
    wait_until(lambda: bool(owned(zombie)) and owned(zombie) | owned(heir) == set(cluster.brands))
    cluster.until_asked(time.monotonic())
    nothing_is_polled_or_said_twice(cluster)
    taken = min(line.at for line in cluster.lines if line.at > woken and line.event["event"] == "brand.owned")
    assert not [one for one in cluster.witness.requests if one.process == zombie.name and woken < one.at < taken]
    emitted = [line.event["brand"] for line in cluster.lines if line.event["event"] == "station.deactivated"]
    assert sorted(emitted) == sorted(brands), "each once"


@pytest.mark.slow
def test_a_process_ends_in_time_though_its_database_does_not_answer(
    start: Start, simulator: Simulator, postgresql: PostgreSQL, database_url: str
) -> None:
    with Proxy(postgresql.port) as proxy:
        process = start("first", state={"url": database_url.replace(f":{postgresql.port}/", f":{proxy.port}/")})
        wait_until(lambda: owned(process) == set(simulator.world.brands))
        process.until_polled()
        proxy.cut()
        for brand in simulator.world.brands:  # so that there is something to be stored
            venue = next(iter(simulator.world.venues(brand)))
            simulator.world.touch(brand, venue, simulator.world.stations(brand, venue)[0]["id"])
        process.until_event("station.touched")
        process.stop()
        proxy.restore()


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [1], indirect=True)
def test_without_its_database_a_process_polls_until_its_leases_end_and_says_so(cluster: Cluster) -> None:
    [process] = cluster.processes
    process.proxy.cut()
    cut = time.monotonic()
    cluster.simulator.world.set_status("brand-01", "1", "2", 0)
    process.until_value(0, "clopos_exporter_store_up")
    process.until_event("station.deactivated", brand="brand-01")
    process.until_event("brand.lease_lost", times=len(cluster.brands))
    lost = time.monotonic()
    assert lost - cut < TAKEOVER_SECONDS
    answer = process.get("/-/ready")
    assert answer.status == 503
    assert "the database fails" in answer.text
    assert process.get("/").status == process.get("/metrics").status == 200
    time.sleep(2.0)
    assert not [one for one in cluster.witness.requests if one.at > lost + 0.5]
    process.proxy.restore()
    cluster.until_asked(time.monotonic())
    process.until_event("store.recovered")
    wait_until(lambda: process.get("/-/ready").status == 200)
    process.until_event("station.deactivated", times=2, brand="brand-01")
    assert process.events("station.deactivated", brand="brand-01")[-1]["detected"] == "after_takeover"
