"""What must fire and what must not: at least one of each for every alert, and the special cases of real life."""

from __future__ import annotations

from typing import Any

from rule_worlds import LONG_AGO, Case, World

from monitoring.rules.recording import RETIRED_AFTER

KITCHEN = "CloposKitchenStationInactive station_id=1"
OTHER = "CloposStationInactive station_id=2"
PRINTING = "CloposStationPrintingDisabled station_id=1"
GONE = "CloposStationDisappeared station_id=1"
FLAPPING = "CloposStationFlapping station_id=1"
NOT_READY = "CloposStationNotReady station_id=1"
NO_STATION = "CloposVenueNoActiveStation venue_id=7"
NO_PRINTING = "CloposVenueNoPrintingStation venue_id=7"
STALE = "CloposVenueDataStale venue_id=7"
MISSING = "CloposVenueMissing venue_id=7"
MANY = "CloposManyVenuesInactive brand=tandir"
BRAND = "CloposBrandUnreachable brand=tandir"
LOGIN = "CloposLoginFailing brand=tandir"
QUOTA = "CloposQuotaNearlyExhausted brand=tandir"
BURN = "CloposPollErrorBudgetBurn brand=tandir"
HOURS = "CloposHoursMissing brand=tandir"
RELOAD = "CloposExporterReloadFailed instance=a"
STORE = "CloposExporterStoreDown instance=a"
DOWN = "CloposExporterDown instance=a"
ABSENT = "CloposExporterAbsent"

TOGGLED = "1 10:0 12:1 14:0 16:1 18:0 20:1"


def grill(active: str, **more: Any) -> World:
    return World().station("1", "Grill", active=active, **more)


def chain(*, size: int, off: int, at: str = "0:1 10:0", kind: str = "kitchen") -> World:
    """Give a brand of many venues, of which some lose their kitchen station."""
    world = World().gone("White City")
    for number in range(size):
        names = {"venue_id": str(100 + number), "venue": f"Venue {number}"}
        world.venue(names["venue_id"], names["venue"])
        world.station("1", "Grill", kind=kind, active=f"1 {at}" if number < off else 1, **names)
        world.station("2", "Bar", kind="other", **names)
    return world


def each(numbers: range) -> tuple[str, ...]:
    return tuple(f"CloposKitchenStationInactive venue_id={100 + number} station_id=1" for number in numbers)


def pair(first: World, second: World) -> World:
    return first.beside(second)


