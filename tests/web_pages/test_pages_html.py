"""What the pages say, asked without a browser."""

from __future__ import annotations

import gzip
import html as markup
import re
from dataclasses import replace
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from pages_fakes import MONOTONIC, NOW, Answer, FakeSource, brand_view, get, incident, outage, station_state, venue_view

from exporter.ignoring import IgnoreRule
from exporter.model import BrandState, Event, IncidentKind, Kind, Opening, Reason, Venue, VenueState
from exporter.views import BrandView, VenueRules, VenueView
from exporter.web.wording import EVENTS, TOPICS

DAY = 86_400.0
GRILL = station_state("1", "Grill", active=False, since=1500.0)
BAR = station_state("2", "Bar", kind=Kind.OTHER)
HOSTILE = "<script>alert(1)</script>\" onmouseover='x' & {{ 7*7 }}"


def source(*views: VenueView, brands: tuple[BrandView, ...] = (brand_view(),)) -> FakeSource:
    return FakeSource(views, brands)


def change_lines(answer: Answer) -> list[str]:
    """Return what a person reads of each change."""
    items = re.findall(r'<li class="change .*?</li>', answer.html, re.DOTALL)
    without = (re.sub(r"<svg.*?</svg>", "", item, flags=re.DOTALL) for item in items)
    return [" ".join(markup.unescape(re.sub(r"<[^>]*>", " ", item)).split()) for item in without]


