"""What the notifier and the heartbeat ask of the rest of the process."""

from __future__ import annotations

import pytest
from fakes import NOON, snapshot, station, venue

from exporter.app.notifications import StationNames, goes_on, problems
from exporter.changes import advance
from exporter.model import BrandState, Incident, IncidentKind, Outage, Reason, Venue, VenueState
from exporter.store import MemoryStore
from exporter.views import BrandView, ChannelState, VenueView

BRAND = "tandir-group"


def incident(kind: IncidentKind, where: Venue | None = None, brand: str = BRAND) -> Incident:
    return Incident(kind, kind.severity, brand, NOON, where, fired_at=NOON)


INACTIVE = incident(IncidentKind.KITCHEN_STATION_INACTIVE, venue())


def test_what_fires_goes_on_and_what_does_not_fire_any_more_does_not() -> None:
    assert goes_on(INACTIVE, [INACTIVE])
    assert not goes_on(INACTIVE, [])


@pytest.mark.parametrize(
    "outage",
    [
        incident(IncidentKind.BRAND_UNREACHABLE),
        incident(IncidentKind.LOGIN_FAILING),
        incident(IncidentKind.VENUE_DATA_STALE, venue()),
    ],
)
def test_what_cannot_be_seen_is_not_known_to_go_on_and_that_itself_is(outage: Incident) -> None:
    assert not goes_on(INACTIVE, [INACTIVE, outage])
    assert goes_on(outage, [INACTIVE, outage])


@pytest.mark.parametrize(
    "elsewhere",
    [incident(IncidentKind.VENUE_DATA_STALE, venue("8")), incident(IncidentKind.BRAND_UNREACHABLE, brand="other")],
)
def test_another_venue_or_brand_hides_nothing(elsewhere: Incident) -> None:
    assert goes_on(INACTIVE, [INACTIVE, elsewhere])


def test_nothing_is_wrong_where_all_works_or_was_not_tried_yet() -> None:
    brand = BrandView(BrandState(BRAND))
    assert (
        list(
            problems(
                None, [ChannelState("it", None, None, "", 0, None, {})], [brand], [VenueView(VenueState(venue()), 30.0)]
            )
        )
        == []
    )


def test_everything_that_is_wrong_is_named() -> None:
    brand = BrandView(BrandState(BRAND, outage=Outage(NOON, Reason.TIMEOUT, ""), seen=True))
    stale = VenueView(VenueState(venue()), 30.0, stale=True)
    channel = ChannelState("it", False, NOON, "HTTP 500", 1, NOON, {})  # noqa: FBT003 - a fact
    assert list(problems(False, [channel], [brand], [stale])) == [  # noqa: FBT003
        "the state cannot be written",
        "channel it is down",
        "brand tandir-group: login or venue list fails",
        "brand tandir-group: data is too old",
    ]


def test_names_are_those_of_now_and_ids_where_nothing_is_known() -> None:
    store = MemoryStore()
    state, _ = advance(VenueState(venue()), snapshot(station("1", "Tandir")))
    store.commit(state)
    names = StationNames(store)
    assert names(BRAND, "7", "1") == ("Gəncə", "Tandir")
    assert names(BRAND, "7", "2") == ("Gəncə", "2")
    assert names(BRAND, "8", "1") == ("8", "1")
