"""What every store does, asked of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event as Signal
from threading import Thread

import pytest

from exporter.clock import Clock
from exporter.journal import JournalQuery
from exporter.model import (
    BrandState,
    Change,
    Event,
    Incident,
    IncidentKind,
    Kind,
    Severity,
    Station,
    StationState,
    Topic,
    Venue,
    VenueState,
)
from exporter.outbox import DeliveryState, Route
from exporter.store import MemoryStore, Store, open_store
from exporter.store.postgresql import PostgreSQLStore

VENUE = Venue("tandir", "7", "Tandir Port")
GRILL = Station("1", "Grill", Kind.KITCHEN, active=False, printable=True, created_at=1.0, updated_at=2.0)
BAR = Station("2", "Bar", Kind.OTHER, active=True, printable=True, created_at=1.0, updated_at=3.0)
STATE = VenueState(
    VENUE, {"1": StationState(GRILL, status=False, printing=True, since=9.0, is_unedited=True)}, last_success=10.0
)

FIRING = Change(
    Event.INCIDENT_FIRING,
    "tandir",
    10.0,
    incident=Incident(IncidentKind.VENUE_NO_ACTIVE_STATION, Severity.CRITICAL, "tandir", 5.0, VENUE, fired_at=10.0),
)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, path: Path, clock: Clock) -> Iterator[Store]:
    url = request.getfixturevalue("database_url") if request.param == "postgresql" else None
    store = open_store(path if request.param == "sqlite" else None, clock, journal_retention=1e10, url=url)
    if isinstance(store, PostgreSQLStore):
        store.renew(["tandir", "plov"])
        store.acquire(["tandir", "plov"])
    yield store
    store.close()


def change(event: Event, at: float, station: Station | None = GRILL, venue: Venue | None = VENUE) -> Change:
    return Change(event, VENUE.brand, at, venue, station, {"previous_for_seconds": 1.5, "detected": "after_restart"})


def test_an_unknown_venue_is_empty(store: Store) -> None:
    assert store.venue(VENUE) == VenueState(VENUE)
    assert store.venues() == []


def test_an_unknown_brand_is_empty(store: Store) -> None:
    assert store.brand("tandir") == BrandState("tandir")
    assert store.brands() == []


def test_a_remembered_venue_is_given_back_as_the_same_object(store: Store) -> None:
    store.commit(STATE)
    assert store.venue(VENUE) is STATE
    assert store.venues() == [STATE]


def test_a_renamed_venue_is_still_the_same_venue(store: Store) -> None:
    store.commit(STATE)
    assert store.venue(replace(VENUE, name="Another name")) is STATE


def test_a_remembered_brand_is_given_back(store: Store) -> None:
    state = BrandState("tandir", (VENUE,), seen=True)
    store.commit(state)
    assert store.brand("tandir") is state
    assert store.brands() == [state]


def test_equal_ids_of_different_brands_do_not_meet(store: Store) -> None:
    other = VenueState(Venue("plov", "7", "Plov Port"))
    store.commit(STATE)
    store.commit(other)
    assert store.venue(VENUE) is STATE
    assert store.venue(other.venue) is other


def test_a_forgotten_venue_is_empty_again_and_its_journal_stays(store: Store) -> None:
    store.commit(STATE, changes=[change(Event.STATION_DEACTIVATED, 10.0)])
    store.commit(removed=[VENUE.key])
    store.commit(removed=[VENUE.key])
    assert store.venues() == []
    assert len(store.journal(JournalQuery())) == 1


def test_a_forgotten_brand_takes_its_venues_along_and_no_others(store: Store) -> None:
    other = VenueState(Venue("plov", "7", "Plov Port"))
    for state in (STATE, other, BrandState("tandir"), BrandState("plov")):
        store.commit(state)
    store.forget_brand("tandir")
    assert store.venues() == [other]
    assert store.brands() == [BrandState("plov")]


def test_a_forgotten_brand_leaves_no_deliveries(store: Store) -> None:
    store.routes = [Route("shift")]
    store.commit(BrandState("tandir"), changes=[FIRING])
    assert len(store.deliveries("shift")) == 1
    store.forget_brand("tandir")
    assert not store.deliveries("shift")


def test_the_journal_is_reported_newest_first_in_flat_words(store: Store) -> None:
    store.commit(STATE, changes=[change(Event.STATION_ADDED, 5.0, BAR), change(Event.STATION_DEACTIVATED, 10.0)])
    newest, oldest = store.journal(JournalQuery())
    assert (newest.event, oldest.event) == (Event.STATION_DEACTIVATED, Event.STATION_ADDED)
    assert newest.id > oldest.id
    assert (newest.observed_at, newest.updated_at) == (10.0, 2.0)
    assert (newest.brand, newest.venue_id, newest.venue) == ("tandir", "7", "Tandir Port")
    assert (newest.station_id, newest.station, newest.kind) == ("1", "Grill", Kind.KITCHEN)
    assert dict(newest.details) == {"previous_for_seconds": 1.5, "detected": "after_restart"}


def test_an_event_of_a_brand_names_no_venue_and_no_station(store: Store) -> None:
    store.commit(BrandState("tandir"), changes=[change(Event.BRAND_LOGIN_FAILED, 5.0, None, None)])
    (entry,) = store.journal(JournalQuery())
    assert (entry.venue_id, entry.venue, entry.station_id, entry.station, entry.kind) == (None,) * 5


@pytest.mark.parametrize(
    ("query", "times"),
    [
        (JournalQuery(brand="tandir"), [3, 2, 1]),
        (JournalQuery(brand="plov"), []),
        (JournalQuery(venue_id="7"), [3, 2, 1]),
        (JournalQuery(venue_id="8"), []),
        (JournalQuery(station_id="2"), [1]),
        (JournalQuery(kind=Kind.KITCHEN), [3, 2]),
        (JournalQuery(events=frozenset({Event.STATION_ADDED, Event.STATION_DEACTIVATED})), [2, 1]),
        (JournalQuery(since=2.0), [3, 2]),
        (JournalQuery(until=2.0), [1]),
        (JournalQuery(since=2.0, until=3.0), [2]),
        (JournalQuery(limit=2), [3, 2]),
        (JournalQuery(limit=0), []),
    ],
)
def test_the_journal_can_be_asked_for_a_part(store: Store, query: JournalQuery, times: list[float]) -> None:
    store.commit(
        STATE,
        changes=[
            change(Event.STATION_ADDED, 1.0, BAR),
            change(Event.STATION_DEACTIVATED, 2.0),
            change(Event.STATION_ACTIVATED, 3.0),
        ],
    )
    assert [entry.observed_at for entry in store.journal(query)] == times


def test_the_journal_can_be_read_page_by_page(store: Store) -> None:
    store.commit(STATE, changes=[change(Event.STATION_TOUCHED, float(at)) for at in range(5)])
    first = store.journal(JournalQuery(limit=3))
    second = store.journal(JournalQuery(limit=3, before=first[-1].id))
    assert [entry.observed_at for entry in first + second] == [4, 3, 2, 1, 0]


def test_polls_in_many_threads_lose_nothing(store: Store) -> None:
    def polls(number: int) -> None:
        venue = Venue("tandir", str(number), f"Venue {number}")
        for at in range(20):
            store.commit(VenueState(venue), changes=[change(Event.STATION_TOUCHED, float(at), venue=venue)])

    threads = [Thread(target=polls, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = store.journal(JournalQuery(limit=1000))
    assert len(store.venues()) == 8
    assert len({entry.id for entry in entries}) == 160
    for number in range(8):
        mine = [entry.observed_at for entry in entries if entry.venue_id == str(number)]
        assert mine == sorted(map(float, range(20)), reverse=True)


def test_memory_keeps_the_newest_part_of_the_journal() -> None:
    store = MemoryStore(journal_rows=2)
    store.commit(STATE, changes=[change(Event.STATION_TOUCHED, float(at)) for at in range(5)])
    assert store.up is None
    assert [entry.observed_at for entry in store.journal(JournalQuery())] == [4, 3]


class TestConsumers:
    """The journal as a queue, and what is on its way to channels."""

    def test_entries_follow_a_cursor_oldest_first(self, store: Store) -> None:
        store.commit(STATE, changes=[change(Event.STATION_TOUCHED, float(at)) for at in range(5)])
        first = store.entries_after(0, 3)
        rest = store.entries_after(first[-1].id, 3)
        assert [entry.observed_at for entry in (*first, *rest)] == [0, 1, 2, 3, 4]
        assert not store.entries_after(rest[-1].id, 3)

    def test_a_cursor_is_kept(self, store: Store) -> None:
        assert store.cursor() == 0
        store.advance(3)
        assert store.cursor() == 3

    def test_consumers_are_woken_by_changes_only(self, store: Store) -> None:
        grown = Signal()
        store.subscribe(grown.set)
        store.commit(STATE)
        assert not grown.is_set()
        store.commit(changes=[change(Event.STATION_TOUCHED, 1.0)])
        assert grown.is_set()

    def test_who_is_interested_in_incidents_is_woken_by_nothing_else(self, store: Store) -> None:
        grown = Signal()
        store.subscribe(grown.set, incidents_only=True)
        store.commit(STATE, changes=[change(Event.STATION_TOUCHED, 1.0)])
        assert not grown.is_set()
        store.commit(changes=[FIRING])
        assert grown.is_set()

    def test_an_incident_is_on_its_way_to_the_channels_that_want_it(self, store: Store) -> None:
        store.routes = [Route("shift"), Route("it", frozenset({Topic.SERVICE}))]
        store.commit(STATE, changes=[FIRING, change(Event.STATION_TOUCHED, 1.0)])
        [delivery] = store.deliveries("shift")
        assert (delivery.channel, delivery.change, delivery.state) == ("shift", FIRING, DeliveryState.WAITING)
        assert not store.deliveries("it")

    def test_a_delivery_keeps_its_state_until_it_is_done(self, store: Store) -> None:
        store.routes = [Route("shift")]
        store.commit(changes=[FIRING, FIRING])
        first, second = store.deliveries("shift")
        accepted = replace(first, state=DeliveryState.ACCEPTED, accepted_at=5.0)
        store.update_deliveries([accepted, replace(second, state=DeliveryState.DONE)])
        assert store.deliveries("shift") == [accepted]

    def test_a_delivery_that_is_done_does_not_come_back(self, store: Store) -> None:
        store.routes = [Route("shift")]
        store.commit(changes=[FIRING])
        [sending] = store.deliveries("shift")
        store.retain_channels([])
        store.update_deliveries([replace(sending, state=DeliveryState.ACCEPTED, accepted_at=5.0)])
        assert not store.deliveries("shift")

    def test_deliveries_of_channels_that_are_gone_are_deleted(self, store: Store) -> None:
        store.routes = [Route("shift"), Route("owner")]
        store.commit(changes=[FIRING])
        store.retain_channels(["owner"])
        assert not store.deliveries("shift")
        assert len(store.deliveries("owner")) == 1

    def test_a_removed_venue_goes_together_with_the_change_of_its_brand(self, store: Store) -> None:
        store.commit(STATE, BrandState("tandir", (VENUE,)))
        store.commit(BrandState("tandir", ()), changes=[change(Event.VENUE_REMOVED, 1.0)], removed=[VENUE.key])
        assert not store.venues()
        assert store.brand("tandir").venues == ()


def test_incidents_of_a_brand_and_a_venue_outlive_the_process(path: Path, clock: Clock) -> None:
    of_brand = Incident(IncidentKind.LOGIN_FAILING, Severity.CRITICAL, "tandir", 5.0)
    of_venue = replace(of_brand, kind=IncidentKind.VENUE_DATA_STALE, venue=VENUE, details={"reason": "timeout"})
    store = open_store(path, clock, journal_retention=1e10)
    store.commit(BrandState("tandir", (VENUE,), incidents={"login": of_brand}))
    store.commit(replace(STATE, incidents={"stale": of_venue}))
    store.close()
    again = open_store(path, clock, journal_retention=1e10)
    assert again.brand("tandir").incidents == {"login": of_brand}
    assert again.venue(VENUE).incidents == {"stale": of_venue}
    again.close()