CASES = (
    Case("a healthy world is silent", World(), {5: (), 30: (), 59: ()}),
    # Kitchen station
    Case(
        "a kitchen station that is switched off pages, and resolves when it is on",
        grill("1 10:0 20:1"),
        {11: (), 12: (KITCHEN,), 19: (KITCHEN,), 20: ()},
    ),
    Case(
        "a kitchen station that is off for a minute does not page",
        grill("1 10:0 11:1"),
        {10: (), 11: (), 14: (), 30: ()},
    ),
    Case(
        "a kitchen station that is off in closed hours does not page", grill("1 10:0").venue(opened=0), {15: (), 40: ()}
    ),
    Case(
        "a station that is off at night pages once its venue has opened",
        grill("1 10:0").venue(opened="0 30:1"),
        {29: (), 31: (), 32: (KITCHEN,)},
    ),
    Case(
        "a station that is off at closing time resolves",
        grill("1 10:0").venue(opened="1 20:0"),
        {19: (KITCHEN,), 20: ()},
    ),
    Case("a venue without opening hours counts as open", grill("1 10:0").venue(opened=None), {12: (KITCHEN,)}),
    Case("an unclear status never pages", grill("1 10:nan"), {15: (), 40: ()}),
    Case(
        "an unclear status after an inactive one does not page on",
        grill("1 10:0 20:nan"),
        {19: (KITCHEN,), 21: (), 40: ()},
    ),
    Case("an ignored station never pages", grill("1 10:0", ignored=1), {15: (), 40: ()}),
    Case("a station that is no longer ignored pages", grill("0", ignored="1 20:-"), {19: (), 28: (KITCHEN,)}),
    Case(
        "a station that was off for weeks before anybody watched is retired",
        grill("0", updated=LONG_AGO),
        {5: (), 40: ()},
    ),
    Case(
        "a retired station counts again once it was on",
        grill("0 20:1 30:0", updated=LONG_AGO),
        {15: (), 25: (), 31: (), 32: (KITCHEN,)},
    ),
    Case(
        "a station that goes off pages even if Clopos does not renew updated_at",
        grill("1 10:0", updated=LONG_AGO),
        {12: (KITCHEN,), 40: (KITCHEN,)},
    ),
    Case(
        "a station that is off for seven days of opening hours is retired",
        grill("- 1:0").counted("1", RETIRED_AFTER - 12 * 60),
        {8: (KITCHEN,), 12: (KITCHEN,), 15: (), 40: ()},
    ),
    Case(
        "closed hours do not count for that",
        grill("- 1:0").counted("1", RETIRED_AFTER - 12 * 60).venue(opened="0 30:1"),
        {15: (), 32: (KITCHEN,), 40: (KITCHEN,), 45: ()},
    ),
    Case(
        "nor is the count lost while an exporter is away for hours",
        World(minutes=200, restarts=((5, 180),)).station("1", "Grill", active="- 1:0").counted("1", RETIRED_AFTER),
        {4: (), 182: (), 190: ()},
    ),
    Case(
        "a renamed station keeps its alert",
        grill("1 10:0 20:-").station("1", "Charcoal", active="- 20:0"),
        {19: (KITCHEN,), 20: (KITCHEN,), 21: (KITCHEN,), 22: (KITCHEN,)},
    ),
    Case(
        "a station renamed while it is on is silent",
        grill("1 20:-").station("1", "Charcoal", active="- 20:1"),
        {20: (), 21: (), 26: (), 50: ()},
    ),
    Case(
        "a station whose kind changes is silent",
        grill("1 20:-").station("1", "Grill", kind="other", active="- 20:1"),
        {20: (), 21: (), 26: (), 50: ()},
    ),
    Case("an exporter that restarts brings no page", World(restarts=((20, 23),)), {20: (), 22: (), 23: (), 30: ()}),
    Case(
        "an exporter that restarts neither resolves nor repeats a page",
        World(restarts=((20, 23),)).station("1", "Grill", active="1 10:0"),
        {19: (KITCHEN,), 20: (KITCHEN,), 22: (KITCHEN,), 23: (KITCHEN,), 24: (KITCHEN,)},
    ),
    Case(
        "Clopos that stops answering brings no station page",
        grill("1 15:-").station("2", "Bar", kind="other", active="1 15:-").venue(up="1 10:0"),
        {10: (), 12: (), 16: (STALE,), 40: (STALE,)},
    ),
    Case(
        "a page outlives a short outage of Clopos",
        grill("1 10:0 20:- 22:0").venue(up="1 15:0 22:1"),
        {15: (KITCHEN,), 19: (KITCHEN,), 21: (KITCHEN, STALE), 22: (KITCHEN,)},
    ),
    # A pair of exporters watches the same venue
    Case(
        "a pair of exporters pages once",
        pair(grill("1 10:0"), World(instance="b").station("1", "Grill", active="1 10:0")),
        {12: (KITCHEN,)},
    ),
    Case(
        "a pair of exporters of which one is a poll behind pages a minute later",
        pair(grill("1 10:0"), World(instance="b").station("1", "Grill", active="1 11:0")),
        {12: (), 13: (KITCHEN,)},
    ),
    Case(
        "an exporter that cannot ask any more does not hide what the other sees",
        pair(grill("1 10:0"), World(instance="b").venue(up="1 5:0")),
        {12: (KITCHEN,)},
    ),
    Case(
        "an exporter that cannot ask any more does not page for what the other sees on",
        pair(World(), World(instance="b").station("1", "Grill", active=0).venue(up=0)),
        {12: (), 40: ()},
    ),
    Case(
        "one of a pair restarts while a page goes on",
        pair(grill("1 10:0"), World(instance="b", restarts=((20, 25),)).station("1", "Grill", active="1 10:0")),
        {19: (KITCHEN,), 21: (KITCHEN,), 25: (KITCHEN,)},
    ),
    # Other stations
    Case(
        "a bar that is switched off warns after five minutes",
        World().station("2", "Bar", kind="other", active="1 10:0"),
        {14: (), 15: (OTHER,)},
    ),
    Case(
        "a bar that is off in closed hours is silent",
        World().venue(opened=0).station("2", "Bar", kind="other", active="1 10:0"),
        {40: ()},
    ),
    Case(
        "a station of unknown kind warns like a bar",
        World().station("2", "Bar", kind="other", active=None).station("2", "Bar", kind="unknown", active="1 10:0"),
        {15: (OTHER,)},
    ),
    # Venues
    Case(
        "a venue whose every station is off pages as a venue, too",
        grill("1 10:0").station("2", "Bar", kind="other", active="1 10:0"),
        {12: (KITCHEN, NO_STATION, NO_PRINTING), 15: (KITCHEN, OTHER, NO_STATION, NO_PRINTING)},
    ),
    Case(
        "a closed venue without an active station is silent",
        grill("1 10:0").station("2", "Bar", kind="other", active="1 10:0").venue(opened=0),
        {40: ()},
    ),
    Case(
        "a venue of which one station is unclear is not taken for one without",
        grill("1 10:nan").station("2", "Bar", kind="other", active="1 10:0"),
        {12: (), 15: (OTHER,)},
    ),
    Case(
        "a venue whose stations are all ignored is silent",
        grill("0", ignored=1).station("2", "Bar", kind="other", active=0, ignored=1),
        {40: ()},
    ),
    Case(
        "a venue whose only printing station is off prints nothing",
        grill("1 10:0").station("2", "Bar", kind="other", printable=0),
        {12: (KITCHEN, NO_PRINTING)},
    ),
    Case(
        "a venue that stops printing has that said for the venue and the station",
        grill("1", printable="1 10:0").station("2", "Bar", kind="other", printable=0),
        {12: (PRINTING, NO_PRINTING)},
    ),
    Case(
        "a venue that never printed is silent",
        grill("1", printable=0).station("2", "Bar", kind="other", printable=0),
        {40: ()},
    ),
    Case(
        "a venue where printing is unclear is silent",
        grill("1", printable="1 10:nan").station("2", "Bar", kind="other", printable=0),
        {12: (), 40: ()},
    ),
    Case(
        "a venue where an ignored printer is all that is left prints nothing",
        grill("1 10:0").station("2", "Bar", kind="other", printable=1, ignored=1),
        {12: (KITCHEN, NO_STATION, NO_PRINTING)},
    ),
    # Printing
    Case("printing that is switched off warns", grill("1", printable="1 10:0"), {11: (), 12: (PRINTING,)}),
    Case("printing that is switched on again resolves", grill("1", printable="1 10:0 20:1"), {19: (PRINTING,), 20: ()}),
    Case("a station that never printed does not warn", grill("1", printable=0), {12: (), 40: ()}),
    Case("printing that becomes unclear does not warn", grill("1", printable="1 10:nan"), {12: (), 40: ()}),
    Case(
        "printing that is switched off in closed hours does not warn",
        grill("1", printable="1 10:0").venue(opened=0),
        {12: (), 40: ()},
    ),
    # Stations that disappear
    Case("a station that is deleted while it is on warns", grill("1 20:-"), {24: (), 25: (GONE,)}),
    Case("a station that comes back does not warn", grill("1 20:- 23:1"), {24: (), 30: ()}),
    Case("a station that was off for good may be deleted", grill("0 20:-", updated=LONG_AGO), {25: (), 40: ()}),
    Case("an ignored station may be deleted", grill("1 20:-", ignored="1 20:-"), {25: (), 40: ()}),
    Case(
        "stations that cannot be read have not disappeared",
        grill("1 20:-").venue(up="1 15:0"),
        {21: (STALE,), 30: (STALE,)},
    ),
    Case("a station of unclear status has not disappeared", grill("1 20:nan"), {25: (), 40: ()}),
    # Flapping
    Case("a station that is switched three times within an hour warns", grill(TOGGLED), {19: (), 20: (FLAPPING,)}),
    Case("a station that is switched twice does not", grill("1 10:0 12:1 14:0 16:1"), {20: (), 40: ()}),
    Case("a station that is switched in closed hours does not", grill(TOGGLED).venue(opened=0), {20: (), 40: ()}),
    # Ready for opening
    Case(
        "a station that is off half an hour before opening warns until the doors open",
        grill("0").venue(opened="0 50:1", next_open=f"{50 * 60} 50:86400"),
        {20: (), 22: (NOT_READY,), 49: (NOT_READY,), 51: (), 52: (KITCHEN,)},
    ),
    Case(
        "a station that is on before opening is ready",
        World().venue(opened="0 50:1", next_open=50 * 60),
        {22: (), 49: ()},
    ),
    Case(
        "a station that is off long before opening may be",
        grill("0").venue(opened=0, next_open=3 * 3600),
        {22: (), 59: ()},
    ),
    Case(
        "a retired station need not be ready",
        grill("0", updated=LONG_AGO).venue(opened=0, next_open=50 * 60),
        {22: (), 45: ()},
    ),
    # Many at once
    Case(
        "many venues at once are one page before their own",
        chain(size=20, off=8),
        {10: (), 11: (MANY,), 12: (MANY, *each(range(8))), 40: (MANY, *each(range(8)))},
    ),
    Case(
        "a handful of a hundred venues are their own pages",
        chain(size=60, off=5),
        {12: each(range(5)), 40: each(range(5))},
    ),
    Case("four venues are their own pages", chain(size=20, off=4), {12: each(range(4))}),
    Case(
        "bars of many venues page no brand",
        chain(size=20, off=8, kind="other"),
        {12: (), 15: tuple(f"CloposStationInactive venue_id={100 + number} station_id=1" for number in range(8))},
    ),
    # The data itself
    Case(
        "a venue that cannot be read is stale after five of its intervals",
        World().venue(up="1 10:0"),
        {14: (), 15: (STALE,)},
    ),
    Case(
        "a venue that is read seldom may be read seldom",
        World().venue(interval=600, last_success="0 10:600 20:1200 30:1800 40:2400 50:3000"),
        {9: (), 29: (), 59: ()},
    ),
    Case(
        "an exporter that hangs without a word is stale, too", World().venue(last_success="600"), {13: (), 16: (STALE,)}
    ),
    Case(
        "a venue that could never be read is stale",
        World().venue(up=0, last_success="-").gone("station_id"),
        {2: (), 4: (STALE,)},
    ),
    Case(
        "a venue that is no longer listed is missing",
        World()
        .venue(up="1 10:-", opened="1 10:-", next_open=None, interval="30 10:-", last_success="1 10:-")
        .station("1", "Grill", active="1 10:-")
        .station("2", "Bar", kind="other", active="1 10:-"),
        {19: (), 20: (MISSING,), 40: (MISSING,)},
    ),
    Case(
        "a venue of a brand that cannot be reached is not missing",
        World().brand(up="1 10:0").venue(up="1 10:-", interval="30 10:-", last_success="1 10:-"),
        {40: (BRAND,)},
    ),
    Case("a brand that cannot be reached pages after five minutes", World().brand(up="1 10:0"), {14: (), 15: (BRAND,)}),
    Case(
        "a brand that one of a pair can reach does not page", pair(World().brand(up=0), World(instance="b")), {40: ()}
    ),
    Case(
        "refused credentials page for a person",
        World().brand(up="1 10:0", failing="credentials"),
        {11: (), 12: (LOGIN,), 15: (LOGIN, BRAND)},
    ),
    Case(
        "a gateway in trouble is nobody's credentials",
        World().brand(up="1 10:0", failing="gateway"),
        {12: (), 15: (BRAND,)},
    ),
    Case("a quota below a tenth for five minutes warns", World().brand(quota="200 10:20"), {14: (), 15: (QUOTA,)}),
    Case("a quota of which a fifth is left is as planned", World().brand(quota=60), {40: ()}),
    Case("one poll in five that fails burns the budget", World().venue(failures=0.2), {2: (), 8: (BURN,), 40: (BURN,)}),
    Case("one poll in two hundred that fails is within the budget", World().venue(failures=0.005), {8: (), 59: ()}),
    # The exporter itself
    Case("a refused configuration warns", World().exporter(reload="1 10:0"), {10: (), 11: (RELOAD,)}),
    Case("a state that cannot be written warns", World().exporter(store="1 10:0"), {14: (), 15: (STORE,)}),
    Case("no state path is no fault", World().gone("store_up"), {40: ()}),
    Case(
        "an exporter that does not answer pages, and its stations do not",
        World(restarts=((10, 60),)).exporter(up="1 10:0"),
        {12: (), 13: (DOWN,), 19: (DOWN,), 20: (DOWN, ABSENT)},
    ),
    Case("an exporter that was taken away is absent", World(restarts=((10, 60),)).gone("up{"), {19: (), 20: (ABSENT,)}),
    Case(
        "another job that is down is none of ours",
        World().beside(World(instance="node").exporter(up=0).gone("clopos_")),
        {40: ()},
    ),
    Case(
        "venues without hours are said once, after an hour",
        World(minutes=70).venue(opened=None),
        {59: (), 61: (HOURS,)},
    ),
    Case("venues with hours are not", World(minutes=70), {61: ()}),
)
