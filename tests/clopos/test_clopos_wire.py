from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.clopos import wire
from exporter.errors import CloposError
from exporter.model import Kind, Reason, Station, Venue

ROW = {
    "id": 3,
    "name": "Tandir",
    "status": 1,
    "type": 0,
    "printable": 0,
    "created_at": "2026-01-13T14:36:51.000000Z",
    "updated_at": "2026-01-13T14:36:51.500000Z",
}


def decoded(row: dict[str, Any]) -> Station:
    (station,), unusable = wire.stations([row])
    assert not unusable
    return station


def test_the_vendors_own_example_is_decoded() -> None:
    assert decoded(ROW) == Station(
        "3", "Tandir", Kind.OTHER, active=True, printable=False, created_at=1768315011.0, updated_at=1768315011.5
    )


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        (1, True),
        (0, False),
        ("1", True),
        ("0", False),
        (True, True),
        (False, False),
        (1.0, True),
        (2, None),
        (-1, None),
        ("", None),
        ("yes", None),
        (" 1", None),
        (None, None),
        ([], None),
        ({}, None),
        (float("nan"), None),
        (10**400, None),
    ],
)
@pytest.mark.parametrize("field", ["status", "printable"])
def test_flags_come_as_numbers_texts_and_bools_and_everything_else_is_unclear(
    given: object, flag: object, field: str
) -> None:
    station = decoded({**ROW, field: given})
    assert (station.active if field == "status" else station.printable) is flag


@pytest.mark.parametrize("field", ["status", "printable", "type", "created_at", "updated_at", "name"])
def test_a_row_without_a_field_is_still_a_station(field: str) -> None:
    assert decoded({key: value for key, value in ROW.items() if key != field}).id == "3"


def test_can_print_stands_in_where_printable_is_missing_and_not_where_it_is_null() -> None:
    without = {key: value for key, value in ROW.items() if key != "printable"}
    assert decoded({**without, "can_print": True}).printable is True
    assert decoded({**ROW, "printable": None, "can_print": True}).printable is None


@pytest.mark.parametrize(
    ("given", "kind"),
    [(1, Kind.KITCHEN), ("1", Kind.KITCHEN), (0, Kind.OTHER), (None, Kind.UNKNOWN), (9, Kind.UNKNOWN)],
)
def test_kinds(given: object, kind: Kind) -> None:
    assert decoded({**ROW, "type": given}).kind is kind


@pytest.mark.parametrize(
    ("given", "id_"),
    [
        (3, "3"),
        ("kitchen", "kitchen"),
        ("3", "3"),
        (0, "0"),
        (-1, "-1"),
        (2**63 - 1, "9223372036854775807"),
        ("ə" * 200, "ə" * 200),
        ("a b\nc", "a b\nc"),
    ],
)
def test_ids_are_numbers_or_texts_and_become_texts(given: object, id_: str) -> None:
    assert decoded({**ROW, "id": given}).id == id_


@pytest.mark.parametrize("given", [None, "", True, False, 1.5, [], {}, 2**63, "x" * 201, "\ud800"])
def test_a_row_without_a_usable_id_is_described_and_hides_no_other(given: object) -> None:
    stations, unusable = wire.stations([{**ROW, "id": given}, ROW])
    assert [station.id for station in stations] == ["3"]
    assert len(unusable) == 1


@pytest.mark.parametrize("row", [None, 1, "text", [], [1]])
def test_a_row_that_is_no_object_is_described(row: object) -> None:
    assert wire.stations([row]) == ([], [repr(row)])


def test_the_description_of_a_row_is_short_whatever_the_row_holds() -> None:
    _, (described,) = wire.stations(
        [{"name": "x" * 10**6, "meta": [[[[[]]]]] * 1000, **{str(n): n for n in range(99)}}]
    )
    assert len(described) < 300


def test_a_row_that_is_marked_as_deleted_is_no_station() -> None:
    assert wire.stations([{**ROW, "deleted_at": "2026-01-13T14:36:51Z"}]) == ([], [])
    assert decoded({**ROW, "deleted_at": None}).id == "3"


