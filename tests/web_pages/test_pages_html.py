"""What the pages say, asked without a browser."""

from __future__ import annotations

import gzip
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from pages_fakes import MONOTONIC, NOW, FakeSource, brand_view, get, outage, station_state, venue_view

from exporter.model import BrandState, Event, Kind, Opening, Reason, Venue, VenueState
from exporter.views import BrandView, VenueView

DAY = 86_400.0
GRILL = station_state("1", "Grill", active=False, since=1500.0)
BAR = station_state("2", "Bar", kind=Kind.OTHER)
HOSTILE = "<script>alert(1)</script>\" onmouseover='x' & {{ 7*7 }}"


def source(*views: VenueView, brands: tuple[BrandView, ...] = (brand_view(),)) -> FakeSource:
    return FakeSource(views, brands)


class TestOverview:
    def test_a_disabled_kitchen_station_comes_first_with_since_when_and_what_it_means(self) -> None:
        text = get(source(venue_view("7", GRILL, BAR, name="Port")), "/").text
        assert "1 kitchen station is disabled" in text
        assert "Grill Port · Kitchen Disabled in Clopos for 25 min. No new orders go there." in text

    def test_all_is_well(self) -> None:
        text = get(source(venue_view("7", BAR)), "/").text
        assert "Nothing is wrong" in text
        assert "Wrong now" not in text

    def test_before_the_first_answer(self) -> None:
        waiting = VenueView(VenueState(Venue("tandir", "7", "Port")), 30.0)
        for views in ((), (waiting,)):
            assert "Waiting for the first answer of Clopos" in get(source(*views), "/").text

    def test_a_failing_login_says_what_a_person_should_do(self) -> None:
        failing = brand_view(login_outage=outage(Reason.CREDENTIALS))
        text = get(source(venue_view("7", BAR, outage=outage(Reason.CREDENTIALS)), brands=(failing,)), "/").text
        assert "The login of tandir fails For 3 min: Clopos refuses the credentials." in text
        assert Reason.CREDENTIALS.remedy in text

    def test_a_venue_without_data_and_its_age(self) -> None:
        text = get(source(venue_view("7", BAR, name="Port", age=200.0, outage=outage())), "/").text
        assert "No new data from Port For 3 min: Clopos takes too long." in text
        assert "data is 3 min old" in text

    def test_what_is_expected_is_folded(self) -> None:
        closed = Opening(is_open=False, next_open=NOW + 3600, next_close=None)
        text = get(source(venue_view("7", GRILL, opening=closed)), "/").text
        assert "1 station is disabled as expected" in text
        assert "kitchen station is disabled" not in text

    def test_the_worst_venue_is_the_first_on_the_board(self) -> None:
        html = get(source(venue_view("1", BAR, name="Aaa"), venue_view("2", GRILL, name="Zzz")), "/").html
        board = html[html.index('id="venues"') :]
        assert board.index("Zzz") < board.index("Aaa")

    def test_many_troubles_are_folded_and_none_is_lost(self) -> None:
        stations = [station_state(str(number), f"Oven {number}", active=False) for number in range(40)]
        answer = get(source(venue_view("7", *stations)), "/")
        assert "28 more stations" in answer.text
        assert all(f">Oven {number}<" in answer.html for number in range(40))

    def test_the_quota_and_the_freshness_of_each_brand(self) -> None:
        brands = (brand_view("tandir"), brand_view("plov", quota_limit=None, quota_remaining=None))
        text = get(source(venue_view("7", BAR, age=34.0), brands=brands), "/").text
        assert "Oldest data 34 s" in text
        assert text.count("Requests left this minute") == 1
        assert "212 of 300" in text

    def test_the_age_of_the_data_is_that_of_the_newest_poll(self) -> None:
        shown = source(venue_view("7", BAR))
        assert "Oldest data 12 s" in get(shown, "/").text
        state = shown.views[0].state
        shown.wall += 600
        shown.views = [replace(shown.views[0], state=replace(state, fresh_at=MONOTONIC + 595))]
        assert "Oldest data 5 s" in get(shown, "/").text

    def test_polls_that_stand_still_are_seen(self) -> None:
        shown = source(venue_view("7", BAR))
        shown.wall += 600
        text = get(shown, "/").text
        assert "The data of 1 venue is old" in text
        assert "Oldest data 10 min, late" in text

    def test_changes_in_words(self) -> None:
        shown = source(venue_view("7", GRILL, name="Port"))
        shown.tell(Event.STATION_DEACTIVATED, 1500.0, shown.views[0], GRILL, detected="after_restart")
        text = get(shown, "/").text
        assert "Grill disabled in Clopos (while the exporter was not running) 25 min ago · Port" in text

    def test_nothing_is_called_offline(self) -> None:
        html = get(source(venue_view("7", GRILL, outage=outage())), "/").html.lower()
        assert "offline" not in html

    def test_data_is_never_kept_by_a_browser(self) -> None:
        assert get(source(), "/").headers["cache-control"] == "no-store"


