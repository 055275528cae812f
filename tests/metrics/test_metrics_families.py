from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes import NOON, station, venue
from metrics_fakes import view

from exporter.metrics.families import BRAND_FAMILIES, FAMILIES, VENUE_FAMILIES, Family
from exporter.metrics.render import header, lines, table
from exporter.model import BrandState, Kind, Opening, Outage, Reason, Station, StationRecord, Venue, VenueState
from exporter.views import BrandView, VenueView

TANDIR = station("3", "Tandir", Kind.KITCHEN)
OUTAGE = Outage(NOON, Reason.TIMEOUT, "late")
OF_STATION = '{brand="tandir-group",kind="kitchen",station="Tandir",station_id="3",venue="Gəncə",venue_id="7"}'
OF_VENUE = '{brand="tandir-group",venue="Gəncə",venue_id="7"}'


def rendered(name: str, seen: VenueView | BrandView) -> str:
    """Return the sample lines of one family, its name left out."""
    (text,) = lines([family for family in FAMILIES if family.name == name], seen)
    return text.decode().replace(f"{name}{{", "{").removesuffix("\n")


def of_kind(kind: str) -> str:
    return f'{{brand="tandir-group",kind="{kind}",venue="Gəncə",venue_id="7"}}'


@pytest.mark.parametrize(("value", "number"), [(True, "1.0"), (False, "0.0"), (None, "NaN")])
@pytest.mark.parametrize("flag", ["active", "printable"])
def test_a_flag_is_one_or_zero_and_nan_where_clopos_is_unclear(flag: str, value: Any, number: str) -> None:
    seen = view(replace(TANDIR, **{flag: value}))
    assert rendered(f"clopos_station_{flag}", seen) == f"{OF_STATION} {number}"


def at(which: str, moment: float | None) -> Station:
    return replace(TANDIR, created_at=moment) if which == "created" else replace(TANDIR, updated_at=moment)


@pytest.mark.parametrize("which", ["created", "updated"])
def test_the_times_of_a_station_are_as_clopos_says_and_absent_where_it_does_not(which: str) -> None:
    name = f"clopos_station_{which}_timestamp_seconds"
    assert rendered(name, view(at(which, 1768315011.25))) == f"{OF_STATION} 1.76831501125e+09"
    assert rendered(name, view(at(which, None))) == ""


def test_the_last_transition_is_absent_until_one_was_seen() -> None:
    name = "clopos_station_last_transition_timestamp_seconds"
    seen = view(TANDIR)
    assert rendered(name, seen) == ""
    stations = {id_: replace(station_state, last_transition=60.0) for id_, station_state in seen.stations.items()}
    assert rendered(name, view(stations=stations)) == f"{OF_STATION} 60.0"


def test_since_when_a_station_is_inactive_is_its_edit_time_or_when_it_was_first_seen_so() -> None:
    name = "clopos_station_inactive_since_timestamp_seconds"
    assert rendered(name, view(TANDIR)) == ""
    assert rendered(name, view(replace(TANDIR, active=None))) == ""
    off = replace(TANDIR, active=False)
    assert rendered(name, view(replace(off, updated_at=60.0))) == f"{OF_STATION} 60.0"
    assert rendered(name, view(replace(off, updated_at=None))) == f"{OF_STATION} 1.8e+09"


def test_the_time_that_a_station_was_inactive_is_absent_until_it_was() -> None:
    name = "clopos_station_inactive_open_seconds_total"
    seen = view(TANDIR)
    assert rendered(name, seen) == ""
    records = {"3": StationRecord(inactive_seconds=90.0), "4": StationRecord(inactive_seconds=1.0)}
    counted = replace(seen, state=replace(seen.state, records=records))
    assert rendered(name, counted) == f"{OF_STATION} 90.0", "and nothing of a station that is gone"


def test_an_ignored_station_says_so_and_the_others_say_nothing() -> None:
    seen = replace(view(TANDIR, station("4", "Bar")), ignored=frozenset("3"))
    assert rendered("clopos_station_ignored", seen) == f"{OF_STATION} 1.0"