def test_fields_that_nobody_knows_change_nothing() -> None:
    more: dict[str, object] = {"reminder_enabled": 1, "description": None, "meta": {"a": []}, "x": [1]}
    assert decoded({**ROW, **more}) == decoded(ROW)


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ("2026-01-13T14:36:51.000000Z", 1768315011.0),
        ("2026-01-13T14:36:51Z", 1768315011.0),
        ("2026-01-13 14:36:51", 1768315011.0),
        ("2026-01-13T18:36:51+04:00", 1768315011.0),
        ("0001-01-01T00:00:00Z", -62135596800.0),
        ("0001-01-01T00:00:00+23:59", -62135683140.0),
        ("9999-12-31T23:59:59Z", 253402300799.0),
        ("0000-00-00T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
        (1768315011, None),
        (None, None),
    ],
)
def test_times(given: object, at: float | None) -> None:
    assert decoded({**ROW, "created_at": given}).created_at == at


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Təndir 🍽️", "Təndir 🍽️"),
        ('"\\\n\u202e\x00', '"\\\n\u202e\x00'),
        ("\ud83d", "\N{REPLACEMENT CHARACTER}"),
        ("", "Station 3"),
        (None, "Station 3"),
        (7, "Station 3"),
        ("x" * 200, "x" * 200),
        ("x" * 10**6, "x" * 199 + "…"),
    ],
)
def test_names_are_kept_as_they_are_as_far_as_a_label_can_hold_them(given: object, name: str) -> None:
    assert decoded({**ROW, "name": given}).name == name


# Pages


def test_a_page_knows_its_rows_the_total_and_whether_it_can_be_sorted_by_id() -> None:
    page = wire.page({"data": [ROW], "total": 7, "sorts": ["id", 1, None, "name"]})
    assert page == wire.Page((ROW,), 7, sorts_by_id=True)


@pytest.mark.parametrize("total", ["7", 7.0])
def test_a_total_may_come_as_text(total: object) -> None:
    assert wire.page({"data": [], "total": total}).total == 7


@pytest.mark.parametrize("total", [None, -1, 1.5, True, "many", [], float("nan"), float("inf"), 10**30])
def test_a_page_without_a_usable_total_is_malformed(total: object) -> None:
    with pytest.raises(CloposError) as caught:
        wire.page({"data": [], "total": total})
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("data", [None, {}, "rows", 1])
def test_an_answer_without_a_list_is_malformed(data: object) -> None:
    for decode in (wire.page, lambda document: wire.venues(document, "b")):
        with pytest.raises(CloposError) as caught:
            decode({"data": data, "total": 0})
        assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("sorts", [None, "id", {"id": 1}, 7, [], ["name", {}]])
def test_sorts_that_are_no_list_with_the_id_do_not_offer_it(sorts: object) -> None:
    assert not wire.page({"data": [], "total": 0, "sorts": sorts}).sorts_by_id


# Venues


def test_venues_are_those_that_are_not_switched_off() -> None:
    rows = [
        {"id": 1, "name": "Gəncə", "status": 1},
        {"id": "2", "name": "Bakı"},
        {"id": 3, "name": "Closed", "status": 0},
        {"id": 4, "name": None, "status": 7},
    ]
    assert wire.venues({"data": rows}, "b") == [
        Venue("b", "1", "Gəncə"),
        Venue("b", "2", "Bakı"),
        Venue("b", "4", "Venue 4"),
    ]


@pytest.mark.parametrize("id_", [None, "", "a b", "7\r\nx-evil: 1", "ə", True, 2**63])
def test_a_venue_whose_id_could_not_travel_in_a_header_is_left_out(id_: object) -> None:
    assert wire.venues({"data": [{"id": id_}, {"id": 7}, 7, None]}, "b") == [Venue("b", "7", "Venue 7")]