class TestSearch:
    VIEWS = (
        venue_view("1", GRILL, name="Port Baku", brand="tandir"),
        venue_view("2", BAR, name="Şəki Çay Evi", brand="plov"),
        venue_view("3", station_state("9", "Hookah"), name="İçərişəhər", brand="plov"),
    )

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("", {"1", "2", "3"}),
            ("?q=port", {"1"}),
            ("?q=baku+port", {"1"}),
            ("?q=grill", {"1"}),
            ("?q=seki", {"2"}),
            ("?q=iceriseher", {"3"}),
            ("?q=nothing", set()),
            ("?brand=plov", {"2", "3"}),
            ("?show=troubles", {"1"}),
            ("?q=hookah&brand=plov", {"3"}),
            ("?rows=1", {"1"}),
            ("?rows=x&show=y&brand=", {"1", "2", "3"}),
            ("?rows=99999999999999999999", {"1", "2", "3"}),
        ],
    )
    def test_what_is_found(self, query: str, found: set[str]) -> None:
        html = get(source(*self.VIEWS, brands=(brand_view("tandir"), brand_view("plov"))), f"/{query}").html
        board = html[html.index('data-key="tiles"') : html.index('id="changes"')]
        assert {view.state.venue.id for view in self.VIEWS if f"venue_id={view.state.venue.id}" in board} == found

    def test_a_large_chain_is_shown_in_parts(self) -> None:
        views = [venue_view(str(number), BAR, name=f"Venue {number}") for number in range(500)]
        answer = get(source(*views), "/?q=venue")
        assert "Showing 48 of 500 venues, worst first" in answer.text
        assert 'href="./?q=venue&amp;rows=500#venues"' in answer.html
        assert get(source(*views), "/?rows=500").html.count('<li class="tile ') == 500


class TestVenue:
    def shown(self) -> FakeSource:
        shown = source(venue_view("7", GRILL, BAR, name="Port", opening=Opening(True, None, NOW + 7200)))  # noqa: FBT003
        shown.tell(Event.STATION_ACTIVATED, 9000.0, shown.views[0], GRILL, previous_for_seconds=600.0)
        shown.tell(Event.STATION_DEACTIVATED, 1500.0, shown.views[0], GRILL, previous_for_seconds=7500.0)
        return shown

    def test_stations_with_their_last_day(self) -> None:
        answer = get(self.shown(), "/venue?brand=tandir&venue_id=7")
        assert "Grill Disabled in Clopos for 25 min. No new orders go there. Kitchen · prints tickets" in answer.text
        assert "disabled twice, 35 min in all" in answer.text
        assert "data is 12 s old, asked for every 30 s · open now, closes in 2 h" in answer.text
        assert 'aria-label="Grill, last day: ' in answer.html

    def test_the_last_week(self) -> None:
        assert 'aria-label="Grill, last week: ' in get(self.shown(), "/venue?brand=tandir&venue_id=7&span=week").html

    def test_an_unknown_span_is_a_day(self) -> None:
        assert ", last day: " in get(self.shown(), "/venue?brand=tandir&venue_id=7&span=century").html

    def test_stale_stations_are_still_there_as_last_known(self) -> None:
        lost = venue_view("7", GRILL, name="Port", age=900.0, stale=True, outage=outage())
        text = get(source(lost), "/venue?brand=tandir&venue_id=7").text
        assert "No new data for 3 min: Clopos takes too long." in text
        assert "Grill Disabled in Clopos for 25 min" in text

    @pytest.mark.parametrize("query", ["", "?brand=tandir", "?brand=tandir&venue_id=8", "?brand=plov&venue_id=7"])
    def test_an_unknown_venue(self, query: str) -> None:
        answer = get(self.shown(), f"/venue{query}")
        assert answer.status == 404
        assert "No such venue" in answer.text


