"""Three processes, twelve brands and whatever may happen to them: the simulator's own record is the witness."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import cluster as witnessed
import pytest
from cluster import Cluster, Faults, Restaurants

from benchmarks.postgres import PostgreSQL

FAULTS = int(os.environ.get("FAULTS", "0"))
"""How many faults there are: 200 take half an hour. Without a number, as many as happen in SECONDS."""

SECONDS = 60.0

SEED = int(os.environ.get("SEED", "0")) or random.randrange(1, 10_000)  # noqa: S311 - no secret
QUIET_SECONDS = 8.0


@pytest.mark.slow
def test_no_fault_leaves_a_brand_unowned_for_long(tmp_path: Path, postgresql: PostgreSQL) -> None:
    print(f"SEED={SEED}")  # noqa: T201 - to repeat it
    with Cluster(tmp_path, postgresql) as cluster:
        faults, chance = Faults(cluster, SEED), random.Random(SEED)  # noqa: S311 - runs have to repeat
        for process in cluster.processes:
            process.start(witnessed.TIMEOUT)
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
        doubts = witnessed.without_database(cluster.lines, time.monotonic())
        cluster.witness.doubt(
            [*(one for one in cluster.troubles if one.kind in ("cut", "freeze", "kill", "restart")), *doubts],
            cluster.wall,
        )
        events, repeated = witnessed.union(cluster.lines, cluster.troubles)
        pauses = witnessed.unowned(requests, cluster.lines, cluster.troubles)
        print(len(cluster.troubles), "faults; the longest pauses:", *pauses[:5], sep="\n")  # noqa: T201
        print(len(requests), "requests", len(events), "events", len(cluster.service.received), "messages")  # noqa: T201
        found = [f"{seconds:.1f} s {what}" for seconds, what in pauses if seconds > witnessed.UNOWNED_SECONDS]
        # A process that was frozen sends what it had begun before, what one says while its database is cut off may be
        # lost, and a merged message lists an end after what began again. That is not distinguished well enough yet to
        # fail a build for it: a run with FAULTS looks at it.
        differences = [
            *witnessed.polled_too_soon(requests),
            *witnessed.polled_by_two(requests),
            *witnessed.emitted_by_others(cluster.lines),
            *repeated,
            *cluster.witness.faults(events).splitlines(),
            *witnessed.notices_that_differ(cluster.lines, cluster.service, doubts),
        ]
        print(*differences, sep="\n")  # noqa: T201
        assert witnessed.logins_in_a_minute(requests) <= 60
        assert not found, "\n".join([f"SEED={SEED}", cluster.story(), *found])
        assert not (FAULTS and differences), "\n".join([f"SEED={SEED}", cluster.story(), *differences])
        assert events
        assert cluster.service.received


def _calm_down(cluster: Cluster) -> None:
    """Let every process run, and wait until each list was read three times more and nothing is left to be sent."""
    for process in cluster.processes:
        if not process.running:
            process.start(witnessed.TIMEOUT)
    world = cluster.simulator.world
    lists = [(brand, venue) for brand in world.brands for venue in world.venues(brand)]
    enough = {asked: len(cluster.witness.sights(asked)) + 3 for asked in lists}
    end = time.monotonic() + witnessed.TIMEOUT
    while any(len(cluster.witness.sights(asked)) < many for asked, many in enough.items()):
        assert time.monotonic() < end, cluster.story()
        time.sleep(0.1)
    received, since = -1, time.monotonic()
    while time.monotonic() < since + QUIET_SECONDS:
        if received != len(cluster.service.received):
            received, since = len(cluster.service.received), time.monotonic()
        time.sleep(0.2)