def test_a_venue_that_comes_twice_is_one() -> None:
    assert wire.venues({"data": [{"id": 1, "name": "A"}, {"id": "1", "name": "B"}]}, "b") == [Venue("b", "1", "A")]


# Login


def test_a_token_with_both_its_ends() -> None:
    token = wire.token({"token": "jwt", "expires_at": 1768315011, "expires_in": "3600"})
    assert (token.value, token.expires_at, token.expires_in) == ("jwt", 1768315011.0, 3600.0)


@pytest.mark.parametrize("end", [None, "2026-01-13T14:36:51Z", [], True, float("nan"), 10**400, "1" * 99])
def test_an_end_that_is_no_number_is_not_known(end: object) -> None:
    token = wire.token({"token": "jwt", "expires_at": end, "expires_in": end})
    assert (token.expires_at, token.expires_in) == (None, None)


@pytest.mark.parametrize("value", [None, "", 7, "a b", "jwt\r\nx-evil: 1", "ə", "x" * 16385, ["jwt"]])
def test_a_token_that_could_not_travel_in_a_header_is_malformed_for_the_whole_brand(value: object) -> None:
    with pytest.raises(CloposError) as caught:
        wire.token({"token": value})
    assert (caught.value.reason, caught.value.brand_wide) == (Reason.MALFORMED, True)
    assert str(value) not in str(caught.value) or not value


def test_the_repr_of_a_token_does_not_have_it() -> None:
    assert "secret-jwt" not in repr(wire.token({"token": "secret-jwt", "expires_at": 1}))


# What is said to people


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"message": "Invalid token", "error": "unauthorized"}, "Invalid token"),
        ({"error": "not_found"}, "not_found"),
        ({"message": None, "error": ""}, "no message"),
        ({"message": "two\nlines\r\n\tand more"}, "two lines and more"),
        ({"message": ["a", "b"]}, "['a', 'b']"),
        ({"message": "\ud800"}, "\N{REPLACEMENT CHARACTER}"),
        ({"message": "x" * 10**6}, "x" * 199 + "…"),
    ],
)
def test_a_message_is_one_bounded_line(document: dict[str, Any], text: str) -> None:
    assert wire.message(document) == text


def test_an_identifier_is_empty_where_there_is_none() -> None:
    assert wire.identifier({"message": "Invalid token"}) == ""
    assert wire.identifier({"error": "Token expired"}) == "Token expired"


# Whatever Clopos sends

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=12),
    st.sampled_from(["1", "0", "2026-01-13T14:36:51Z", "\ud800", "x" * 300, 2**64, 1e308, "NaN"]),
)
KEYS = st.one_of(
    st.sampled_from(
        [*ROW, "can_print", "deleted_at", "data", "total", "sorts", "token", "expires_at", "message", "error"]
    ),
    st.text(max_size=4),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=8)),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(KEYS, JSON, max_size=8)


@given(DOCUMENTS)
@settings(max_examples=60)
def test_decoding_any_answer_gives_a_value_or_a_reason(document: dict[str, Any]) -> None:
    for decode in (wire.page, lambda answer: wire.venues(answer, "b"), wire.token):
        with suppress(CloposError):
            decode(document)
    for text in (wire.message(document), wire.identifier(document)):
        assert len(text) <= 200
        assert b"\n" not in text.encode()


@settings(max_examples=60)
@given(st.lists(st.one_of(JSON, st.builds(lambda row, more: {**row, **more}, st.just(ROW), DOCUMENTS)), max_size=5))
def test_any_rows_become_stations_that_labels_logs_and_stores_can_hold(rows: list[Any]) -> None:
    stations, unusable = wire.stations(rows)
    assert len(stations) + len(unusable) <= len(rows)
    for station in stations:
        assert 1 <= len(station.id) <= 200
        assert 1 <= len(station.name) <= 200
        (station.id + station.name).encode()
        for time in (station.created_at, station.updated_at):
            assert time is None or math.isfinite(time)
    for text in unusable:
        text.encode()