@pytest.mark.parametrize(
    ("name", "kitchen", "other"),
    [("clopos_stations", 2, 1), ("clopos_stations_active", 1, 1), ("clopos_stations_printable", 2, 0)],
)
def test_stations_are_counted_by_kind(name: str, kitchen: int, other: int) -> None:
    bar = station("4", "Bar", Kind.OTHER, printable=False)
    seen = view(TANDIR, replace(TANDIR, id="5", active=False), bar)
    assert rendered(name, seen) == f"{of_kind('kitchen')} {kitchen}.0\n{of_kind('other')} {other}.0"


def test_kitchen_and_other_are_counted_where_there_are_none_and_unknown_only_where_there_is_one() -> None:
    assert rendered("clopos_stations", view()) == f"{of_kind('kitchen')} 0.0\n{of_kind('other')} 0.0"
    odd = view(station(kind=Kind.UNKNOWN))
    assert rendered("clopos_stations", odd).endswith(f"{of_kind('unknown')} 1.0")


def test_a_flag_that_is_unclear_counts_as_neither() -> None:
    seen = view(station(active=None, printable=None))
    for name in ("clopos_stations_active", "clopos_stations_printable"):
        assert rendered(name, seen) == f"{of_kind('kitchen')} 0.0\n{of_kind('other')} 0.0"


@pytest.mark.parametrize("name", [family.name for family in VENUE_FAMILIES if "station" in family.name])
def test_stations_and_counts_are_absent_before_the_first_complete_poll_and_when_stale(name: str) -> None:
    if name != "clopos_station_transitions_total":
        assert rendered(name, view(stations=None)) == ""
        assert rendered(name, view(TANDIR, stale=True)) == ""


def test_transitions_stay_when_the_stations_are_stale_and_begin_at_zero() -> None:
    seen = view(stale=True, transitions={(Kind.KITCHEN, False): 2, (Kind.UNKNOWN, True): 1})

    def to(kind: str, status: str) -> str:
        return f'{{brand="tandir-group",kind="{kind}",to="{status}",venue="Gəncə",venue_id="7"}}'

    assert rendered("clopos_station_transitions_total", seen).split("\n") == [
        f"{to('kitchen', 'active')} 0.0",
        f"{to('kitchen', 'inactive')} 2.0",
        f"{to('other', 'active')} 0.0",
        f"{to('other', 'inactive')} 0.0",
        f"{to('unknown', 'active')} 1.0",
    ]


@pytest.mark.parametrize(("outage", "number"), [(None, "1.0"), (OUTAGE, "0.0")])
def test_a_venue_is_up_when_its_last_poll_was_complete(outage: Outage | None, number: str) -> None:
    assert rendered("clopos_venue_up", view(TANDIR, outage=outage)) == f"{OF_VENUE} {number}"


@pytest.mark.parametrize("name", ["up", "last_success_timestamp_seconds", "poll_duration_seconds"])
def test_a_venue_that_was_not_polled_yet_says_nothing_of_a_poll(name: str) -> None:
    assert rendered(f"clopos_venue_{name}", VenueView(VenueState(venue()), 30.0)) == ""


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("last_success_timestamp_seconds", "1.8e+09"),
        ("poll_interval_seconds", "30.0"),
        ("poll_duration_seconds", "0.25"),
        ("polls_total", "12.0"),
        ("poll_failures_total", "3.0"),
    ],
)
def test_a_venue_shows_its_polls(name: str, number: str) -> None:
    assert rendered(f"clopos_venue_{name}", view(polls=12, failures=3)) == f"{OF_VENUE} {number}"


def test_opening_hours_are_absent_where_none_are_set_and_next_times_where_there_are_none() -> None:
    names = [
        "clopos_venue_open",
        "clopos_venue_next_open_timestamp_seconds",
        "clopos_venue_next_close_timestamp_seconds",
    ]
    assert [rendered(name, view()) for name in names] == ["", "", ""]
    always = replace(view(), opening=Opening(is_open=True, next_open=None, next_close=None))
    assert [rendered(name, always) for name in names] == [f"{OF_VENUE} 1.0", "", ""]
    closed = replace(view(), opening=Opening(is_open=False, next_open=60.0, next_close=90.0))
    assert [rendered(name, closed)[len(OF_VENUE) :] for name in names] == [" 0.0", " 60.0", " 90.0"]