class TestOverview:
    def test_a_disabled_kitchen_station_comes_first_with_since_when_and_what_it_means(self) -> None:
        text = get(source(venue_view("7", GRILL, BAR, name="Port")), "/").text
        assert "1 kitchen station is inactive" in text
        assert "Grill Port · kitchen Inactive in Clopos for at least 25 min." in text
        assert "Clopos does not say who did that; last edited 21:48 UTC." in text

    def test_all_is_well(self) -> None:
        text = get(source(venue_view("7", BAR)), "/").text
        assert "Nothing is wrong" in text
        assert "Problems now" not in text

    def test_before_the_first_answer(self) -> None:
        assert "Waiting for the first answer of Clopos" in get(source(brands=(brand_view(venues=None),)), "/").text

    def test_a_failing_login_says_what_a_person_should_do(self) -> None:
        failing = brand_view(login_outage=outage(Reason.CREDENTIALS))
        text = get(source(venue_view("7", BAR, outage=outage(Reason.CREDENTIALS)), brands=(failing,)), "/").text
        assert "The login of tandir has been failing since 22:10 UTC Reason: Clopos refuses the credentials." in text
        assert "Check client_id, client_secret and brand" in text

    def test_a_venue_without_data_and_its_age(self) -> None:
        text = get(source(venue_view("7", BAR, name="Port", age=200.0, outage=outage())), "/").text
        assert "Clopos has not answered since 22:10 UTC" in text
        assert "read 3 min ago" in text

    def test_an_outage_of_one_brand_leads_the_headline_before_a_station_of_another(self) -> None:
        views = [
            venue_view("7", GRILL, incidents=[incident(IncidentKind.KITCHEN_STATION_INACTIVE, GRILL)]),
            venue_view("8", BAR, brand="plov", outage=outage()),
        ]
        text = get(source(*views, brands=(brand_view("tandir"), brand_view("plov"))), "/").text
        headline = "Clopos does not answer for plov: 1 of 2 venues is not read; 1 kitchen station is inactive"
        title = "Clopos has not answered for plov since 22:10 UTC"
        assert text.index(headline) < text.index(title) < text.index("Grill")
        assert "Login not known" in text

    @pytest.mark.parametrize(
        ("reason", "headline"),
        [
            (Reason.GATEWAY, "Clopos answers with errors for plov: 5 of 10 venues are not read"),
            (Reason.TIMEOUT, "Clopos does not answer for plov: 5 of 10 venues are not read"),
            (Reason.FORBIDDEN, "5 of 10 venues are not read"),
        ],
    )
    def test_while_one_brand_is_not_read_the_page_says_how_much_is_not_known(
        self, reason: Reason, headline: str
    ) -> None:
        stale = [venue_view(str(n), BAR, brand="plov", outage=outage(reason), stale=True) for n in range(5)]
        shown = source(*(venue_view(str(n), BAR) for n in range(5)), *stale, brands=(brand_view(), brand_view("plov")))
        text = get(shown, "/").text
        assert f"{headline} Stations active, 5 not known 5 / 5 Venues read 5 / 10" in text
        shown.views = [*shown.views[:-1], replace(stale[4], state=replace(stale[4].state, stations=None))]
        assert "Stations active, those of 5 venues not known 5 / 5" in get(shown, "/").text

    def test_where_all_is_read_nothing_is_called_unknown(self) -> None:
        assert "Stations active 1 / 1" in get(source(venue_view("7", BAR)), "/").text

    def test_a_login_that_fails_before_any_venue_is_known_is_the_headline(self) -> None:
        never = brand_view("plov", venues=None, login_outage=outage(Reason.CREDENTIALS))
        text = get(source(venue_view("7", BAR), brands=(brand_view(), never)), "/").text
        assert text.count("The login of plov has been failing since 22:10 UTC") == 2, "headline and card"

    @pytest.mark.parametrize(
        ("reason", "advice"),
        [
            (Reason.GATEWAY, "ask Clopos if it lasts. The exporter keeps trying."),
            (Reason.TIMEOUT, "Check the network, and ask Clopos if it lasts. The exporter keeps trying."),
        ],
    )
    @pytest.mark.parametrize("others", [0, 1])
    def test_an_outage_says_what_to_do(self, reason: Reason, advice: str, others: int) -> None:
        views = [venue_view("7", BAR, outage=outage(reason)), *[venue_view("8", BAR)] * others]
        assert advice in get(source(*views), "/").text

    def test_a_brand_that_was_never_read_is_counted(self) -> None:
        never = brand_view("plov", venues=None, login_outage=outage(Reason.GATEWAY))
        views = [venue_view("7", GRILL, incidents=[incident(IncidentKind.KITCHEN_STATION_INACTIVE, GRILL)])]
        text = get(source(*views, brands=(brand_view("tandir"), never)), "/").text
        assert "Clopos answers with errors for plov; 1 kitchen station is inactive" in text
        assert "Clopos has been answering with errors for plov since 22:10 UTC" in text
        assert "Brands never read 1 / 2" in text

    def test_what_is_expected_is_folded(self) -> None:
        closed = Opening(is_open=False, next_open=NOW + 3600, next_close=None)
        text = get(source(venue_view("7", GRILL, opening=closed)), "/").text
        assert "Inactive, not alerting now: 1 station" in text
        assert "closed until 23:13 UTC." in text
        assert "kitchen station is inactive" not in text

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
        assert "Oldest data 34 sec" in text
        assert text.count("Requests left this minute") == 1
        assert "212 / 300" in text

    def test_the_age_of_the_data_is_that_of_the_newest_poll(self) -> None:
        shown = source(venue_view("7", BAR))
        assert "Oldest data 12 sec" in get(shown, "/").text
        state = shown.views[0].state
        shown.wall += 600
        shown.views = [replace(shown.views[0], state=replace(state, fresh_at=MONOTONIC + 595))]
        assert "Oldest data 5 sec" in get(shown, "/").text

    def test_polls_that_stand_still_are_seen(self) -> None:
        shown = source(venue_view("7", BAR))
        shown.wall += 600
        text = get(shown, "/").text
        assert "The data of 1 venue is old" in text
        assert "Oldest data 10 min" in text

    def test_changes_in_words(self) -> None:
        shown = source(venue_view("7", GRILL, name="Port"))
        shown.record(Event.STATION_DEACTIVATED, 1500.0, shown.views[0], GRILL, detected="after_restart")
        text = get(shown, "/").text
        assert "Grill inactive in Clopos (while the exporter was not running) 21:48 UTC · 25 min ago · Port" in text

    def test_nothing_is_called_offline(self) -> None:
        html = get(source(venue_view("7", GRILL, outage=outage())), "/").html.lower()
        assert "offline" not in html

    def test_data_is_never_kept_by_a_browser(self) -> None:
        assert get(source(), "/").headers["cache-control"] == "no-store"


