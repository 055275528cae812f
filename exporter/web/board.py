"""The board of all venues: one tile each, worst first, rendered anew only where something changed."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from exporter.model import Instant, Kind, StationState, Venue, VenueKey
from exporter.views import VenueView
from exporter.web import troubles, words
from exporter.web.troubles import RETIRED_SECONDS, Level, Trouble

LATE = 3
"""Poll intervals after which data counts as late."""

_PLAIN = str.maketrans({"ə": "e", "\N{LATIN SMALL LETTER DOTLESS I}": "i"})


@dataclass(frozen=True, slots=True)
class Tile:
    """A venue on the board. `active` of `total` stations are active; `text` is what a search looks through."""

    view: VenueView
    level: Level
    troubles: Sequence[Trouble]
    active: int
    total: int
    text: str
    html: tuple[Markup, Markup]
    holds_until: float

    @property
    def venue(self) -> Venue:
        """Give the venue."""
        return self.view.state.venue

    @property
    def rank(self) -> tuple[int, int, int, str, VenueKey]:
        """Give what to sort by: worst first, then by name."""
        levels = [trouble.level for trouble in self.troubles]
        urgent, notices = levels.count(Level.URGENT), levels.count(Level.NOTICE)
        return (-self.level, -urgent, -notices, self.venue.name.casefold(), self.venue.key)

    def shows(self, view: VenueView, now: float) -> bool:
        """Tell whether the tile still shows all of a view but its age."""
        mine, new = self.view, view
        return (
            new.state.stations is mine.state.stations
            and (new.state.outage, new.state.venue) == (mine.state.outage, mine.state.venue)
            and (new.stale, new.ignored, new.opening) == (mine.stale, mine.ignored, mine.opening)
            and now < self.holds_until
        )

    def render(self, view: VenueView, now: Instant) -> Markup:
        """Put the age of the data in."""
        before, after = self.html
        return before + _age(view, now) + after


class Board:
    """Keep tiles between requests. `template` renders one from a venue's view, its level, troubles and an age."""

    def __init__(self, template: Callable[..., str]) -> None:
        self._template = template
        self._tiles: Mapping[VenueKey, Tile] = {}
        self._gap = Markup(secrets.token_hex())  # noqa: S704 - hexadecimal digits

    def tiles(self, views: Iterable[VenueView], now: float) -> list[Tile]:
        """Give the tiles of all venues, worst first. `now` is epoch seconds."""
        known = self._tiles
        tiles = {}
        for view in views:
            key = view.state.venue.key
            tile = known.get(key)
            tiles[key] = tile if tile is not None and tile.shows(view, now) else self._make(view, now)
        self._tiles = tiles
        return sorted(tiles.values(), key=lambda tile: tile.rank)

    def _make(self, view: VenueView, now: float) -> Tile:
        found = troubles.station_troubles(view, now)
        level = troubles.level(view, found)
        venue, stations = view.state.venue, view.stations
        active = sum(station_state.station.active is True for station_state in stations.values())
        html = self._template(
            view=view, level=level, troubles=found, active=active, stations=in_order(stations), age=self._gap
        )
        before, _, after = html.partition(str(self._gap))
        names = [
            venue.name,
            venue.id,
            venue.brand,
            *(station_state.station.name for station_state in stations.values()),
        ]
        retiring = [trouble.station_state.since + RETIRED_SECONDS for trouble in found]
        return Tile(
            view=view,
            level=level,
            troubles=found,
            active=active,
            total=len(stations),
            text=searchable("\n".join(names)),
            html=(Markup(before), Markup(after)),  # noqa: S704 - comes out of the template
            holds_until=min((moment for moment in retiring if moment > now), default=float("inf")),
        )


def in_order(stations: Mapping[str, StationState]) -> list[StationState]:
    """Give stations as people look for them: kitchen first, then by name."""
    return sorted(
        stations.values(), key=lambda one: (one.station.kind is not Kind.KITCHEN, one.station.name.casefold())
    )


def searchable(text: str) -> str:
    """Fold case and accents, so that what is typed in plain letters is found."""
    decomposed = unicodedata.normalize("NFKD", text).casefold().translate(_PLAIN)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def is_late(view: VenueView, now: Instant) -> bool:
    """Tell whether polls should have brought newer data by now."""
    return view.state.fresh_at is not None and now.monotonic - view.state.fresh_at > LATE * view.interval


def _age(view: VenueView, now: Instant) -> Markup:
    if view.state.fresh_at is None:
        return Markup('<span class="age">no data yet</span>')
    text = words.duration(now.monotonic - view.state.fresh_at)
    if is_late(view, now):
        return Markup('<span class="age late">data is {} old</span>').format(text)
    return Markup('<span class="age"><span class="vh">data is </span>{}<span class="vh"> old</span></span>').format(
        text
    )
