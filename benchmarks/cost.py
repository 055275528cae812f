"""What watching costs: CPU, memory, the time to start, and what a flood of events does to a scrape."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator
from subprocess import DEVNULL

from benchmarks.figures import Figure
from benchmarks.measuring import Getter, alternate, cpu_seconds, percentile, resident_mb, resident_of, timed
from benchmarks.processes import PYTHON, STATIONS, Exporter, Section, bare_gets, exporter, simulator
from benchmarks.served import serving

LIBRARIES = "import requests, prometheus_client, apscheduler, structlog"
"""What a start is compared with: the libraries that nothing of this kind can do without."""
STARTS = 7
BRANDS, VENUES = 10, 200
SECONDS = 20.0
WARM_UP = 4.0
EVENTS = 20_000


def figures() -> Iterator[Figure]:
    """Measure a single venue, then 2,000."""
    with simulator(brands=BRANDS, venues=VENUES) as many, exporter(many, poll_interval="60s") as large:
        # The large fleet comes round for the first time meanwhile.
        yield from _one_venue()
        yield from _flood()
        with simulator(brands=BRANDS, venues=1) as few, exporter(few, poll_interval="1s") as small:
            large.until(BRANDS * VENUES * 11 // 10)
            yield from _polls(small, large, many[0])
        yield from _scrapes(large)


def _one_venue() -> Iterator[Figure]:
    """Measure starts against that of a Python which imports the libraries, each in turn."""
    sizes: list[float] = []
    bare_sizes: list[float] = []

    def version() -> float:
        command = [PYTHON, "-m", "exporter", "--version"]
        return timed(lambda: subprocess.run(command, check=True, stdout=DEVNULL))  # noqa: S603 - our own

    def libraries() -> float:
        printing = f"{LIBRARIES}; print(open('/proc/self/status').read())"
        began = time.perf_counter()
        command = [PYTHON, "-c", printing]
        status = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own
        took = time.perf_counter() - began
        bare_sizes.append(resident_of(status))
        return took

    def serve() -> float:
        with exporter(brand) as one:
            while one.scrape("?name[]=clopos_station_active").count("\nclopos_station_active{") < STATIONS:
                time.sleep(0.005)
            took = time.perf_counter() - one.started
            one.scrape()
            sizes.append(resident_mb(one.pid))
            return took

    with simulator(brands=1, venues=1) as brand:
        took = alternate(STARTS, {"libraries": libraries, "version": version, "serve": serve})
    base, size, bare_size = took["libraries"], statistics.median(sizes), statistics.median(bare_sizes)
    yield Figure(f"python -c '{LIBRARIES}'", f"{base:.2f} s, {bare_size:.0f} MB")
    yield Figure.at_most("--version / that", took["version"] / base, 0.5)
    what = f"one venue, from the process' start to the first full scrape, {took['serve']:.2f} s"
    yield Figure.at_most(f"{what}: / that", took["serve"] / base, 3.0)
    yield Figure.at_most(f"one venue, resident memory, {size:.0f} MB: / that", size / bare_size, 1.75)


def _polls(small: Exporter, large: Exporter, brand: Section) -> Iterator[Figure]:
    """Measure both fleets and bare GETs at the rate of the large one, all at the same time."""
    with bare_gets(brand, VENUES, BRANDS * VENUES / 60) as bare:
        time.sleep(WARM_UP)
        pids = small.pid, large.pid, bare
        polls, before, began = (small.polls(), large.polls()), list(map(cpu_seconds, pids)), time.perf_counter()
        time.sleep(SECONDS)
        used = [cpu_seconds(pid) - seconds for pid, seconds in zip(pids, before, strict=True)]
        seconds = time.perf_counter() - began
        few, many = small.polls() - polls[0], large.polls() - polls[1]
    per_poll, per_get = used[1] / many, used[2] / (seconds * BRANDS * VENUES / 60)
    yield Figure("CPU per bare requests GET", f"{per_get * 1e3:.2f} ms")
    yield Figure.at_most("CPU per poll of a venue among 2,000 / bare GET", per_poll / per_get, 2.0)
    yield Figure.at_most("CPU per poll of a venue among 2,000 / among 10", per_poll / (used[0] / few), 1.1)
    share = used[1] / seconds * (BRANDS * VENUES / 60) / (many / seconds)
    yield Figure.at_most("2,000 venues a minute", share * 100, 5.0, "{:.1f} % of a core")


def _scrapes(process: Exporter) -> Iterator[Figure]:
    scrape = Getter(process.port, "/metrics", Accept_Encoding="gzip")
    what = "2,000 x 20 stations, gzip, while polls run at full rate"
    yield Figure(f"{what}: the first scrape, which compresses everything", f"{scrape() * 1e3:.0f} ms")
    rounds = [_scrapes_a_while(scrape) for _ in range(3)]
    yield Figure(f"{what}: p50 of scrapes", f"{statistics.median(half for half, _ in rounds) * 1e3:.1f} ms")
    ratio = statistics.median(most / half for half, most in rounds)
    yield Figure.at_most(f"{what}: p99 / p50, of three rounds", ratio, 3.0)
    yield Figure.at_most("2,000 x 20 stations: resident memory", resident_mb(process.pid), 150, "{:.0f} MB")
    Getter(process.port, "/metrics")()
    yield Figure("2,000 x 20 stations: the same once scraped without gzip", f"{resident_mb(process.pid):.0f} MB")


def _scrapes_a_while(scrape: Getter) -> tuple[float, float]:
    """Return median and 99th percentile of 150 scrapes, seconds."""
    took = []
    for _ in range(150):
        time.sleep(0.1)
        took.append(scrape())
    return percentile(took, 50), percentile(took, 99)


def _flood() -> Iterator[Figure]:
    with serving(1250) as served:
        scrape = Getter(served.port, "/metrics", Accept_Encoding="gzip")
        calm = statistics.median(scrape() for _ in range(50))
        served.start_poll_of_many_changes(EVENTS)
        took = []
        while not served.has_finished():
            took.append(scrape())
    what = f"{EVENTS:,} events emitted at once"
    yield Figure(f"{what}: took", f"{sum(took):.1f} s")
    yield Figure.at_most(f"{what}: longest that a scrape waited", (max(took) - calm) * 1e3, 50, "{:.0f} ms")