class TestChanges:
    def test_page_by_page(self) -> None:
        shown = source(venue_view("7", GRILL, name="Port"))
        for number in range(60):
            shown.tell(Event.STATION_TOUCHED, 600.0 - number, shown.views[0], station_state("1", f"Station {number}"))
        first, second = get(shown, "/changes"), get(shown, "/changes?before=11")
        assert first.html.count('<li class="change ') == 50
        assert 'href="changes?before=11"' in first.html
        assert second.html.count('<li class="change ') == 10
        assert "Older" not in second.text

    def test_of_one_venue(self) -> None:
        shown = source(venue_view("7", GRILL, name="Port"), venue_view("8", BAR, name="Mall"))
        for view in shown.views:
            shown.tell(Event.STATION_TOUCHED, 60.0, view, GRILL)
        text = get(shown, "/changes?brand=tandir&venue_id=8").text
        assert "Changes of Mall" in text
        assert "Port" not in text

    @pytest.mark.parametrize("before", ["x", "-1", "", "9" * 40, "²"])
    def test_a_page_that_is_none_is_the_first(self, before: str) -> None:
        assert get(source(), f"/changes?before={before}").status == 200


class Elements(HTMLParser):
    """Collect what a browser would make of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))


@pytest.mark.parametrize(
    "path", ["/", f"/?q={HOSTILE}", "/venue?brand=tandir&venue_id=7", "/changes", "/venue?brand=<b>"]
)
def test_any_name_is_harmless(path: str) -> None:
    one = station_state("1", HOSTILE, active=False)
    view = venue_view("7", one, station_state("2", HOSTILE), name=HOSTILE, brand="tandir")
    shown = source(view, brands=(brand_view(), BrandView(BrandState(HOSTILE))))
    shown.tell(Event.STATION_RENAMED, 5.0, view, one, previous=HOSTILE)
    elements = Elements(get(shown, path.replace(" ", "+")).html).found
    (script,) = (attributes for tag, attributes in elements if tag == "script")
    assert str(script["src"]).startswith("static/page.js?v=")
    assert not any(name.startswith("on") or name == "style" for _, attributes in elements for name in attributes)


def test_no_page_loads_anything_from_elsewhere() -> None:
    for _, attributes in Elements(get(source(venue_view("7", GRILL)), "/").html).found:
        for name in ("src", "href", "action"):
            assert not str(attributes.get(name, "")).startswith(("http:", "https:", "//", "/"))


def test_pages_are_compressed_where_that_is_taken() -> None:
    shown = source(venue_view("7", GRILL))
    plain, packed = get(shown, "/"), get(shown, "/", accept_encoding="gzip, br")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body)[:15] == plain.body[:15]
    assert len(packed.body) < len(plain.body) / 3


@pytest.mark.parametrize("name", ["page.css", "page.js", "icon.svg"])
def test_what_pages_load_is_kept_until_it_changes(name: str) -> None:
    page = get(source(), "/").html
    address = page[page.index(f"static/{name}") :].partition('"')[0]
    answer = get(source(), f"/{address}")
    assert answer.status == 200
    assert "immutable" in answer.headers["cache-control"]
    assert get(source(), f"/static/{name}").headers["cache-control"] == "no-cache"
    assert get(source(), f"/static/{name}", if_none_match=answer.headers["etag"]).status == 304


def test_there_is_nothing_else_below_static() -> None:
    assert get(source(), "/static/../pages.py").status == 404


def test_a_page_follows_the_state() -> None:
    shown = source(venue_view("7", station_state("1", "Grill"), name="Port"))
    assert "Nothing is wrong" in get(shown, "/").text
    shown.views = [venue_view("7", GRILL, name="Port")]
    assert "1 kitchen station is disabled" in get(shown, "/").text
    shown.views = [replace(shown.views[0], stale=True)]
    assert "No fresh data" in get(shown, "/").text
