from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import pytest
from pages_fakes import NOW, Answer, FakeSource, brand_view, get, outage, station_state, venue_view

from exporter import priority
from exporter.model import Event, Incident, IncidentKind, Kind, Opening, Reason, Severity, Venue, VenueState
from exporter.views import BrandView, VenueView
from exporter.web import api

GRILL = station_state("1", "Grill", active=False, since=1500.0)
BAR = station_state("2", "Bar", kind=Kind.OTHER, printable=None, last_transition=NOW - 3600.0)
PORT = venue_view("7", GRILL, BAR, name="Port", ignored=frozenset({"1"}))
MALL = venue_view("8", station_state("1", "Odd", active=None), name="Mall", brand="plov", outage=outage(Reason.TLS))
GONE = venue_view("9", GRILL, name="Gone", brand="plov", stale=True, outage=outage())


@pytest.fixture
def source() -> FakeSource:
    source = FakeSource([MALL, PORT, GONE], [brand_view("tandir"), brand_view("plov")])
    source.record(Event.STATION_DEACTIVATED, 3000.0, PORT, GRILL, previous_for_seconds=60.0)
    source.record(Event.STATION_ACTIVATED, 2000.0, PORT, GRILL, previous_for_seconds=1000.0)
    source.record(Event.STATION_FOUND_INACTIVE, 1500.0, PORT, GRILL)
    source.record(Event.VENUE_LOST, 180.0, MALL, reason="tls", message="certificate expired", down_for_seconds=30.0)
    return source


@pytest.fixture
def ask(source: FakeSource) -> Callable[[str], Answer]:
    return lambda path: get(source, f"/api/v1/{path}")


Ask = Callable[[str], Answer]


