"""Ten thousand venues in one process, beside two thousand in the same run: five times would be linear."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

from benchmarks.figures import Figure
from benchmarks.measuring import Getter, cpu_seconds, free_port, percentile, resident_of, timed
from benchmarks.processes import Exporter, Section, exporter, simulator

VENUES = 200
"""Venues of a brand, of 20 stations each."""
FEW, MANY = 10, 50
"""Brands: 2,000 venues and 10,000."""
SWITCHED = 30.0
"""Changes a minute in 2,000 venues."""
SECONDS = 60.0
SELDOM = "30d"
SCRAPES = 30
"""Scrapes of a round, whose p99 is the longest of them; the median of the rounds leaves out what a neighbour did."""
ROUNDS, IDLE_ROUNDS = 3, 5
SCRAPE_SECONDS = 1.0
"""Time between scrapes while polls go on: short for Prometheus, but most venues were polled since."""
LINEAR = 6.0
"""What is allowed where five times would be linear."""
STARTS = 3
START_SECONDS = 60.0


def figures() -> Iterator[Figure]:
    """Measure both fleets polled, then started with their state, then idle."""
    with ExitStack() as stack:
        few = stack.enter_context(simulator(brands=FEW, venues=VENUES, changes_per_minute=SWITCHED))
        many = stack.enter_context(simulator(brands=MANY, venues=VENUES, changes_per_minute=SWITCHED * MANY / FEW))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        states = [{"path": str(folder / name)} for name in ("few", "many")]
        with (
            exporter(few, poll_interval="60s", state=states[0]) as small,
            exporter(many, poll_interval="60s", state=states[1]) as large,
        ):
            small.until_read()
            large.until_read()
            yield from _polls(small, large)
            yield from _scrapes("polled and switched", small, large, SCRAPE_SECONDS, ROUNDS)
            yield from _memory(small, large)
        yield from _start(many, states[1])
        with (
            exporter(few, poll_interval=SELDOM, state=states[0]) as small,
            exporter(many, poll_interval=SELDOM, state=states[1]) as large,
        ):
            small.until_read()
            large.until_read()
            yield from _scrapes("idle", small, large, 0.1, IDLE_ROUNDS)
            yield from _readers(small, large)


def _polls(small: Exporter, large: Exporter) -> Iterator[Figure]:
    pids = small.pid, large.pid
    polls, before, began = (small.polls(), large.polls()), list(map(cpu_seconds, pids)), time.perf_counter()
    time.sleep(SECONDS)
    used = [cpu_seconds(pid) - seconds for pid, seconds in zip(pids, before, strict=True)]
    seconds = time.perf_counter() - began
    few, many = small.polls() - polls[0], large.polls() - polls[1]
    yield Figure(f"10,000 venues, {many / seconds:.0f} polls a second", f"{used[1] / seconds:.0%} of a core")
    yield Figure.at_most("CPU per poll / among 2,000", used[1] / many / (used[0] / few), 1.1)


def _scrapes(what: str, small: Exporter, large: Exporter, spacing: float, rounds: int) -> Iterator[Figure]:
    """Scrape both in turn, first for the first time."""
    for coding, headers in (("gzip", {"Accept_Encoding": "gzip"}), ("plain", {})):
        getters = [Getter(process.port, "/metrics", **headers) for process in (small, large)]
        first = [getter() for getter in getters]
        took: list[list[float]] = [[], []]
        for _ in range(rounds * SCRAPES):
            time.sleep(spacing)
            for getter, seconds in zip(getters, took, strict=True):
                seconds.append(getter())
        name = f"scrape, {coding}, {what}"
        yield _ratio(f"{name}, the first", *first)
        yield _ratio(f"{name}, p50", *(percentile(seconds, 50) for seconds in took))
        yield _ratio(f"{name}, p99", *map(_p99, took))


def _p99(seconds: list[float]) -> float:
    """Return the median of the rounds' p99."""
    rounds = (seconds[start : start + SCRAPES] for start in range(0, len(seconds), SCRAPES))
    return statistics.median(percentile(one, 99) for one in rounds)


def _memory(small: Exporter, large: Exporter) -> Iterator[Figure]:
    """Compare resident memory and the most there ever was, both after all kinds of scrapes."""
    status = [Path(f"/proc/{process.pid}/status").read_text() for process in (small, large)]
    few, many = map(resident_of, status)
    yield Figure.at_most(f"resident memory, {many:.0f} MB / of 2,000 venues, {few:.0f} MB", many / few, 3.0)
    peak = resident_of(status[1], "VmHWM")
    yield Figure.at_most(f"peak of resident memory, {peak:.0f} MB / resident", peak / many, 1.3)


