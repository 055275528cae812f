"""Several processes with one database: how long a takeover takes, and what the database costs and has to bear."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.figures import Figure
from benchmarks.measuring import cpu_seconds, percentile
from benchmarks.postgres import PostgreSQL, binaries
from benchmarks.processes import Exporter, Section, exporter, simulator
from exporter.simulator import Simulator, World

BRANDS, VENUES = 10, 200
SECONDS = 20.0
WARM_UP = 4.0
CHANGES_PER_MINUTE = 60.0
KILLS = 2
FEW_BRANDS = 12
PAGE_CHANGES = 8
TIMEOUT = 60.0


def figures() -> Iterator[Figure]:
    """Measure 2,000 venues with either store, then 12 brands on two processes."""
    programs = binaries()
    if programs is None:
        yield Figure("absent: postgresql", "")
        return
    with PostgreSQL(programs) as database, PostgreSQL(programs) as other:
        yield from _costs(database, meanwhile=lambda: [*_takeovers(other), *_page(other)])


@dataclass(frozen=True, slots=True)
class _Work:
    """What the database did so far: transactions, rows written, and bytes of write-ahead log."""

    transactions: int
    rows: int
    log: int

    @classmethod
    def of(cls, database: PostgreSQL) -> _Work:
        [work] = database.sql(
            "SELECT xact_commit, tup_inserted + tup_updated + tup_deleted, pg_current_wal_lsn() - '0/0'::pg_lsn "
            "FROM pg_stat_database WHERE datname = current_database()"
        )
        return cls(*map(int, work))


def _costs(database: PostgreSQL, *, meanwhile: Callable[[], list[Figure]]) -> Iterator[Figure]:
    """Run both at the same time against the same Clopos, so that whatever else the machine does hits both alike."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        brands = stack.enter_context(simulator(brands=BRANDS, venues=VENUES, changes_per_minute=CHANGES_PER_MINUTE))
        states = {"path": str(folder / "state.db")}, {"url": database.empty()}
        file, shared = (stack.enter_context(exporter(brands, poll_interval="60s", state=state)) for state in states)
        # The large fleets are polled for the first time meanwhile.
        yield from meanwhile()
        for process in (file, shared):
            process.until(BRANDS * VENUES * 11 // 10)
        time.sleep(WARM_UP)
        processes = (file, shared)
        polls, before = [one.polls() for one in processes], [cpu_seconds(one.pid) for one in processes]
        work, began = _Work.of(database), time.perf_counter()
        time.sleep(SECONDS)
        used = [cpu_seconds(one.pid) - seconds for one, seconds in zip(processes, before, strict=True)]
        done = [one.polls() - count for one, count in zip(processes, polls, strict=True)]
        later, seconds = _Work.of(database), time.perf_counter() - began
        [(size, rows)] = database.sql(
            "SELECT sum(pg_total_relation_size(relid)) / 1e6, sum(n_live_tup) FROM pg_stat_user_tables"
        )
    per_poll = [cpu / count * 1e3 for cpu, count in zip(used, done, strict=True)]
    what = f"2,000 venues a minute, {CHANGES_PER_MINUTE:.0f} changes a minute"
    yield Figure(f"{what}: CPU per poll with SQLite", f"{per_poll[0]:.2f} ms")
    yield Figure.at_most(f"{what}: CPU per poll with PostgreSQL / with SQLite", per_poll[1] / per_poll[0], 1.5)
    yield Figure(f"{what}: transactions", f"{(later.transactions - work.transactions) / seconds:.1f} a second")
    yield Figure(f"{what}: rows written", f"{(later.rows - work.rows) / seconds:.0f} a second")
    yield Figure(f"{what}: write-ahead log", f"{(later.log - work.log) / seconds / 1e3:.0f} kB a second")
    yield Figure("2,000 x 20 stations: rows in the database", f"{rows:,}, {size:.0f} MB")


def _takeovers(database: PostgreSQL) -> Iterator[Figure]:
    took: list[float] = []
    with Simulator(World.generate(brands=FEW_BRANDS, venues=1, stations=3), tiers=None) as clopos, ExitStack() as stack:
        settings: dict[str, Any] = {"poll_interval": "1s", "state": {"url": database.empty()}}
        brands = _sections(clopos)
        first = stack.enter_context(exporter(brands, **settings))
        for _ in range(KILLS):
            second = stack.enter_context(exporter(brands, **settings))
            _until(partial(_divided, first, second))
            orphans, killed = _owned(first), time.perf_counter()
            first.kill()
            while orphans:
                for brand in orphans & _owned(second):
                    took.append(time.perf_counter() - killed)
                    orphans = orphans - {brand}
                time.sleep(0.05)
            first = second
        second = stack.enter_context(exporter(brands, **settings))
        _until(partial(_divided, first, second))
        orphans, stopped = _owned(first), time.perf_counter()
        os.kill(first.pid, signal.SIGTERM)
        _until(lambda: _has_ended(first.pid))
        ended = time.perf_counter() - stopped
        _until(lambda: orphans <= _owned(second))
        handed_over = time.perf_counter() - stopped
    what = f"kill -9 of one of two processes, {len(took)} brands"
    yield Figure(f"{what}: p50 until another polls the brand", f"{percentile(took, 50):.1f} s")
    yield Figure.at_most(f"{what}: p99", percentile(took, 99), 15.0, "{:.1f} s")
    yield Figure.at_most("SIGTERM to one of two processes: ends after", ended, 2.0, "{:.1f} s")
    yield Figure("SIGTERM to one of two processes: another polls all its brands after", f"{handed_over:.1f} s")


def _page(database: PostgreSQL) -> Iterator[Figure]:
    """Measure how much later the other process shows a change than the one that saw it."""
    later = []
    with Simulator(World.generate(brands=FEW_BRANDS, venues=1, stations=3), tiers=None) as clopos, ExitStack() as stack:
        settings: dict[str, Any] = {"poll_interval": "1s", "state": {"url": database.empty()}}
        pair = [stack.enter_context(exporter(_sections(clopos), **settings)) for _ in range(2)]
        _until(partial(_divided, *pair))
        owner, other = pair
        for number in range(PAGE_CHANGES):
            brand = sorted(_owned(owner))[number % len(_owned(owner))]
            venue = next(iter(clopos.world.venues(brand)))
            row = clopos.world.stations(brand, venue)[0]
            wanted = "inactive" if row["status"] else "active"
            clopos.world.set_status(brand, venue, row["id"], 1 - row["status"])
            seen = []
            for process in (owner, other):
                _until(partial(_shows, process, brand, str(row["id"]), wanted))
                seen.append(time.perf_counter())
            later.append(seen[1] - seen[0])
    yield Figure.at_most("JSON of a process that does not poll the brand: behind the one that does, p99",
                         percentile(later, 99), 2.5, "{:.1f} s")  # fmt: skip


def _sections(clopos: Simulator) -> list[Section]:
    return [{**clopos.credentials(brand), "base_url": clopos.url} for brand in clopos.world.brands]


def _owned(process: Exporter) -> frozenset[str]:
    lines = process.scrape("?name[]=clopos_exporter_brand_owned").splitlines()
    return frozenset(line.split('"')[1] for line in lines if line.startswith("clopos") and line.endswith(" 1.0"))


def _divided(first: Exporter, second: Exporter) -> bool:
    mine, others = _owned(first), _owned(second)
    return bool(mine) and bool(others) and not mine & others and len(mine | others) == FEW_BRANDS


def _has_ended(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _shows(process: Exporter, brand: str, station: str, status: str) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{process.port}/api/v1/stations?brand={brand}") as answer:
        rows = json.load(answer)["data"]
    return any(row["station_id"] == station and row["status"] == status for row in rows)


def _until(seen: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT
    while not seen():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)