@pytest.mark.parametrize("path", ["/", "/api/v1/stations", "/api/v1/venues", "/api/v1/incidents"])
def test_what_goes_through_all_venues_gives_way_to_a_scrape(
    source: FakeSource, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(priority, "LONGEST_SECONDS", 60.0)
    source.scrapes = priority.ScrapePriority()
    reader = Thread(target=get, args=(source, path), daemon=True)
    with source.scrapes:
        reader.start()
        reader.join(0.1)
        assert reader.is_alive()
    reader.join(20)
    assert not reader.is_alive()


class TestStations:
    def test_a_row(self, ask: Ask) -> None:
        row = ask("stations?venue=7&kind=kitchen").json["data"][0]
        assert row == {
            "brand": "tandir",
            "venue_id": "7",
            "venue": "Port",
            "station_id": "1",
            "station": "Grill",
            "kind": "kitchen",
            "status": "inactive",
            "printable": True,
            "since": "2023-11-14T21:48:20Z",
            "since_is_minimum": True,
            "last_transition": None,
            "created_at": "2023-08-02T18:13:20Z",
            "updated_at": "2023-11-14T21:48:20Z",
            "ignored": True,
        }

    def test_since_is_when_clopos_switched_a_station(self) -> None:
        row = replace(GRILL.station, updated_at=GRILL.since - 100)
        switched = replace(GRILL, station=row, last_transition=GRILL.since)
        shown = get(FakeSource([venue_view("7", switched)], [brand_view("tandir")]), "/api/v1/stations")
        assert [one["since"] for one in shown.json["data"]] == ["2023-11-14T21:46:40Z"]

    def test_since_is_a_minimum_unless_the_change_was_seen(self, ask: Ask) -> None:
        rows = ask("stations?venue=7").json["data"]
        assert [(row["station"], row["since_is_minimum"]) for row in rows] == [("Grill", True), ("Bar", False)]

    @pytest.mark.parametrize(
        ("query", "stations"),
        [
            ("", ["Odd", "Grill", "Bar"]),
            ("?brand=tandir", ["Grill", "Bar"]),
            ("?brand=nobody", []),
            ("?venue=7", ["Grill", "Bar"]),
            ("?venue=Mall", ["Odd"]),
            ("?status=active", ["Bar"]),
            ("?status=inactive", ["Grill"]),
            ("?status=unknown", ["Odd"]),
            ("?kind=other", ["Bar"]),
            (f"?since={NOW - 1500}", ["Grill"]),
            ("?since=2023-11-14T21:48:20Z", ["Grill"]),
            ("?since=2023-11-15T01:48:20%2B04:00", ["Grill"]),
            ("?limit=1", ["Odd"]),
            ("?after=plov", ["Odd", "Grill", "Bar"]),
            ("?after=plov/8", ["Odd", "Grill", "Bar"]),
            ("?after=plov/8/1", ["Grill", "Bar"]),
            ("?after=tandir/7/1", ["Bar"]),
            ("?brand=tandir&after=plov/8/1", ["Grill", "Bar"]),
            ("?after=z", []),
        ],
    )
    def test_filters(self, ask: Ask, query: str, stations: list[str]) -> None:
        assert [row["station"] for row in ask(f"stations{query}").json["data"]] == stations

    def test_pages_lead_to_all(self, ask: Ask) -> None:
        path: str | None = "stations?limit=1&since=0"
        seen = []
        while path:
            page = ask(path).json
            seen += [row["station"] for row in page["data"]]
            path = page["next"]
        assert seen == ["Odd", "Grill", "Bar"]

    def test_keys_with_odd_letters_lead_on(self, source: FakeSource) -> None:
        source.views = [venue_view("a/b%&", station_state("1/%2F"), station_state("ə ")), venue_view("é", GRILL)]
        path: str | None = "stations?limit=1"
        seen = []
        while path:
            page = get(source, f"/api/v1/{path}").json
            seen += [(row["venue_id"], row["station_id"]) for row in page["data"]]
            path = page["next"]
        assert seen == [("a/b%&", "1/%2F"), ("a/b%&", "ə "), ("é", "1")]

    def test_a_page_reads_the_venues_that_it_shows_wherever_it_begins(self, source: FakeSource) -> None:
        """A full listing is linear: no page goes through the venues before it or behind it."""
        source.views = [venue_view(f"{number:04}", station_state("1")) for number in range(1000)]
        read = []
        venues_from = source.venues_from

        def counted(key: tuple[str, ...], limit: int) -> Sequence[VenueView]:
            read.append(views := venues_from(key, limit))
            return views

        source.venues_from = counted  # type: ignore[method-assign]
        source.venues = lambda: pytest.fail("all venues were read")  # type: ignore[method-assign]
        for after in ("", "tandir/0500", "tandir/0990"):
            read.clear()
            assert get(source, f"/api/v1/stations?limit=20&after={after}").json["data"]
            assert sum(map(len, read)) <= 200

    def test_a_page_ends_when_enough_was_looked_at(self, source: FakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(api, "MAX_SCANNED", 10)
        source.views = [venue_view(f"{number:02}", station_state("1"), station_state("2")) for number in range(20)]
        source.views = [*source.views, venue_view("99", GRILL)]
        path: str | None = "stations?status=inactive"
        pages = []
        while path:
            page = get(source, f"/api/v1/{path}").json
            pages.append([row["station"] for row in page["data"]])
            path = page["next"]
        assert pages == [[], [], [], [], ["Grill"]]


class TestVenues:
    def test_a_row(self, source: FakeSource) -> None:
        source.views = [
            venue_view("7", GRILL, BAR, name="Port", opening=Opening(is_open=True, next_open=None, next_close=NOW))
        ]
        (row,) = get(source, "/api/v1/venues").json["data"]
        assert row == {
            "brand": "tandir",
            "venue_id": "7",
            "venue": "Port",
            "status": "fresh",
            "read": True,
            "stations": 2,
            "active": 1,
            "last_success": "2023-11-14T22:13:08Z",
            "age_seconds": 12.0,
            "poll_interval_seconds": 30.0,
            "stale_after_seconds": None,
            "outage": None,
            "open": True,
            "next_open": None,
            "next_close": "2023-11-14T22:13:20Z",
            "polled_by": None,
        }

    def test_a_venue_that_is_not_read_yet_is_a_row_without_figures(self, source: FakeSource) -> None:
        source.views = [VenueView(VenueState(Venue("tandir", "7", "Port")), 30.0)]
        (row,) = get(source, "/api/v1/venues").json["data"]
        assert (row["status"], row["read"], row["stations"], row["active"]) == ("waiting", False, None, None)

    def test_what_is_too_old_to_be_shown_is_not_counted(self, source: FakeSource) -> None:
        source.views = [venue_view("7", GRILL, stale=True, outage=outage())]
        (row,) = get(source, "/api/v1/venues").json["data"]
        assert (row["status"], row["read"], row["stations"]) == ("stale", False, None)

    @pytest.mark.parametrize(("configured", "in_force"), [(300.0, 300.0), (10.0, 60.0)])
    def test_stale_after_is_the_one_in_force(self, source: FakeSource, configured: float, in_force: float) -> None:
        view = venue_view("7", GRILL)
        source.views = [replace(view, rules=replace(view.rules, stale_after=configured))]
        (row,) = get(source, "/api/v1/venues").json["data"]
        assert (row["stale_after_seconds"], row["poll_interval_seconds"]) == (in_force, 30.0)

    def test_an_outage(self, ask: Ask) -> None:
        (row,) = ask("venues?status=failing").json["data"]
        assert row["outage"] == {
            "since": "2023-11-14T22:10:20Z",
            "reason": "tls",
            "message": "Upstream gave no answer",
        }

    @pytest.mark.parametrize(
        ("query", "venues"),
        [
            ("", ["Mall", "Gone", "Port"]),
            ("?brand=plov", ["Mall", "Gone"]),
            ("?venue=7", ["Port"]),
            ("?status=fresh", ["Port"]),
            ("?status=failing", ["Mall"]),
            ("?status=stale", ["Gone"]),
            ("?status=waiting", []),
            ("?limit=1&after=plov/8", ["Gone"]),
            ("?after=tandir/7", []),
        ],
    )
    def test_filters(self, ask: Ask, query: str, venues: list[str]) -> None:
        assert [row["venue"] for row in ask(f"venues{query}").json["data"]] == venues


class TestChanges:
    def test_a_row(self, ask: Ask) -> None:
        row = ask("changes?event=venue.lost").json["data"][0]
        assert row.pop("id") == 4
        assert row == {
            "event": "venue.lost",
            "observed_at": "2023-11-14T22:10:20Z",
            "brand": "plov",
            "venue_id": "8",
            "venue": "Mall",
            "station_id": None,
            "station": None,
            "kind": None,
            "updated_at": None,
            "details": {"reason": "tls", "message": "certificate expired", "down_for_seconds": 30.0},
        }

    @pytest.mark.parametrize(
        ("query", "ids"),
        [
            ("", [4, 3, 2, 1]),
            ("?brand=plov", [4]),
            ("?venue=7", [3, 2, 1]),
            ("?venue=Port", [3, 2, 1]),
            ("?venue=gone+long+ago", []),
            ("?station=1", [3, 2, 1]),
            ("?kind=kitchen", [3, 2, 1]),
            ("?kind=other", []),
            ("?status=inactive", [3, 1]),
            ("?status=active", [2]),
            ("?status=unknown", []),
            ("?status=active&event=venue.lost", []),
            ("?event=venue.lost&event=station.activated", [4, 2]),
            (f"?since={NOW - 2000}&until={NOW - 1500}", [2]),
            ("?before=3", [2, 1]),
            ("?limit=3", [4, 3, 2]),
        ],
    )
    def test_filters(self, ask: Ask, query: str, ids: list[int]) -> None:
        assert [row["id"] for row in ask(f"changes{query}").json["data"]] == ids

    def test_pages_lead_to_all(self, ask: Ask) -> None:
        path: str | None = "changes?limit=1&event=venue.lost&event=station.activated"
        seen = []
        while path:
            page = ask(path).json
            seen += [row["id"] for row in page["data"]]
            path = page["next"]
        assert seen == [4, 2]

    def test_a_name_that_several_venues_have(self, source: FakeSource) -> None:
        source.views = [venue_view("1", name="Port"), venue_view("2", name="Port")]
        answer = get(source, "/api/v1/changes?venue=Port")
        assert (answer.status, answer.json["faults"][0]["parameter"]) == (400, "venue")


class TestIncidents:
    @pytest.fixture
    def source(self, source: FakeSource) -> FakeSource:
        grill = Incident(
            IncidentKind.KITCHEN_STATION_INACTIVE,
            Severity.CRITICAL,
            "tandir",
            NOW - 600,
            PORT.state.venue,
            "1",
            "Grill",
            Kind.KITCHEN,
            fired_at=NOW - 480,
            details={"since": NOW - 630.0},
        )
        stale = Incident(IncidentKind.VENUE_DATA_STALE, Severity.WARNING, "plov", NOW - 60, MALL.state.venue)
        login = Incident(IncidentKind.LOGIN_FAILING, Severity.CRITICAL, "tandir", NOW - 300, fired_at=NOW - 100)
        source.views = [with_incidents(MALL, stale=stale), with_incidents(PORT, grill=grill), GONE]
        tandir, plov = source.brand_views
        source.brand_views = [with_incidents(tandir, login=login), plov]
        return source

    def test_a_row(self, ask: Ask) -> None:
        (row,) = ask("incidents?venue=Port").json["data"]
        assert row == {
            "kind": "kitchen_station_inactive",
            "severity": "critical",
            "topic": "stations",
            "status": "firing",
            "brand": "tandir",
            "venue_id": "7",
            "venue": "Port",
            "station_id": "1",
            "station": "Grill",
            "station_kind": "kitchen",
            "since": "2023-11-14T22:02:50Z",
            "since_is_minimum": False,
            "began_at": "2023-11-14T22:03:20Z",
            "fired_at": "2023-11-14T22:05:20Z",
            "members": [],
            "covered": False,
            "details": {"since": "2023-11-14T22:02:50.000000Z"},
        }

    @pytest.mark.parametrize(
        ("query", "kinds"),
        [
            ("", ["venue_data_stale", "login_failing", "kitchen_station_inactive"]),
            ("?brand=tandir", ["login_failing", "kitchen_station_inactive"]),
            ("?venue=7", ["kitchen_station_inactive"]),
            ("?status=pending", ["venue_data_stale"]),
            ("?status=firing", ["login_failing", "kitchen_station_inactive"]),
            (f"?since={NOW - 300}", ["venue_data_stale", "login_failing"]),
            ("?limit=1&after=plov/8/stale", ["login_failing"]),
        ],
    )
    def test_filters(self, ask: Ask, query: str, kinds: list[str]) -> None:
        assert [row["kind"] for row in ask(f"incidents{query}").json["data"]] == kinds

    def test_pages_lead_to_all(self, ask: Ask) -> None:
        path: str | None = "incidents?limit=1"
        seen = []
        while path:
            page = ask(path).json
            seen += [row["kind"] for row in page["data"]]
            path = page["next"]
        assert seen == ["venue_data_stale", "login_failing", "kitchen_station_inactive"]


View = TypeVar("View", VenueView, BrandView)


def with_incidents(view: View, **incidents: Incident) -> View:
    return replace(view, state=replace(view.state, incidents=incidents))


@pytest.mark.parametrize(
    ("path", "parameter", "message"),
    [
        ("stations?limit=0", "limit", "Input should be greater than or equal to 1"),
        ("stations?limit=1001", "limit", "Input should be less than or equal to 1000"),
        ("stations?limit=ten", "limit", "must be a whole number, not negative"),
        ("changes?before=-1", "before", "must be a whole number, not negative"),
        ("stations?status=offline", "status", "Input should be 'active', 'inactive' or 'unknown'"),
        ("stations?kind=oven", "kind", "Input should be 'kitchen', 'other' or 'unknown'"),
        ("stations?since=yesterday", "since", "must be a time: RFC 3339, as 2026-01-31T18:00:00Z, or Unix seconds"),
        ("stations?since=2026-02-31T00:00:00Z", "since", "day is out of range for month"),
        ("stations?since=nan", "since", "must be a time: RFC 3339, as 2026-01-31T18:00:00Z, or Unix seconds"),
        ("stations?colour=red", "colour", None),
        ("stations?brand=a&brand=b", "brand", "is given more than once"),
        ("venues?status=active", "status", "Input should be 'fresh', 'failing', 'stale' or 'waiting'"),
        ("changes?event=station.exploded", "event", None),
        ("changes?before=99999999999999999", "before", None),
    ],
)
def test_a_bad_parameter_is_named(ask: Ask, path: str, parameter: str, message: str | None) -> None:
    answer = ask(path)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
    assert answer.json["error"] == "bad_request"
    (fault,) = answer.json["faults"]
    assert fault["parameter"] == parameter
    assert message is None or fault["message"] == message


def test_an_unknown_parameter_is_named_with_those_that_are_known(ask: Ask) -> None:
    answer = ask("stations?venue_id=3").json
    assert answer["message"] == "1 invalid parameter: see /api/v1/openapi.json"
    assert answer["faults"][0]["message"].startswith("is not a parameter of this path: ")
    assert "venue" in answer["faults"][0]["message"].split(": ")[1].split(", ")


def test_all_faults_are_named_at_once(ask: Ask) -> None:
    faults = ask("stations?limit=0&colour=red&kind=oven&brand=a&brand=b").json["faults"]
    assert {fault["parameter"] for fault in faults} == {"limit", "colour", "kind", "brand"}


def test_faults_and_names_are_not_repeated_without_end(ask: Ask) -> None:
    answer = ask("stations?" + "&".join(f"{number}{'x' * 300}" + "=1" for number in range(150)))
    assert answer.status == 400
    assert len(answer.json["faults"]) == 20
    assert answer.json["message"].startswith("150 invalid parameters")
    assert len(answer.body) < 5_000


def test_gzip_is_not_used_where_it_is_refused(source: FakeSource) -> None:
    path = "/api/v1/openapi.json"
    assert "content-encoding" not in get(source, path, accept_encoding="gzip;q=0, identity").headers
    assert get(source, path, accept_encoding="gzip").headers["content-encoding"] == "gzip"


def test_another_method_is_refused_in_json(source: FakeSource) -> None:
    answer = get(source, "/api/v1/stations", method="POST")
    assert (answer.status, answer.json["error"]) == (405, "method_not_allowed")


def test_a_path_with_nothing_behind_it(ask: Ask) -> None:
    answer = ask("orders")
    assert (answer.status, answer.json["error"]) == (404, "not_found")


def test_every_parameter_and_answer_is_described(ask: Ask) -> None:
    document: dict[str, Any] = ask("openapi.json").json
    for operation in document["paths"].values():
        assert all(parameter["description"] for parameter in operation["get"]["parameters"])
        assert {"200", "400"} == operation["get"]["responses"].keys()


def test_the_two_beginnings_of_an_incident_are_explained(ask: Ask) -> None:
    described = ask("openapi.json").json["components"]["schemas"]["Incident"]["properties"]
    assert "as on the page, in messages and metrics" in described["since"]["description"]
    assert "From when the delay counts" in described["began_at"]["description"]


@pytest.mark.slow
def test_the_api_keeps_to_its_description(
    serve: Callable[[FakeSource], str], source: FakeSource, tmp_path: Path
) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    description = f"{serve(source)}/api/v1/openapi.json"
    command = [str(program), "--no-color", "run", description, "--seed=1", "--max-examples=50"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