class TestHonesty:
    """Nothing on the page says more than is known."""

    def test_the_first_round_counts_and_is_not_green(self) -> None:
        unread = [
            replace(venue_view(str(number), BAR), state=VenueState(Venue("tandir", str(number), "")))
            for number in range(425)
        ]
        read = [venue_view(str(number), BAR) for number in range(500, 575)]
        answer = get(source(*read, *unread), "/")
        assert "75 of 500 venues read so far" in answer.text
        assert 'class="now waiting"' in answer.html

    def test_what_an_earlier_process_knew_is_not_green(self) -> None:
        view = venue_view("7", BAR)
        restored = replace(view, state=replace(view.state, polled_at=None, restored=True))
        assert "0 of 1 venue read so far" in get(source(restored), "/").text

    def test_no_incident_is_pending_where_it_is_green(self) -> None:
        pending = incident(IncidentKind.PRINTING_DISABLED, BAR, fired_at=None)
        answer = get(source(venue_view("7", BAR, incidents=[pending])), "/")
        assert 'class="now notice"' in answer.html
        assert "Prints no tickets since 22:03 UTC." in answer.text

    @pytest.mark.parametrize("path", ["/", "/venue?brand=tandir&venue_id=7"])
    def test_before_opening_a_station_that_is_off_is_not_ready_and_amber(self, path: str) -> None:
        soon = Opening(is_open=False, next_open=NOW + 1200, next_close=None)
        not_ready = incident(IncidentKind.STATION_NOT_READY, GRILL)
        answer = get(source(venue_view("7", GRILL, opening=soon, incidents=[not_ready])), path)
        assert "1 station is not ready for opening" in answer.text
        assert "Not ready for opening at 22:33 UTC." in answer.text
        assert 'class="now notice"' in answer.html

    def test_nobody_claims_to_know_why_a_station_is_off(self) -> None:
        rules = VenueRules(ignore=(IgnoreRule("1", NOW + 5 * DAY),))
        text = get(source(venue_view("7", GRILL, ignored=frozenset({"1"}), rules=rules)), "/").text
        assert "Inactive, not alerting now: ignored until Nov 19 22:13 UTC." in text
        assert "purpose" not in text

    @pytest.mark.parametrize("stale", [False, True])
    def test_an_outage_is_one_banner_with_what_was_known_below_in_grey(self, *, stale: bool) -> None:
        firing = [incident(IncidentKind.KITCHEN_STATION_INACTIVE, GRILL)]
        views = [
            venue_view(str(number), GRILL, age=900.0, outage=outage(), stale=stale, incidents=firing)
            for number in range(3)
        ]
        answer = get(source(*views), "/")
        assert answer.html.count("Clopos has not answered since") == 1
        assert "Known before, not confirmed now" in answer.text
        assert answer.text.count("Was inactive in Clopos when it was last seen. Last seen 21:58 UTC.") == 3
        for claim in ("Orders for it", "kitchen station is inactive", "Stations active", "Problems now", "0 / 0"):
            assert claim not in answer.text

    def test_where_nothing_is_shown_nothing_is_said_of_it(self) -> None:
        unknown = VenueView(VenueState(Venue("tandir", "7", "Port"), outage=outage()), 30.0)
        text = get(source(unknown), "/").text
        assert "What is below" not in text
        assert "Stations active" not in text

    def test_a_duration_is_a_minimum_unless_the_change_was_seen(self) -> None:
        seen = replace(GRILL, last_transition=GRILL.since)
        assert "Inactive in Clopos for at least 25 min." in get(source(venue_view("7", GRILL)), "/").text
        assert "Inactive in Clopos since 21:48 UTC (25 min)." in get(source(venue_view("7", seen)), "/").text

    @pytest.mark.parametrize(
        ("kind", "details", "text"),
        [
            (IncidentKind.RELOAD_FAILED, {}, "The new configuration has errors and is not in force"),
            (IncidentKind.STATE_UNAVAILABLE, {}, "The state has not been writable since 22:03 UTC"),
            (IncidentKind.RELOAD_FAILED, {"message": "did you mean x?"}, "Reason: did you mean x? The command "),
            (IncidentKind.RELOAD_FAILED, {}, "After correcting them, reload with SIGHUP or POST /-/reload"),
            (IncidentKind.STATE_UNAVAILABLE, {"message": "disk full"}, "Reason: disk full."),
            (IncidentKind.LOG_UNAVAILABLE, {}, "The log has not been writable since 22:03 UTC"),
            (
                IncidentKind.CHANNEL_DOWN,
                {"channel": "shift"},
                "Messages to the channel shift have not been delivered since",
            ),
        ],
    )
    def test_what_is_wrong_with_the_exporter_itself_is_shown(
        self, kind: IncidentKind, details: dict[str, str], text: str
    ) -> None:
        shown = source(venue_view("7", BAR))
        shown.service_incidents = [incident(kind, brand="", details=details)]
        answer = get(shown, "/")
        assert text in answer.text
        assert "The exporter itself needs attention" in answer.text
        assert 'class="now notice"' in answer.html


