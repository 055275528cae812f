"""Trials: every fault of the simulator's catalogue at one place, each on a brand of its own, in one process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness import Exporter, Samples, configuration

from exporter.model import Reason
from exporter.simulator import Simulator, World
from exporter.simulator.misbehaviour import CATALOGUE
from exporter.simulator.traffic import RequestRecord

Place = Literal["auth", "venues", "first page", "second page"]

VENUES = {"auth": (3, 3), "venues": (3, 3), "first page": (40,), "second page": (201,)}
"""How many stations the venues of a brand have; a page holds 200."""

SHOWN = (
    "clopos_brand_up",
    "clopos_exporter_poll_failures_total",
    "clopos_station_active",
    "clopos_station_transitions_total",
    "clopos_stations",
    "clopos_stations_active",
    "clopos_venue_poll_failures_total",
    "clopos_venue_polls_total",
    "clopos_venue_up",
)
"""The metrics that a trial is about."""


@dataclass(frozen=True)
class Trial:
    """What was seen of one brand before, during and after its fault."""

    kind: str
    before: Samples
    during: Samples
    after: Samples
    emitted_during: list[dict[str, Any]]
    emitted_after: list[dict[str, Any]]
    asked_during: list[RequestRecord]


def world_of(brands: Collection[str], venues: Collection[int]) -> World:
    """Make a world of brands, each with venues of so many stations."""
    world = World()
    for brand in brands:
        world.add_brand(brand)
        for stations in venues:
            venue = world.add_venue(brand, "Venue")
            for number in range(1, stations + 1):
                world.add_station(brand, venue, f"Station {number}", type=number % 2, status=int(number != 3))
    return world


def try_faults(folder: Path, place: Place, expected: Mapping[str, Reason | None]) -> dict[str, Trial]:
    """Let each fault act at a place until it shows, and end it; None expects that it never shows.

    What cannot be fixed by waiting is asked again by a reload, as a person would do it.
    """
    # A token that ends soon would be an incident.
    with Simulator(world_of(expected, VENUES[place]), tiers=None, token_lifetime=365 * 86400) as simulator:
        brands = [
            {"brand": brand, "token": simulator.tokens.issue(brand)[0], "base_url": simulator.url} for brand in expected
        ]
        if place == "auth":
            brands = [{**simulator.credentials(brand), "base_url": simulator.url} for brand in expected]
        # Logins are paced, and a poll that waits for one longer than its interval says so instead of what is wrong.
        config = configuration(
            simulator,
            brands=brands,
            poll_interval="4s" if place == "auth" else "1s",
            discovery_interval="1s" if place == "venues" else "1h",
        )
        with Exporter(folder, config) as exporter:
            exporter.until_ready(len(VENUES[place]) * len(expected), seconds=60)
            before = exporter.metrics(*SHOWN)
            silent = len(exporter.events())
            asked = simulator.traffic.entries()[-1].seq
            for kind in expected:
                simulator.faults.add(kind, **_selector(place, kind))
            if place == "auth":
                simulator.tokens.revoke()
            _until_shown(exporter, place, expected)
            during = exporter.metrics(*SHOWN)
            emitted = exporter.events()[silent:]
            entries = simulator.traffic.entries(asked)
            simulator.faults.clear()
            exporter.reload()
            _until_mended(exporter, place, expected)
            exporter.until_polled(seconds=60)
            after = exporter.metrics(*SHOWN)
            emitted_after = exporter.events()[silent + len(emitted) :]
    return {
        kind: Trial(
            kind,
            before,
            during,
            after,
            [event for event in emitted if event.get("brand") == kind and event["event"] != "station.unusable_row"],
            [event for event in emitted_after if event.get("brand") == kind],
            [entry for entry in entries if entry.brand == kind],
        )
        for kind in expected
    }


def _selector(place: Place, brand: str) -> dict[str, Any]:
    pages = {"first page": 1, "second page": 2}
    if place in pages:
        return {"endpoint": "stations", "brand": brand, "page": pages[place]}
    # A list of venues that lacks one is to be believed if it is repeated: once is what has to be borne.
    rows = place == "venues" and CATALOGUE[brand].moment == "rows"
    return {"endpoint": place, "brand": brand, "count": 1 if rows else None}


def _until_shown(exporter: Exporter, place: Place, expected: Mapping[str, Reason | None]) -> None:
    """Wait until every fault had its effect, and those without one had the time for it."""
    up = ["clopos_brand_up"] if place == "venues" else ["clopos_venue_up"]
    up += ["clopos_brand_up"] if place == "auth" else []
    failing = [brand for brand, reason in expected.items() if reason is not None]

    def seen() -> bool:
        samples = exporter.metrics(*up)
        return not any(value for name in up for brand in failing for _, value in samples.all(name, brand=brand))

    for brand in expected.keys() - failing:
        exporter.until_polled(2, brand=brand)

    def reported() -> bool:
        lost = Counter(event["brand"] for event in exporter.events("venue.lost"))
        return place == "venues" or all(lost[brand] >= len(VENUES[place]) for brand in failing)

    exporter.until(seen, "effect of every fault", seconds=90)
    exporter.until(reported, "an event for every venue that is lost", seconds=60)


def _until_mended(exporter: Exporter, place: Place, expected: Mapping[str, Reason | None]) -> None:
    def seen() -> bool:
        samples = exporter.metrics("clopos_brand_up", "clopos_venue_up")
        brands, venues = samples.all("clopos_brand_up"), samples.all("clopos_venue_up")
        all_there = (len(brands), len(venues)) == (len(expected), len(expected) * len(VENUES[place]))
        return all_there and all(value == 1 for _, value in brands + venues)

    exporter.until(seen, "recovery of every venue and brand", seconds=90)
