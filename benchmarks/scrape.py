"""Scrapes at memory speed: what a scrape costs beyond sending its bytes, and beside what others do for it."""

from __future__ import annotations

import os
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.measuring import Getter, alternate, running, timed
from benchmarks.served import JSON, PREBUILT, Served, serving

SIZES = {"1k": 10, "10k": 104, "120k": 1250}
"""Venues of 20 stations for so many series: 96 each."""

JSON_EXPORTER = """
modules:
  default:
    metrics:
    - name: clopos_station
      type: object
      path: '{ .data[*] }'
      labels:
        brand: '{ .brand }'
        kind: '{ .kind }'
        station: '{ .station }'
        station_id: '{ .station_id }'
        venue: '{ .venue }'
        venue_id: '{ .venue_id }'
      values:
        active: '{ .active }'
        printable: '{ .printable }'
        created_timestamp_seconds: '{ .created }'
        updated_timestamp_seconds: '{ .updated }'
"""


def figures() -> Iterator[Figure]:
    """Measure each size."""
    program = _json_exporter()
    for size, venues in SIZES.items():
        with serving(venues) as served:
            yield from _against_prebuilt(size, served)
            yield from _against_generate_latest(size, served)
            if program is not None:
                yield _against_json_exporter(size, served, program)
    if program is None:
        yield Figure("json_exporter", "absent: not on PATH")


def _against_prebuilt(size: str, served: Served) -> Iterator[Figure]:
    rounds = max(60, min(400, 4_000_000 // served.series))
    for coding, limit in (("plain", 1.6), ("gzip", 8.0)):
        headers = {"Accept_Encoding": "gzip"} if coding == "gzip" else {}
        prebuilt = Getter(served.port, f"{PREBUILT}/{coding}", **headers)
        scrape = Getter(served.port, "/metrics", **headers)

        def after_a_poll(scrape: Getter = scrape) -> float:
            served.poll()
            return scrape()

        for getter in (prebuilt, scrape):
            getter()
        took = alternate(rounds, {"prebuilt": prebuilt, "unchanged": scrape, "one poll": after_a_poll})
        base = took["prebuilt"]
        what = f"{size} series, {coding}, {scrape.size / 1e6:.2f} MB"
        yield Figure(f"{what}: the same bytes prebuilt", f"{base * 1e3:.2f} ms")
        yield Figure.at_most(f"{what}: nothing changed / prebuilt", took["unchanged"] / base, 1.1)
        yield Figure.at_most(f"{what}: one poll since / prebuilt", took["one poll"] / base, limit)


def _against_generate_latest(size: str, served: Served) -> Iterator[Figure]:
    fast, slow = served.make_both(rounds=7)
    what = f"{size} series, body made in process after one poll"
    yield Figure(f"{what}: generate_latest", f"{slow * 1e3:.1f} ms")
    yield Figure.at_least(f"{what}: times faster", slow / fast, 150, "{:.0f}")


def _against_json_exporter(size: str, served: Served, program: str) -> Figure:
    with running(program, {"config.yml": JSON_EXPORTER}, "--config.file=config.yml") as port:
        target = f"http://127.0.0.1:{served.port}{JSON}"
        url = f"http://127.0.0.1:{port}/probe?module=default&target={target}"

        def probe() -> float:
            return timed(lambda: urllib.request.urlopen(url).read())

        def scrape() -> float:
            served.poll()
            return scraper()

        scraper = Getter(served.port, "/metrics")
        took = alternate(3, {"ours": scrape, "theirs": probe})
    what = f"{size} series: times faster than json_exporter, {took['theirs'] * 1e3:.0f} ms"
    return Figure.at_least(what, took["theirs"] / took["ours"], 1, "{:.0f}")


def _json_exporter() -> str | None:
    """Find the peer on PATH or where continuous integration keeps its tools."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clopos-exporter-ci" / "bin"
    return shutil.which("json_exporter", path=f"{os.environ.get('PATH', '')}:{cache}")