def _start(brands: list[Section], state: dict[str, str]) -> Iterator[Figure]:
    """Start with the state of 10,000 venues several times, and see when who answers."""
    starts = [_answers(brands, state) for _ in range(STARTS)]
    healthy, first, everything = (statistics.median(seconds) for seconds in zip(*starts, strict=True))
    what = "start with the state of 10,000 venues"
    yield Figure.at_most(f"{what}: /-/healthy answers after", healthy, 1.0, "{:.2f} s")
    yield Figure(f"{what}: /metrics has the first brand after", f"{first:.2f} s")
    yield Figure(f"{what}: /metrics has all after", f"{everything:.2f} s")


def _answers(brands: list[Section], state: dict[str, str]) -> tuple[float, float, float]:
    """Start once, and return after how many seconds it is healthy, has the first brand, and has all."""
    port = free_port()
    began = time.perf_counter()

    def until(path: str, wanted: Callable[[bytes], bool]) -> float:
        while time.perf_counter() < began + START_SECONDS:
            with suppress(OSError, urllib.error.URLError):
                body = urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=START_SECONDS).read()
                if wanted(body):
                    break
            time.sleep(0.01)
        return time.perf_counter() - began

    def has(venues: int) -> Callable[[bytes], bool]:
        return lambda body: body.count(b"\nclopos_venue_poll_interval_seconds{") >= venues

    names = "/metrics?name[]=clopos_venue_poll_interval_seconds"
    looks = [("/-/healthy", bool), (names, has(VENUES)), (names, has(VENUES * MANY))]
    with ThreadPoolExecutor() as threads, exporter(brands, port=port, state=state, poll_interval=SELDOM):
        healthy, first, everything = (threads.submit(until, *look) for look in looks)
        return healthy.result(), first.result(), everything.result()


def _readers(small: Exporter, large: Exporter) -> Iterator[Figure]:
    """Ask for pages and lists of both in turn, beside scrapes."""
    yield _ratio("/, the first", *(_beside(process, ["/"]) for process in (small, large)))
    pages = [Getter(process.port, "/", Accept_Encoding="gzip") for process in (small, large)]
    took = [[page() for page in pages] for _ in range(7)]
    yield _ratio("/, p50", *(statistics.median(seconds) for seconds in zip(*took, strict=True)))
    firsts = [Getter(process.port, "/api/v1/stations") for process in (small, large)]
    took = [[page() for page in firsts] for _ in range(21)]
    few, many = (statistics.median(seconds) for seconds in zip(*took, strict=True))
    yield Figure.at_most("/api/v1/stations, a page of 200 rows, p50", many * 1e3, 20, "{:.1f} ms")
    yield _ratio("/api/v1/stations, a page of 200 rows", few, many, 1.5)
    for name in ("stations", "venues"):
        lists = [partial(_list, process, name) for process in (small, large)]
        took = [[timed(pages) for pages in lists] for _ in range(3)]
        yield _ratio(f"/api/v1/{name}, all pages", *map(statistics.median, zip(*took, strict=True)))
    for process, name, limit in ((small, "2,000", 50), (large, "10,000", 150)):
        delayed = max(
            statistics.median(_delay(process, path) for _ in range(ROUNDS))
            for path in ("/", "/api/v1/stations?limit=1000", "/api/v1/incidents")
        )
        what = f"longest that a page or list delays a scrape of {name} venues"
        yield Figure.at_most(what, delayed * 1e3, limit, "{:.0f} ms")


def _beside(process: Exporter, paths: list[str]) -> float:
    return timed(lambda: [Getter(process.port, path)() for path in paths])


def _delay(process: Exporter, path: str) -> float:
    """Return how much longer than usual the longest scrape takes while a path is asked for again and again, seconds."""
    scrape = Getter(process.port, "/metrics", Accept_Encoding="gzip")
    calm = [scrape() for _ in range(2 * SCRAPES)]
    stop = Event()

    def ask() -> None:
        reader = Getter(process.port, path)
        while not stop.is_set():
            reader()

    thread = Thread(target=ask)
    thread.start()
    beside = []
    for _ in range(2 * SCRAPES):
        time.sleep(0.03)
        beside.append(scrape())
    stop.set()
    thread.join()
    return max(beside) - statistics.median(calm)


def _list(process: Exporter, name: str = "stations") -> int:
    """Return how many rows a list has, by following its pages."""
    rows, following = 0, f"{name}?limit=1000"
    while following:
        with urllib.request.urlopen(f"http://127.0.0.1:{process.port}/api/v1/{following}") as answer:
            page: dict[str, Any] = json.load(answer)
        rows, following = rows + len(page["data"]), page["next"]
    return rows


def _ratio(what: str, few: float, many: float, limit: float = LINEAR) -> Figure:
    return Figure.at_most(f"{what}, {many * 1e3:.1f} ms / {few * 1e3:.1f} ms of 2,000 venues", many / few, limit)
