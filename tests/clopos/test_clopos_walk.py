from __future__ import annotations

from itertools import count

import pytest
from clopos_fakes import (
    TOKEN,
    Asked,
    Script,
    bad,
    client,
    good,
    in_order,
    listing,
    ok,
    row,
)
from fakes import FakeClock, at, venue
from hypothesis import given
from hypothesis import strategies as st

from exporter.clopos.client import MAX_PAGES, PAGE_SIZE
from exporter.clopos.transport import ApiResponse
from exporter.errors import CloposError
from exporter.model import DEFAULT_VENUE, Reason, Snapshot, Venue

VENUE = venue()


# Complete or nothing


def test_one_page_is_one_request_for_the_venue_with_the_largest_pages(clock: FakeClock) -> None:
    made, transport = client(clock, listing(row(1), row(2)), seconds=0.3)
    outcome = good(made)
    assert [station.id for station in outcome.stations] == ["1", "2"]
    assert (outcome.requests, outcome.at) == (1, at(0.3))
    assert outcome.duration == pytest.approx(0.3)
    (asked,) = transport.asked
    assert asked.params == {"limit": 200, "page": 1}
    assert asked.headers == {"x-token": TOKEN, "x-venue": "7"}


def test_the_default_venue_is_the_one_that_the_token_itself_stands_for(clock: FakeClock) -> None:
    made, transport = client(clock, listing())
    made.poll(Venue("tandir-group", DEFAULT_VENUE, "tandir-group"), 30)
    assert transport.asked[0].headers == {"x-token": TOKEN}


def test_a_venue_without_stations_is_a_complete_answer(clock: FakeClock) -> None:
    made, _ = client(clock, listing())
    outcome = good(made)
    assert outcome.stations == ()
    assert not outcome.unusable


@pytest.mark.parametrize(("count", "pages"), [(1, 1), (200, 1), (201, 2), (400, 2), (401, 3)])
def test_all_pages_are_read(clock: FakeClock, count: int, pages: int) -> None:
    made, transport = client(clock, listing(*map(row, range(count)), sorts=None))
    outcome = good(made)
    assert [int(station.id) for station in outcome.stations] == list(range(count))
    assert outcome.requests == pages
    assert [asked.params["page"] for asked in transport.asked] == list(range(1, pages + 1))


def test_a_stable_order_is_asked_for_once_there_are_pages_and_the_api_offers_it(clock: FakeClock) -> None:
    made, transport = client(clock, listing(*map(row, range(250))))
    good(made)
    good(made)
    sorted_by = [asked.params.get("sort[0]") for asked in transport.asked]
    assert sorted_by == [None, "id", "id", "id", "id"], "the first page again, and from then on at once"
    assert transport.asked[1].params["sort[1]"] == 1


def test_filters_are_the_apis_own_parameters(clock: FakeClock) -> None:
    made, transport = client(clock, listing())
    made.stations(VENUE, 30, status=0, can_print=True)
    assert transport.asked[0].params == {"limit": PAGE_SIZE, "page": 1, "status": 0, "can_print": "true"}


def moved(asked: Asked) -> ApiResponse | CloposError:
    return listing(*map(row, range(250 - asked.params["page"])))(asked)


def short(asked: Asked) -> ApiResponse | CloposError:
    return listing(row(1), total=2)(asked)


def twice(asked: Asked) -> ApiResponse | CloposError:
    return listing(row(1), row(1))(asked)


@pytest.mark.parametrize("unstable", [moved, short, twice])
def test_a_list_that_moved_is_read_once_more(clock: FakeClock, unstable: Script) -> None:
    scripts = [unstable] * (2 if unstable is moved else 1)
    made, _ = client(clock, in_order(*scripts, listing(row(1), row(2), sorts=None)))
    made._sort = {"sort[0]": "id", "sort[1]": 1}
    assert len(good(made).stations) == 2


def moving(kind: Script) -> Script:
    """Serve a list that is odd, and another one in every walk."""
    walks = count(10)
    number = 0

    def script(asked: Asked) -> ApiResponse:
        nonlocal number
        number = next(walks) if asked.params["page"] == 1 else number
        response = kind(asked)
        assert isinstance(response, ApiResponse)
        document = response.document
        return ok(**{**document, "data": [*document["data"], row(1000 + number)], "total": document["total"] + 1})

    return script


@pytest.mark.parametrize("unstable", [moved, short, twice])
def test_a_list_that_moves_all_the_time_is_incomplete(clock: FakeClock, unstable: Script) -> None:
    made, _ = client(clock, moving(unstable))
    for _ in range(5):
        outcome = bad(made)
        assert (outcome.reason, outcome.brand_wide) == (Reason.INCOMPLETE, False)


