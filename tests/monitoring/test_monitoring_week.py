"""A simulated week with a known truth: which pages should have been sent, which were, and how late."""

from __future__ import annotations

import json
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest
from rule_worlds import LONG_AGO, World

from monitoring.rules.render import ROOT

DAY = 24 * 60
WEEK = 7 * DAY
VENUES = 6
OPENS, CLOSES = 10 * 60, 2 * 60
GRILL, BAR = "1", "2"
KITCHEN_OFF, BAR_OFF, BULK = "CloposKitchenStationInactive", "CloposStationInactive", "CloposManyVenuesInactive"
WAIT = {KITCHEN_OFF: 2, BAR_OFF: 5}

EDIT = range(4 * DAY + 16 * 60, 4 * DAY + 16 * 60 + 50)
"""Somebody switches every kitchen off with one edit, and on again."""

OUTAGES = (range(2 * DAY + 17 * 60, 2 * DAY + 18 * 60), range(5 * DAY + 11 * 60, 5 * DAY + 11 * 60 + 8))
RESTARTS = tuple((day * DAY + 13 * 60 + 20, day * DAY + 13 * 60 + 22) for day in range(7))


class Off(NamedTuple):
    """A station that is off from one minute to another."""

    venue: int
    station: str
    begin: int
    end: int


class Page(NamedTuple):
    """A page, and the first minute at which it could be sent; venue is -1 for the whole brand."""

    alert: str
    venue: int
    minute: int


def switched(dice: random.Random) -> Iterator[Off]:
    """Give what is switched in the week: in service, over closing time, at night, for a moment; one a day at most."""
    for venue in range(VENUES):
        for station in (GRILL, BAR):
            for day in range(7):
                begin, length = dice.choice(
                    [(13 * 60, 45), (19 * 60, 90), (20 * 60, 1), (CLOSES - 30, 60), (CLOSES + 10, 6 * 60), (0, 0)]
                )
                start = day * DAY + begin + dice.randrange(10)
                yield Off(venue, station, start, start + length)
    yield Off(0, GRILL, OUTAGES[0][30], OUTAGES[0][-1] + 30)  # while nobody can see it
    yield from (Off(venue, GRILL, EDIT[0], EDIT[-1] + 1) for venue in range(VENUES))


def wanted(offs: list[Off]) -> list[Page]:
    """Give the pages that a person would want."""
    pages = [Page(BULK, -1, EDIT[0] + 1)]
    for off in offs:
        alert = KITCHEN_OFF if off.station == GRILL else BAR_OFF
        seen = [
            minute
            for minute in range(off.begin, off.end)
            if not CLOSES <= minute % DAY < OPENS and not any(minute in outage for outage in OUTAGES)
        ]
        if len(seen) > WAIT[alert] and off.begin != EDIT[0]:
            pages.append(Page(alert, off.venue, seen[0] + WAIT[alert]))
    return pages


def scraped(offs: list[Off]) -> World:
    """Put what happened into what an exporter would have said."""
    hours = " ".join(["1", *(f"{day * DAY + CLOSES}:0 {day * DAY + OPENS}:1" for day in range(7))])
    openings = [60 * (day * DAY + OPENS) for day in range(8)]
    next_open = " ".join([str(openings[0]), *(f"{day * DAY + OPENS}:{openings[day + 1]}" for day in range(7))])
    up = " ".join(["1", *(f"{outage[0]}:0 {outage[-1] + 1}:1" for outage in OUTAGES)])
    world = World(minutes=WEEK, restarts=RESTARTS).gone("venue_id")
    for venue in range(VENUES):
        names = {"venue_id": str(venue), "venue": f"Venue {venue}"}
        world.venue(names["venue_id"], names["venue"], opened=hours, up=up, next_open=next_open)
        for station, name, kind in ((GRILL, "Grill", "kitchen"), (BAR, "Bar", "other")):
            own = sorted(off for off in offs if (off.venue, off.station) == (venue, station))
            turns = " ".join(["1", *(f"{off.begin}:0 {off.end}:1" for off in own if off.begin < off.end)])
            world.station(station, name, kind=kind, active=turns, **names)
        world.station("3", "Pastry", active=f"1 {3 * DAY}:-", **names)  # renamed in the middle of the week
        world.station("3", "Dessert", active=f"- {3 * DAY}:1", **names)
    names = {"venue_id": "0", "venue": "Venue 0"}
    world.station("4", "Old grill", active=0, updated=LONG_AGO, **names)  # retired before anybody watched
    world.station("5", "Odd", kind="unknown", active="nan", **names)
    for outage in OUTAGES:  # values outlive failing polls by five minutes
        for name, values in world.series.items():
            if "station_id" in name:
                values[outage[5] : outage[-1] + 1] = ["-"] * (len(outage) - 5)
    return world


def sent(world: World, promtool: str, folder: Path) -> list[Page]:
    """Give what began to fire for the restaurants, without what the alert for the whole brand inhibits."""
    fires = 'ALERTS{alertstate="firing",audience="business"}'
    begins = f"sum by (alertname, venue_id) ({fires} unless {fires} offset 1m)"
    asked = [{"expr": begins, "eval_time": f"{minute}m"} for minute in range(1, WEEK)]
    rules = str(ROOT / "monitoring/prometheus/clopos.rules.yml")
    test = {"interval": "1m", "input_series": world.input_series(WEEK), "promql_expr_test": asked}
    path = folder / "week.json"
    path.write_text(json.dumps({"rule_files": [rules], "evaluation_interval": "1m", "tests": [test]}))
    # Nothing is expected, so promtool names every minute at which something began.
    done = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, check=False)
    pages = []
    for time, got in re.findall(r"time: (\w+),\s+exp: ?\S*\s+got: ?(.*)", done.stdout + done.stderr):
        parts = {unit: int(number) for number, unit in re.findall(r"(\d+)([dhm])", time)}
        minute = parts.get("d", 0) * DAY + parts.get("h", 0) * 60 + parts.get("m", 0)
        for alert, venue in re.findall(r'alertname="(\w+)"(?:, venue_id="(\d+)")?', got):
            if alert == BULK or minute not in EDIT:
                pages.append(Page(alert, int(venue or -1), minute))
    return pages


@pytest.mark.slow
def test_a_week_brings_every_page_soon_and_none_too_many(
    tmp_path: Path, program: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    offs = list(switched(random.Random(7)))  # noqa: S311 - the same week each time
    expected, false = wanted(offs), sent(scraped(offs), program("promtool"), tmp_path)
    number, missed, delays = len(false), [], []
    for page in expected:
        late = [one for one in false if one[:2] == page[:2] and 0 <= one.minute - page.minute <= 3]
        if late:
            delays.append(late[0].minute - page.minute)
            false.remove(late[0])
        else:
            missed.append(page)
    with capsys.disabled():
        told = f"pages expected {len(expected)}, sent {number}, false {len(false)}, missed {len(missed)}"
        print(f"\n{told}; delay median {median(delays)} min, at most {max(delays)} min")  # noqa: T201 - asked for
    assert (false, missed) == ([], [])