@pytest.mark.parametrize(
    ("zones", "text", "is_localized"),
    [
        (["Asia/Baku", "Asia/Baku"], "Times are in the time zone Asia/Baku.", False),
        ([None, None], "Times are in UTC: no time_zone is configured.", True),
        (["Asia/Baku", None], "Times of a venue are in its own time zone, all others in UTC.", False),
    ],
)
def test_the_page_says_in_which_time_zone_its_times_are(
    zones: list[str | None], text: str, *, is_localized: bool
) -> None:
    rules = [VenueRules(time_zone=ZoneInfo(zone) if zone else None) for zone in zones]
    answer = get(source(*(venue_view(str(n), GRILL, rules=one) for n, one in enumerate(rules))), "/")
    assert text in answer.text
    assert ("data-utc" in answer.html) is is_localized, "the reader's own time zone is for pages without any"


class TestCards:
    def test_a_card_says_what_to_do_and_can_be_copied_for_a_chat(self) -> None:
        firing = incident(IncidentKind.KITCHEN_STATION_INACTIVE, GRILL)
        baku = VenueRules(time_zone=ZoneInfo("Asia/Baku"))
        answer = get(source(venue_view("7", GRILL, name="Port", incidents=[firing], rules=baku)), "/")
        assert "Switch it on in the Clopos back office" in answer.text
        assert 'data-copy="Port: Grill. Inactive in Clopos for at least 25 min. Orders for it' in answer.html
        assert "last edited 01:48." in answer.text

    def test_a_card_leads_to_the_back_office_where_that_is_configured(self) -> None:
        rules = VenueRules(back_office_url="https://tandir.clopos.com/?a=1&b=2")
        for path in ("/", "/venue?brand=tandir&venue_id=7"):
            html = get(source(venue_view("7", GRILL, rules=rules)), path).html
            assert 'href="https://tandir.clopos.com/?a=1&amp;b=2" rel="noreferrer">Open Clopos</a>' in html
            assert "Open Clopos" not in get(source(venue_view("7", GRILL)), path).html

    def test_a_copied_message_names_the_brand_where_there_are_several(self) -> None:
        answer = get(source(venue_view("7", GRILL, name="Port"), brands=(brand_view(), brand_view("plov"))), "/")
        assert 'data-copy="Port (tandir): Grill. Inactive' in answer.html

    def test_a_tile_has_the_last_day_in_little(self) -> None:
        shown = source(venue_view("7", replace(GRILL, last_transition=GRILL.since), BAR, name="Port"))
        shown.record(Event.STATION_ACTIVATED, 9000.0, shown.views[0], GRILL, previous_for_seconds=600.0)
        shown.record(Event.STATION_DEACTIVATED, 1500.0, shown.views[0], GRILL, previous_for_seconds=7500.0)
        html = get(shown, "/").html
        assert 'aria-label="Last 24 hours: inactive 2 times"' in html
        assert 'class="disabled" x="46" width="2"' in html

    def test_a_venue_with_everything_off_is_one_card(self) -> None:
        stations = [station_state(str(number), active=False) for number in range(8)]
        group = incident(IncidentKind.VENUE_NO_ACTIVE_STATION, None, *stations)
        answer = get(source(venue_view("7", *stations, name="Gənclik Mall", incidents=[group])), "/")
        assert "Gənclik Mall: all 8 stations are inactive" in answer.text
        assert answer.html.count('<li class="trouble ') == 1
        assert "8 kitchen stations are inactive" in answer.text

    def test_a_bar_is_not_counted_as_a_kitchen(self) -> None:
        bar = replace(BAR, station=replace(BAR.station, active=False))
        group = incident(IncidentKind.VENUE_NO_ACTIVE_STATION, None, GRILL, bar)
        for path in ("/", "/venue?brand=tandir&venue_id=7"):
            text = get(source(venue_view("7", GRILL, bar, incidents=[group])), path).text
            assert "2 stations are inactive" in text
            assert "kitchen stations are inactive" not in text

    def test_the_headline_counts_stations_and_venues(self) -> None:
        views = [venue_view(str(number), GRILL) for number in range(3)]
        assert "3 kitchen stations are inactive, 3 venues" in get(source(*views), "/").text

    def test_one_change_of_many_venues_is_one_card_and_the_rest_is_folded(self) -> None:
        covered = incident(IncidentKind.KITCHEN_STATION_INACTIVE, GRILL, fired_at=None, covered=True)
        views = [venue_view(str(number), GRILL, incidents=[covered]) for number in range(6)]
        members = tuple((str(number), "1") for number in range(6))
        bulk = replace(incident(IncidentKind.MANY_VENUES_INACTIVE), members=members)
        answer = get(source(*views, brands=(brand_view(incidents={"bulk": bulk}),)), "/")
        assert "6 stations are inactive, 6 venues Problems now" in re.sub(r" Stations active.*?sec", "", answer.text)
        shown, _, folded = answer.html.partition("<details")
        assert "Stations of many venues are inactive" in shown
        assert (shown.count('<li class="trouble '), folded.count('<li class="trouble ')) == (1, 6)

    def test_brands_are_named_where_there_are_several(self) -> None:
        views = (venue_view("1", GRILL, name="Port"), venue_view("1", GRILL, name="Port", brand="plov"))
        answer = get(source(*views, brands=(brand_view(), brand_view("plov"))), "/")
        assert "Port · plov · kitchen" in answer.text
        assert answer.html.count('<p class="where"><bdi>plov</bdi></p>') == 1

    def test_a_blank_name_is_the_id(self) -> None:
        blank = station_state("11", "  ", active=False)
        answer = get(source(venue_view("77", blank, name=" ")), "/")
        assert '<bdi class="name">77</bdi>' in answer.html
        assert '<bdi class="name">11</bdi>' in answer.html

    def test_only_with_trouble_on_a_healthy_board_says_so(self) -> None:
        assert "No venue has a problem now." in get(source(venue_view("7", BAR)), "/?show=troubles").text


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
        board = html[html.index('data-part="board"') : html.index('id="changes"')]
        assert {view.state.venue.id for view in self.VIEWS if f"venue_id={view.state.venue.id}" in board} == found

    def test_nobody_gets_more_venues_than_a_page_can_hold(self) -> None:
        views = [venue_view(str(number)) for number in range(1200)]
        assert get(source(*views), "/?rows=99999").html.count('<li class="tile ') == 1000

    def test_500_venues_of_20_stations_are_a_small_page(self) -> None:
        stations = [station_state(str(number), f"Station {number}") for number in range(20)]
        views = [venue_view(str(number), *stations, name=f"Restaurant {number}") for number in range(500)]
        page = get(source(*views), "/?rows=500", accept_encoding="gzip")
        assert len(page.body) < 150_000

    def test_a_large_chain_is_shown_in_parts(self) -> None:
        views = [venue_view(str(number), BAR, name=f"Venue {number}") for number in range(500)]
        answer = get(source(*views), "/?q=venue")
        assert "Showing 48 of 500 venues, worst first" in answer.text
        assert 'href="./?q=venue&amp;rows=500#venues"' in answer.html
        assert get(source(*views), "/?rows=500").html.count('<li class="tile ') == 500


