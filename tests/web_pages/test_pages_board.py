from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pages_fakes import MONOTONIC, NOW, FakeSource, incident, outage, station_state, venue_view

from exporter.model import IncidentKind, Instant, Opening
from exporter.views import VenueView
from exporter.web.board import Board, searchable
from exporter.web.troubles import Level
from exporter.web.wording import wording_for

DAY = 86_400.0
AT = Instant(NOW, MONOTONIC)
VIEW = venue_view("7", station_state("1", "Grill", active=False, since=600.0), name="Port")


class Template:
    """Render a tile as its age, and count how often."""

    def __init__(self) -> None:
        self.rendered = 0
        self.with_brand: list[bool] = []

    def __call__(self, **given: Any) -> str:
        self.rendered += 1
        self.with_brand.append(given["with_brand"])
        return f"<{given['age']}>"


def test_a_tile_is_rendered_once_while_nothing_but_its_age_changes() -> None:
    template = Template()
    board, source = Board(template), FakeSource()
    (tile,) = board.tiles([VIEW], source.now())
    assert "12 sec" in tile.render(VIEW, source.now(), wording_for("en"))
    later = replace(VIEW, state=replace(VIEW.state, polls=2, last_success=NOW + 20, fresh_at=VIEW.state.fresh_at + 20))  # type: ignore[operator]
    source.wall += 30
    (tile,) = board.tiles([later], source.now())
    assert "22 sec" in tile.render(later, source.now(), wording_for("en"))
    assert template.rendered == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda view: replace(view, stale=True),
        lambda view: replace(view, overdue=True),
        lambda view: replace(view, state=replace(view.state, incidents={"k": incident(IncidentKind.STATION_FLAPPING)})),
        lambda view: replace(view, state=replace(view.state, restored=True)),
        lambda view: replace(view, ignored=frozenset({"1"})),
        lambda view: replace(view, opening=Opening(is_open=False, next_open=None, next_close=None)),
        lambda view: replace(view, state=replace(view.state, outage=outage())),
        lambda view: replace(view, state=replace(view.state, stations={})),
        lambda view: replace(view, state=replace(view.state, venue=replace(view.state.venue, name="New"))),
    ],
)
def test_a_tile_is_rendered_anew_when_what_it_shows_changes(change: Callable[[VenueView], VenueView]) -> None:
    template = Template()
    board = Board(template)
    for view in (VIEW, change(VIEW)):
        show(board, view)
    assert template.rendered == 2


def test_only_what_is_shown_is_rendered() -> None:
    template = Template()
    Board(template).tiles([VIEW], AT)
    assert not template.rendered


def show(board: Board, *views: VenueView) -> None:
    for view, tile in zip(views, sorted(board.tiles(views, AT), key=lambda tile: tile.venue.key), strict=True):
        tile.render(view, AT, wording_for("en"))


def test_data_grows_old_by_time_alone() -> None:
    board = Board(Template())
    (before,), (after,) = board.tiles([VIEW], AT), board.tiles([VIEW], Instant(NOW + DAY, MONOTONIC + DAY))
    assert (before.level, after.level) == (Level.URGENT, Level.NO_DATA)


def test_brands_are_named_as_soon_as_there_are_several() -> None:
    template = Template()
    board = Board(template)
    show(board, VIEW)
    show(board, VIEW, venue_view("8", brand="plov"))
    assert template.with_brand == [False, True, True]


def test_a_venue_that_is_gone_takes_its_tile_along() -> None:
    board = Board(Template())
    board.tiles([VIEW], AT)
    assert board.tiles([], AT) == []
    assert not board._tiles


@pytest.mark.parametrize(
    ("text", "plain"), [("Şəki", "seki"), ("IĞDIR", "igdir"), ("İçki", "icki"), ("Café 🍕", "cafe 🍕")]
)
def test_what_is_typed_in_plain_letters_is_found(text: str, plain: str) -> None:
    assert searchable(text) == plain