@pytest.mark.parametrize(
    ("state", "number"),
    [
        (BrandState("b"), None),
        (BrandState("b", seen=True), "1.0"),
        (BrandState("b", seen=True, outage=OUTAGE), "0.0"),
        (BrandState("b", seen=True, login_outage=OUTAGE), "0.0"),
    ],
    ids=["unseen", "up", "no discovery", "no login"],
)
def test_a_brand_is_up_when_login_and_discovery_work(state: BrandState, number: str | None) -> None:
    assert rendered("clopos_brand_up", BrandView(state)) == ("" if number is None else f'{{brand="b"}} {number}')


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("api_quota_limit", "300.0"),
        ("api_quota_remaining", "0.0"),
        ("token_expiry_timestamp_seconds", "1.8e+09"),
        ("poll_lag_seconds", "0.5"),
        ("polls_skipped_total", "2.0"),
        ("api_sunset_timestamp_seconds", "1.9e+09"),
    ],
)
def test_a_brand_shows_its_quota_token_and_polls(name: str, number: str) -> None:
    known = BrandView(BrandState("b"), 300, 0, NOON, 0.5, 2, sunset_at=1.9e9)
    assert rendered(f"clopos_exporter_{name}", known) == f'{{brand="b"}} {number}'


def test_what_is_not_known_of_a_brand_is_absent() -> None:
    unknown = BrandView(BrandState("b"))
    assert [family.name for family in BRAND_FAMILIES if rendered(family.name, unknown)] == [
        "clopos_exporter_polls_skipped_total",
        "clopos_exporter_brand_owned",
    ]


def test_of_a_brand_that_another_process_polls_there_is_only_that_it_does() -> None:
    other = BrandView(BrandState("b"), owned=False)
    assert [family.name for family in BRAND_FAMILIES if rendered(family.name, other)] == ["clopos_exporter_brand_owned"]


def test_label_values_are_escaped_as_the_format_asks() -> None:
    odd = view(of=Venue('a"b', "7", "C:\\new\nline"), polls=1)
    assert rendered("clopos_venue_polls_total", odd) == r'{brand="a\"b",venue="C:\\new\nline",venue_id="7"} 1.0'


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_help_is_one_line_and_only_a_counters_name_differs_between_the_formats(family: Family[Any]) -> None:
    text, openmetrics = header(family, openmetrics=False).decode(), header(family, openmetrics=True).decode()
    assert text == f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.type}\n"
    assert openmetrics == text.replace(family.name, family.name.removesuffix("_total"))
    assert not set('\\\n"') & set(family.help)


@pytest.mark.parametrize("family", VENUE_FAMILIES, ids=lambda family: family.name)
def test_help_of_a_cached_value_names_the_metric_with_its_time(family: Family[Any]) -> None:
    lives_now = {"clopos_station_ignored", "clopos_venue_poll_interval_seconds"}
    of_configuration = family.name.startswith(("clopos_venue_open", "clopos_venue_next"))
    is_age = family.name in ("clopos_venue_last_success_timestamp_seconds", "clopos_venue_up")
    if family.type == "gauge" and family.name not in lives_now and not of_configuration and not is_age:
        assert "clopos_venue_last_success_timestamp_seconds" in family.help


def test_all_families_of_a_view_stand_in_their_order() -> None:
    chunks = lines(VENUE_FAMILIES, view(TANDIR))
    assert [chunk.split(b"{")[0].decode() for chunk in chunks if chunk] == [
        family.name for family in VENUE_FAMILIES if rendered(family.name, view(TANDIR))
    ]


def test_no_metric_is_declared_twice() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)


def test_a_table_has_the_lines_of_all_views_under_each_header() -> None:
    names = {"clopos_brand_up", "clopos_exporter_poll_lag_seconds"}
    families = [family for family in BRAND_FAMILIES if family.name in names]
    brands = [BrandView(BrandState(name, seen=True), poll_lag=0.5) for name in ("a", "b")]
    up, lag = (header(family, openmetrics=False) for family in families)
    assert table(families, brands, openmetrics=False) == (
        up
        + b'clopos_brand_up{brand="a"} 1.0\nclopos_brand_up{brand="b"} 1.0\n'
        + lag
        + b'clopos_exporter_poll_lag_seconds{brand="a"} 0.5\nclopos_exporter_poll_lag_seconds{brand="b"} 0.5\n'
    )
    assert table(families, (), openmetrics=False) == up + lag