class TestVenue:
    def shown(self) -> FakeSource:
        grill = replace(GRILL, last_transition=GRILL.since)
        shown = source(venue_view("7", grill, BAR, name="Port", opening=Opening(True, None, NOW + 7200)))  # noqa: FBT003
        shown.record(Event.STATION_ACTIVATED, 9000.0, shown.views[0], GRILL, previous_for_seconds=600.0)
        shown.record(Event.STATION_DEACTIVATED, 1500.0, shown.views[0], GRILL, previous_for_seconds=7500.0)
        return shown

    def test_a_share_says_of_how_much_known_time_it_is(self) -> None:
        answer = get(self.shown(), "/venue?brand=tandir&venue_id=7")
        assert "78.1 % active of the 2 hr 40 min known" in answer.text.replace("\N{NO-BREAK SPACE}", " ")

    def test_stations_with_their_last_day(self) -> None:
        answer = get(self.shown(), "/venue?brand=tandir&venue_id=7")
        assert "Grill Inactive in Clopos since 21:48 UTC (25 min)." in answer.text
        assert "inactive 2 times, 35 min" in answer.text
        assert "read 12 sec ago · polled every 30 sec · open until Nov 15 00:13 UTC" in answer.text
        assert 'aria-label="Grill: ' in answer.html

    @pytest.mark.parametrize(("span", "shown"), [("week", "Week"), ("month", "Month"), ("century", "Day")])
    def test_a_longer_time(self, span: str, shown: str) -> None:
        html = get(self.shown(), f"/venue?brand=tandir&venue_id=7&span={span}").html
        assert f"aria-current=true>{shown}<" in html

    def test_stale_stations_are_still_there_as_last_known(self) -> None:
        lost = venue_view("7", GRILL, name="Port", age=900.0, stale=True, outage=outage())
        text = get(source(lost), "/venue?brand=tandir&venue_id=7").text
        assert "No new data since 22:10 UTC: Clopos takes too long." in text
        assert "Grill Was inactive in Clopos when it was last seen. Last seen 21:58 UTC." in text

    @pytest.mark.parametrize("query", ["", "?brand=tandir", "?brand=tandir&venue_id=8", "?brand=plov&venue_id=7"])
    def test_an_unknown_venue(self, query: str) -> None:
        answer = get(self.shown(), f"/venue{query}")
        assert answer.status == 404
        assert "No such venue" in answer.text