@pytest.mark.parametrize(
    ("odd", "shown", "what"),
    [
        (moved, 248, "pages of one list claim different totals: 248, 249"),
        (short, 1, "the list shows 1 rows and claims 2"),
        (twice, 1, "the list names stations twice: 1"),
    ],
)
def test_a_list_that_is_odd_the_same_way_in_three_walks_is_taken_for_what_it_shows(
    clock: FakeClock, odd: Script, shown: int, what: str
) -> None:
    made, transport = client(clock, odd)
    made._sort = {"sort[0]": "id", "sort[1]": 1}
    outcome = good(made)
    assert (len(outcome.stations), outcome.unusable) == (shown, (what,))
    requests = len(transport.asked)
    assert requests == 3 * outcome.requests
    assert good(made).unusable == (what,)
    assert len(transport.asked) == requests + outcome.requests, "it is known by now"


def test_a_list_that_is_whole_again_is_believed_at_once_and_a_new_oddity_is_not(clock: FakeClock) -> None:
    whole = listing(row(1), row(2))
    made, transport = client(clock, in_order(short, short, short, whole, short, whole))
    assert [bool(good(made).unusable) for _ in range(3)] == [True, False, False]
    assert len(transport.asked) == 6


def test_of_rows_with_the_same_id_the_one_that_was_updated_last_counts(clock: FakeClock) -> None:
    older, newer = (row(1, status=day % 2, updated_at=f"2026-01-{day}T00:00:00Z") for day in (14, 15))
    for rows in ((older, newer), (newer, older)):
        made, _ = client(clock, listing(*rows))
        assert [station.active for station in good(made).stations] == [True]


@pytest.mark.parametrize("limit", [20, 50, 100])
def test_a_limit_that_the_api_clamps_is_followed_page_by_page(clock: FakeClock, limit: int) -> None:
    rows = [row(id_) for id_ in range(230)]

    def script(asked: Asked) -> ApiResponse:
        begin = (asked.params["page"] - 1) * limit
        return ok(data=rows[begin : begin + limit], total=len(rows))

    made, _ = client(clock, script)
    outcome = good(made)
    assert len(outcome.stations) == 230
    assert not outcome.unusable


def test_a_claim_of_endless_stations_is_not_followed(clock: FakeClock) -> None:
    made, transport = client(clock, listing(row(1), total=MAX_PAGES * PAGE_SIZE + 1))
    assert bad(made).reason is Reason.TOO_LARGE
    assert len(transport.asked) == 1


def test_a_row_without_an_id_is_named_and_a_deleted_one_is_left_out_and_neither_hides_the_others(
    clock: FakeClock,
) -> None:
    rows = [row(1), {"name": "No id"}, row(2, deleted_at="2026-01-13T14:36:51Z")]
    made, _ = client(clock, listing(*rows))
    outcome = good(made)
    assert [station.id for station in outcome.stations] == ["1"]
    assert outcome.unusable == ("{'name': 'No id'}",), "it may be any station"


@pytest.mark.parametrize(
    "answer",
    [
        ok(),
        ok(data=[]),
        ok(data={}, total=0),
        ok(data=[], total="many"),
        ApiResponse(200, {}, {"data": [], "total": 0}),
    ],
)
def test_an_answer_that_is_no_list_is_malformed(clock: FakeClock, answer: ApiResponse) -> None:
    made, _ = client(clock, lambda _: answer)
    assert bad(made).reason is Reason.MALFORMED


@given(st.lists(st.lists(st.integers(1, 4), max_size=4), min_size=1, max_size=4), st.integers(0, 5))
def test_whatever_pages_come_the_outcome_is_complete_or_a_failure(pages: list[list[int]], total: int) -> None:
    def script(asked: Asked) -> ApiResponse:
        return ok(data=[row(id_) for id_ in pages[(asked.params["page"] - 1) % len(pages)]], total=total)

    made, _ = client(FakeClock(), script)
    outcome = made.poll(VENUE, 30)
    if isinstance(outcome, Snapshot):
        assert len({station.id for station in outcome.stations}) == len(outcome.stations)
        assert len(outcome.stations) == total or outcome.unusable
    else:
        assert outcome.reason is Reason.INCOMPLETE


def test_each_page_has_the_time_of_a_poll_however_many_there_are(clock: FakeClock) -> None:
    made, _ = client(clock, listing(*map(row, range(2000)), sorts=None), requests_per_minute=60)
    outcome = good(made, seconds=1.5)
    assert outcome.requests == 10
    assert outcome.duration > 5
