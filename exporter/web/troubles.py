"""What is wrong now, and how bad it is: pure, from views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from exporter.model import Kind, Outage, Reason, StationState, Venue
from exporter.views import BrandView, VenueView

RETIRED_SECONDS = 7 * 86_400.0
"""A station disabled for longer was retired rather than switched off: the alerts are silent about it as well."""


class Level(IntEnum):
    """How much something matters to somebody in the restaurant, from least to most."""

    FINE = 0
    QUIET = 1
    NOTICE = 2
    BLIND = 3
    URGENT = 4


class Trouble(NamedTuple):
    """A station that gets no new orders, or whose status nobody can tell.

    `expected` says why it needs no attention, if so.
    """

    level: Level
    venue: Venue
    station_state: StationState
    expected: str | None = None


class Blindness(NamedTuple):
    """Something that keeps us from seeing: the login of a brand, its list of venues, or some of its venues.

    `venues` are those without data, of `total`; empty where it is about the brand itself.
    """

    brand: str
    outage: Outage
    venues: Sequence[Venue] = ()
    total: int = 0
    login: bool = False


def station_troubles(view: VenueView, now: float) -> list[Trouble]:
    """Give the troubles of a venue's stations, worst and newest first. `now` is epoch seconds."""
    found = [
        _judge(view, station_state, now)
        for station_state in view.stations.values()
        if station_state.station.active is not True
    ]
    return sorted(
        found, key=lambda trouble: (-trouble.level, -trouble.station_state.since, trouble.station_state.station.name)
    )


def blindnesses(brands: Iterable[BrandView], venues: Iterable[VenueView]) -> Iterator[Blindness]:
    """Yield what keeps us from seeing: for each brand its login, or its list of venues and each reason to lose some."""
    by_brand: dict[str, list[VenueView]] = {}
    for view in venues:
        by_brand.setdefault(view.state.venue.brand, []).append(view)
    for brand in brands:
        state = brand.state
        mine = by_brand.get(state.brand, [])
        if state.login_outage is not None:
            # The venues' outages follow from this one.
            yield Blindness(state.brand, state.login_outage, total=len(mine), login=True)
            continue
        if state.outage is not None:
            yield Blindness(state.brand, state.outage, total=len(mine))
        lost: dict[Reason, list[VenueView]] = {}
        for view in mine:
            if view.state.outage is not None:
                lost.setdefault(view.state.outage.reason, []).append(view)
        for views in lost.values():
            first = min((view.state.outage for view in views if view.state.outage), key=lambda outage: outage.since)
            yield Blindness(state.brand, first, [view.state.venue for view in views], len(mine))


def level(view: VenueView, troubles: Sequence[Trouble]) -> Level:
    """Tell how bad it is with a venue."""
    worst = troubles[0].level if troubles else Level.FINE
    blind = view.stale or view.state.outage is not None
    return max(worst, Level.BLIND) if blind else worst


def _judge(view: VenueView, station_state: StationState, now: float) -> Trouble:
    station, expected = station_state.station, None
    if station.id in view.ignored:
        expected = "left out of the alerts by the configuration"
    elif view.opening is not None and not view.opening.is_open:
        expected = "the venue is closed now"
    elif station_state.status is False and now - station_state.since > RETIRED_SECONDS:
        expected = "disabled for more than a week"
    if expected is not None:
        found = Level.QUIET
    elif station.kind is Kind.KITCHEN and station.active is False:
        found = Level.URGENT
    else:
        found = Level.NOTICE
    return Trouble(found, view.state.venue, station_state, expected)
