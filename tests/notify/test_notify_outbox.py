"""Who has to know of an incident, and how its transition is kept."""

from __future__ import annotations

from time import process_time

from fakes import NOON, venue
from hypothesis import given
from hypothesis import strategies as st
from notify_fakes import firing, incident, resolved

from exporter.model import Change, Event, Incident, IncidentKind, Kind, Severity, Topic, Venue
from exporter.outbox import Delivery, Route, key, route
from exporter.store.rows import CHANGE, decode, encode

SERVICE = frozenset({Topic.SERVICE})
text = st.text(st.characters(codec=None))
instants = st.floats(allow_nan=False, allow_infinity=False)


def channels(*routes: Route, of: Incident) -> list[str]:
    return [name for name, _ in route([firing(of)], routes, [])]


def test_a_channel_gets_the_stations_of_every_brand_by_default() -> None:
    assert channels(Route("shift"), of=incident()) == ["shift"]
    assert channels(Route("shift"), of=incident(IncidentKind.LOGIN_FAILING)) == []


def test_a_channel_for_the_service_does_not_get_stations() -> None:
    assert channels(Route("it", SERVICE), of=incident()) == []
    assert channels(Route("it", SERVICE), of=incident(IncidentKind.LOGIN_FAILING)) == ["it"]


def test_a_channel_gets_only_its_brands_and_venues() -> None:
    assert channels(Route("a", brands=frozenset({"other"})), of=incident()) == []
    assert channels(Route("a", venues=frozenset({"8"})), of=incident()) == []
    assert channels(Route("a", brands=frozenset({"tandir-group"}), venues=frozenset({"7"})), of=incident()) == ["a"]


def test_what_concerns_a_whole_brand_reaches_the_channels_of_its_venues() -> None:
    whole = incident(IncidentKind.MANY_VENUES_INACTIVE, venue=None, station_id=None, station=None)
    assert channels(Route("a", venues=frozenset({"8"})), of=whole) == ["a"]


def test_what_concerns_the_process_reaches_the_channels_of_every_brand() -> None:
    whole = incident(IncidentKind.STATE_UNAVAILABLE, brand="", venue=None)
    assert channels(Route("it", SERVICE, brands=frozenset({"other"})), of=whole) == ["it"]


def test_a_channel_that_is_down_is_reported_on_the_others_that_are_for_the_service() -> None:
    down = incident(IncidentKind.CHANNEL_DOWN, brand="", venue=None, details={"channel": "a"})
    assert channels(Route("a", SERVICE), Route("b", SERVICE), Route("c"), of=down) == ["b"]


def test_a_channel_that_is_down_is_reported_on_any_other_where_none_is_for_the_service() -> None:
    down = incident(IncidentKind.CHANNEL_DOWN, brand="", venue=None, details={"channel": "a"})
    assert channels(Route("a"), Route("b"), Route("c"), of=down) == ["b", "c"]
    assert channels(Route("a", SERVICE), of=down) == []


def test_only_incident_transitions_are_routed() -> None:
    assert route([Change(Event.VENUE_ADDED, "tandir-group", NOON, venue())], [Route("a", frozenset(Topic))], []) == []


def test_an_end_reaches_those_who_know_of_the_beginning_whatever_the_routes_say_by_now() -> None:
    began, other = incident(), incident(seconds=1.0)
    known = [Delivery(1, "old", firing(began), NOON), Delivery(2, "new", firing(other), NOON)]
    ended = resolved(began, NOON)
    assert route([ended], [Route("new")], known) == [("old", ended)]
    assert route([firing(began), ended], [Route("new")], []) == [("new", firing(began)), ("new", ended)]


def test_thousands_of_incidents_that_end_in_one_commit_are_routed_within_a_second() -> None:
    began = [incident(station_id=str(number)) for number in range(5000)]
    known = [Delivery(number, "shift", firing(one), NOON) for number, one in enumerate(began)]
    ended = [resolved(one, NOON) for one in began]
    start = process_time()
    assert route(ended, [], known) == [("shift", change) for change in ended]
    assert process_time() - start < 1.0, "the lock of the store is held meanwhile"


def test_an_end_has_the_key_of_its_beginning_and_no_other_firing_has() -> None:
    began = incident()
    assert key(began) == key(incident())
    assert key(incident(seconds=1.0)) != key(began)
    assert key(incident(venue=venue("8"))) != key(began)


@given(
    st.builds(
        Incident,
        kind=st.sampled_from(IncidentKind),
        severity=st.sampled_from(Severity),
        brand=st.just("b"),
        began_at=instants,
        venue=st.builds(Venue, st.just("b"), text, text) | st.none(),
        station_id=text | st.none(),
        station=text | st.none(),
        station_kind=st.sampled_from(Kind) | st.none(),
        fired_at=instants | st.none(),
        members=st.lists(st.tuples(text, text), max_size=3).map(tuple),
        details=st.dictionaries(text, text | instants, max_size=2),
    )
)
def test_a_transition_survives_the_store(of: Incident) -> None:
    change = resolved(of, NOON)
    assert decode(CHANGE, encode(change)) == change
    assert encode(change).isascii()
