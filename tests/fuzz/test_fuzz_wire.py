"""Whatever Clopos answers becomes a snapshot or a reason, is logged, served and stored, and never crashes."""

from __future__ import annotations

import json
from typing import Any

from hostile import REPLIES, ROWS, listing
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from targets import LOGIN, VENUES, Reply, are_emitted_as_json, polled, remembered_wholly, served_rightly

from exporter.clopos.transport import MAX_BYTES

bounded = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
seldom = settings(bounded, max_examples=25)


@bounded
@given(st.lists(REPLIES, min_size=2, max_size=6))
def test_any_answers_are_taken_or_refused_with_a_reason(replies: list[Reply]) -> None:
    state, emitted = polled([LOGIN, VENUES, *replies])
    are_emitted_as_json(emitted)
    served_rightly(state)


@seldom
@given(st.lists(st.lists(ROWS, max_size=4, unique_by=lambda row: str(row["id"])), min_size=1, max_size=4))
def test_a_history_of_hostile_rows_is_reported_served_and_remembered(pages: list[list[Any]]) -> None:
    bodies = [json.dumps(listing(rows, {})).encode() for rows in pages]
    assume(max(map(len, bodies)) <= MAX_BYTES)
    state, emitted = polled([LOGIN, VENUES, *map(Reply, bodies)])
    assert (state.polls, state.failures) == (len(pages), 0)
    are_emitted_as_json(emitted)
    served_rightly(state)
    remembered_wholly(state, emitted)


@bounded
@given(st.lists(REPLIES, min_size=1, max_size=4))
def test_any_answers_to_the_login_are_taken_or_refused_with_a_reason(replies: list[Reply]) -> None:
    polled(replies)


def test_thousands_of_stations_are_served() -> None:
    rows = [{"id": id_, "name": f"Tandir {id_}", "status": id_ % 2, "type": 1, "printable": 1} for id_ in range(3_000)]
    pages = [
        Reply(json.dumps({"success": True, "data": rows[at : at + 200], "total": len(rows)}).encode())
        for at in range(0, len(rows), 200)
    ]
    state, emitted = polled([LOGIN, VENUES, *pages])
    assert len(state.stations or {}) == 3_000
    assert len(emitted) == 1_500
    served_rightly(state)