class TestChanges:
    def test_page_by_page(self) -> None:
        shown = source(venue_view("7", GRILL, name="Port"))
        for number in range(60):
            shown.record(Event.STATION_TOUCHED, 600.0 - number, shown.views[0], station_state("1", f"Station {number}"))
        first, second = get(shown, "/changes"), get(shown, "/changes?before=11")
        assert first.html.count('<li class="change ') == 50
        assert 'href="changes?before=11"' in first.html
        assert second.html.count('<li class="change ') == 10
        assert "Older" not in second.text

    def test_of_one_venue(self) -> None:
        shown = source(venue_view("7", GRILL, name="Port"), venue_view("8", BAR, name="Mall"))
        for view in shown.views:
            shown.record(Event.STATION_TOUCHED, 60.0, view, GRILL)
        for path in ("/changes?brand=tandir&venue_id=8", "/changes?venue=tandir/8"):
            assert "Changes: Mall" in get(shown, path).text
            (line,) = change_lines(get(shown, path))
            assert "Mall" not in line, "it is in the headline"

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("", ["Grill no longer prints tickets", "Bar edited in Clopos", "Grill inactive in Clopos"]),
            ("?kind=kitchen", ["Grill no longer prints tickets", "Grill inactive in Clopos"]),
            ("?event=printing", ["Grill no longer prints tickets"]),
            ("?event=status&kind=other", []),
            ("?event=settings&venue=tandir/8", ["Bar edited in Clopos"]),
            ("?venue=&kind=x&event=y", ["Grill no longer", "Bar edited", "Grill inactive"]),
        ],
    )
    def test_filtered_by_venue_kind_and_what_happened(self, query: str, found: list[str]) -> None:
        shown = source(venue_view("7", GRILL, name="Port"), venue_view("8", BAR, name="Mall"))
        shown.record(Event.STATION_DEACTIVATED, 90.0, shown.views[0], GRILL)
        shown.record(Event.STATION_TOUCHED, 60.0, shown.views[1], BAR)
        shown.record(Event.STATION_PRINTING_DISABLED, 30.0, shown.views[0], GRILL)
        lines = change_lines(get(shown, f"/changes{query}"))
        assert len(lines) == len(found)
        assert all(map(str.startswith, lines, found))

    def test_nothing_that_a_filter_lets_through(self) -> None:
        assert "No such change is known. Show all changes" in get(source(), "/changes?kind=other").text

    def test_a_filter_stays_from_page_to_page(self) -> None:
        shown = source(venue_view("7", GRILL, name="Port"))
        for number in range(51):
            shown.record(Event.STATION_TOUCHED, 600.0 - number, shown.views[0], GRILL)
        html = get(shown, "/changes?kind=kitchen&event=settings").html
        assert 'href="changes?kind=kitchen&amp;event=settings&amp;before=2"' in html

    def test_every_day_has_a_heading_and_every_line_leads_to_its_venue(self) -> None:
        shown = source(venue_view("7", GRILL, name="Port"))
        shown.record(Event.STATION_TOUCHED, 1.5 * DAY, shown.views[0], GRILL)
        shown.record(Event.STATION_DEACTIVATED, 60.0, shown.views[0], GRILL)
        html = get(shown, "/changes").html
        assert re.findall(r'<h2 class="day">(.*?)</h2>', html) == ["Tue, Nov 14, 2023", "Mon, Nov 13, 2023"]
        assert html.count('<a class="cover" href="venue?brand=tandir&amp;venue_id=7">') == 2

    def test_every_event_that_is_shown_can_be_filtered_for(self) -> None:
        assert {said.topic for said in EVENTS.values()} == TOPICS.keys()

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
    shown.record(Event.STATION_RENAMED, 5.0, view, one, previous=HOSTILE)
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
    assert "1 kitchen station is inactive" in get(shown, "/").text
    shown.views = [replace(shown.views[0], stale=True)]
    assert "No new data" in get(shown, "/").text


def test_what_pages_name_is_in_the_style_sheet() -> None:
    closed = Opening(is_open=False, next_open=NOW + 60, next_close=None)
    shown = source(
        venue_view("7", GRILL, BAR), venue_view("8", GRILL, outage=outage()), venue_view("9", opening=closed)
    )
    shown.record(Event.VENUE_LOST, 180.0, shown.views[1], reason="tls")
    paths = ("/", "/venue?brand=tandir&venue_id=7", "/venue?brand=tandir&venue_id=8", "/changes")
    used = {
        name
        for path in paths
        for _, attributes in Elements(get(shown, path).html).found
        for name in str(attributes.get("class") or "").split()
        if not name.startswith("icon-")
    }
    known = set(re.findall(r"\.([a-z][a-z-]*)", get(shown, "/static/page.css").html))
    assert {"nodata", "nodata-span", "remembered", "disabled", "unknown"} <= used
    assert used - known <= {"copy", "first", "second", "shape", "strip-of-time", "fine", "quiet", "plain", "whole"}
