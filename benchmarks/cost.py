"""What watching costs: CPU, memory, the time to start, and what a flood of events does to a scrape."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from benchmarks.figures import Figure
from benchmarks.measuring import Getter, cpu_seconds, percentile, resident_mb
from benchmarks.processes import STATIONS, Exporter, Section, bare_gets, exporter, simulator
from benchmarks.served import serving

BRANDS, VENUES = 10, 200
SECONDS = 20.0
SETTLE = 4.0
EVENTS = 20_000


def figures() -> Iterator[Figure]:
    """Measure a single venue, then 2,000."""
    yield from _one_venue()
    with simulator(brands=BRANDS, venues=VENUES) as many, exporter(many, poll_interval="60s") as large:
        # The small one is measured while the large one comes round for the first time.
        with simulator(brands=BRANDS, venues=1) as few, exporter(few, poll_interval="1s") as small:
            small.until(3 * BRANDS)
            _, small_ratio = _cpu(small, few[0], 1)
        large.until(BRANDS * VENUES * 11 // 10)
        busy, large_ratio = _cpu(large, many[0], VENUES)
        yield Figure.at_most("CPU per poll / bare requests GET, 10 venues", small_ratio, 2.0)
        yield Figure.at_most("CPU per poll / bare requests GET, 2,000 venues", large_ratio, 2.0)
        yield Figure.at_most("the same, 2,000 venues / 10 venues", large_ratio / small_ratio, 1.2)
        yield Figure.at_most("2,000 venues a minute", busy * 100, 5.0, "{:.1f} % of a core")
        yield from _scrapes(large)
    yield from _flood()


def _one_venue() -> Iterator[Figure]:
    starts, sizes = [], []
    with simulator(brands=1, venues=1) as brand:
        for _ in range(3):
            with exporter(brand) as one:
                while one.scrape("?name[]=clopos_station_active").count("\nclopos_station_active{") < STATIONS:
                    time.sleep(0.005)
                starts.append(time.perf_counter() - one.started)
                one.scrape()
                sizes.append(resident_mb(one.pid))
    yield Figure.at_most("one venue: from the process' start to the first full scrape", min(starts), 1.0, "{:.2f} s")
    yield Figure.at_most("one venue: resident memory", statistics.median(sizes), 80, "{:.0f} MB")


def _cpu(process: Exporter, brand: Section, venues: int) -> tuple[float, float]:
    """Give the share of a core that polling takes, and CPU per poll against that of a bare GET at the same rate."""
    polls, began = process.polls(), time.perf_counter()
    time.sleep(SETTLE)
    rate = (process.polls() - polls) / (time.perf_counter() - began)
    with bare_gets(brand, venues, rate) as bare:
        time.sleep(SETTLE)
        polls, began = process.polls(), time.perf_counter()
        before = cpu_seconds(process.pid), cpu_seconds(bare)
        time.sleep(SECONDS)
        seconds = time.perf_counter() - began
        used, bare_used = cpu_seconds(process.pid) - before[0], cpu_seconds(bare) - before[1]
    polls = process.polls() - polls
    return used / seconds, (used / polls) / (bare_used / (rate * seconds))


def _scrapes(process: Exporter) -> Iterator[Figure]:
    scrape = Getter(process.port, "/metrics", Accept_Encoding="gzip")
    took = []
    for _ in range(150):
        time.sleep(0.1)
        took.append(scrape())
    what = "scrape of 2,000 x 20 stations, gzip, while polls run at full rate"
    yield Figure(f"{what}: p50", f"{percentile(took, 50) * 1e3:.1f} ms")
    yield Figure.at_most(f"{what}: p99 / p50", percentile(took, 99) / percentile(took, 50), 3.0)
    yield Figure.at_most("2,000 x 20 stations: resident memory", resident_mb(process.pid), 150, "{:.0f} MB")
    Getter(process.port, "/metrics")()
    yield Figure("2,000 x 20 stations: the same once scraped without gzip", f"{resident_mb(process.pid):.0f} MB")


def _flood() -> Iterator[Figure]:
    with serving(1250) as served:
        scrape = Getter(served.port, "/metrics", Accept_Encoding="gzip")
        calm = statistics.median(scrape() for _ in range(50))
        served.start_telling(EVENTS)
        took = []
        while not served.has_told():
            took.append(scrape())
    what = f"{EVENTS:,} events told at once"
    yield Figure(f"{what}: took", f"{sum(took):.1f} s")
    yield Figure.at_most(f"{what}: longest that a scrape waited", (max(took) - calm) * 1e3, 50, "{:.0f} ms")
