"""Three processes, twelve brands and whatever may happen to them: the simulator's own record is the witness."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cluster_checks as checks
import pytest
from cluster import TIMEOUT, Cluster, Faults, Restaurants

from benchmarks.postgres import PostgreSQL

FAULTS = int(os.environ.get("FAULTS", "0"))
"""How many faults there are: 200 take half an hour. Without a number, as many as happen in SECONDS."""

SECONDS = 30.0

SEED = int(os.environ.get("SEED", "0")) or random.randrange(1, 10_000)  # noqa: S311 - no secret
QUIET_SECONDS = 8.0
MOST_LOGINS = 60
"""Logins in a minute that Clopos allows an address."""


@pytest.mark.slow
def test_no_fault_makes_processes_poll_too_often_or_lose_or_invent_anything(
    tmp_path: Path, postgresql: PostgreSQL
) -> None:
    print(f"SEED={SEED}")  # noqa: T201 - to repeat it
    with Cluster(tmp_path, postgresql) as cluster:
        faults, chance = Faults(cluster, SEED), random.Random(SEED)  # noqa: S311 - runs have to repeat
        for process in cluster.processes:
            process.start(TIMEOUT)
        cluster.until_asked(time.monotonic())
        with Restaurants(cluster.simulator.world, SEED):
            until = time.monotonic() + SECONDS
            while len(cluster.troubles) < FAULTS or (not FAULTS and time.monotonic() < until):
                trouble = faults.strike()
                if chance.random() < 0.7:
                    cluster.until_asked(trouble.end)
                time.sleep(chance.uniform(0.0, 2.0))
        _calm_down(cluster)
        requests = list(cluster.witness.requests)
        for process in cluster.running:
            process.stop()
            process.join()
        found = [*_about_polls(cluster, requests), *_about_events_and_messages(cluster)]
        assert not found, "\n".join([f"SEED={SEED}", cluster.story(), *found])


def _about_polls(cluster: Cluster, requests: Sequence[checks.Asked]) -> Iterator[str]:
    pauses = checks.unowned(requests, cluster.lines, cluster.troubles)
    logins = checks.logins_in_a_minute(requests)
    print(len(cluster.troubles), "faults;", len(requests), "requests; logins in a minute:", logins)  # noqa: T201
    print("the longest pauses:", *pauses[:5], sep="\n")  # noqa: T201
    if logins > MOST_LOGINS:
        yield f"{logins} logins in a minute"
    yield from (f"{seconds:.1f} s {what}" for seconds, what in pauses if seconds > checks.UNOWNED_SECONDS)
    yield from checks.polled_too_soon(requests)
    yield from checks.polled_by_two(requests)
    yield from checks.asked_too_often(requests)


def _about_events_and_messages(cluster: Cluster) -> Iterator[str]:
    unwritten = [
        *(trouble for trouble in cluster.troubles if trouble.kind in ("cut", "restart")),
        *checks.without_database(cluster.lines, time.monotonic()),
    ]
    cluster.witness.doubt(unwritten, cluster.wall)
    events, repeated = checks.union(cluster.lines)
    accepted = cluster.service.accepted
    print(len(events), "events,", len(accepted), "messages")  # noqa: T201
    yield from checks.crashes(cluster.lines)
    yield from checks.emitted_by_others(cluster.lines)
    yield from repeated
    yield from cluster.witness.faults([line.event for line in events]).splitlines()
    frozen = [trouble for trouble in cluster.troubles if trouble.kind == "freeze"]
    yield from checks.heard_differently(cluster.lines, accepted, unwritten=unwritten, frozen=frozen)
    if not (events and accepted):
        yield "nothing happened"


def _calm_down(cluster: Cluster) -> None:
    """Let every process run, and wait until each list was read three times more and nothing is left to be sent."""
    for process in cluster.processes:
        if not process.running:
            process.start(TIMEOUT)
    world = cluster.simulator.world
    lists = [(brand, venue) for brand in world.brands for venue in world.venues(brand)]
    enough = {asked: len(cluster.witness.sights(asked)) + 3 for asked in lists}
    end = time.monotonic() + TIMEOUT
    while any(len(cluster.witness.sights(asked)) < many for asked, many in enough.items()):
        assert time.monotonic() < end, cluster.story()
        time.sleep(0.1)
    received, since = -1, time.monotonic()
    while time.monotonic() < since + QUIET_SECONDS:
        if received != len(cluster.service.received):
            received, since = len(cluster.service.received), time.monotonic()
        time.sleep(0.2)
