from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pages_fakes import NOW, FakeSource, outage, station_state, venue_view

from exporter.model import Opening
from exporter.views import VenueView
from exporter.web.board import Board, searchable

DAY = 86_400.0
VIEW = venue_view("7", station_state("1", "Grill", active=False, since=6 * DAY), name="Port")


class Template:
    """Render a tile as its age, and count how often."""

    def __init__(self) -> None:
        self.rendered = 0

    def __call__(self, **given: Any) -> str:
        self.rendered += 1
        return f"<{given['age']}>"


def test_a_tile_is_rendered_once_while_nothing_but_its_age_changes() -> None:
    template = Template()
    board, source = Board(template), FakeSource()
    (tile,) = board.tiles([VIEW], NOW)
    assert "12 s" in tile.render(VIEW, source.now())
    later = replace(VIEW, state=replace(VIEW.state, polls=2, last_success=NOW + 20, fresh_at=VIEW.state.fresh_at + 20))  # type: ignore[operator]
    source.wall += 30
    (tile,) = board.tiles([later], source.wall)
    assert "22 s" in tile.render(later, source.now())
    assert template.rendered == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda view: replace(view, stale=True),
        lambda view: replace(view, ignored=frozenset({"1"})),
        lambda view: replace(view, opening=Opening(is_open=False, next_open=None, next_close=None)),
        lambda view: replace(view, state=replace(view.state, outage=outage())),
        lambda view: replace(view, state=replace(view.state, stations=dict(view.state.stations))),
        lambda view: replace(view, state=replace(view.state, venue=replace(view.state.venue, name="New"))),
    ],
)
def test_a_tile_is_rendered_anew_when_what_it_shows_changes(change: Callable[[VenueView], VenueView]) -> None:
    template = Template()
    board = Board(template)
    board.tiles([VIEW], NOW)
    board.tiles([change(VIEW)], NOW)
    assert template.rendered == 2


def test_a_station_retires_by_time_alone() -> None:
    board = Board(Template())
    (before,), (after,) = board.tiles([VIEW], NOW), board.tiles([VIEW], NOW + 1.5 * DAY)
    assert before.level > after.level


def test_a_venue_that_is_gone_takes_its_tile_along() -> None:
    board = Board(Template())
    board.tiles([VIEW], NOW)
    assert board.tiles([], NOW) == []
    assert not board._tiles


@pytest.mark.parametrize(
    ("text", "plain"), [("Şəki", "seki"), ("IĞDIR", "igdir"), ("İçki", "icki"), ("Café 🍕", "cafe 🍕")]
)
def test_what_is_typed_in_plain_letters_is_found(text: str, plain: str) -> None:
    assert searchable(text) == plain
