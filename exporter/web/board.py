"""The board of all venues: one tile each, worst first, rendered where it is shown and kept until something changes."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from exporter.journal import Entry
from exporter.model import EMPTY, Instant, Kind, StationState, Venue, VenueKey
from exporter.views import VenueView
from exporter.web import troubles
from exporter.web.timeline import SLOT_SECONDS, day_history
from exporter.web.troubles import Level, Trouble, is_current
from exporter.web.wording import Wording

LATE = 3
"""Poll intervals after which data counts as late."""

_PLAIN = str.maketrans({"ə": "e", "\N{LATIN SMALL LETTER DOTLESS I}": "i"})


@dataclass(frozen=True)
class Tile:
    """A venue on the board. `active` of `total` stations are active; `template` renders it.

    `shown` is all that it was made from. `entries` are its changes of the last day before `made_at`, newest first. What
    is seen of few tiles only, text and HTML, is made when it is asked for.
    """

    view: VenueView
    level: Level
    troubles: Sequence[Trouble]
    active: int
    total: int
    is_current: bool
    with_brand: bool
    template: Callable[..., str]
    shown: tuple[object, ...]
    entries: Sequence[Entry]
    made_at: Instant

    @property
    def venue(self) -> Venue:
        """Return the venue."""
        return self.view.state.venue

    @cached_property
    def rank(self) -> tuple[int, int, int, str, VenueKey]:
        """Return what to sort by: worst first, then by name."""
        levels = [trouble.level for trouble in self.troubles]
        urgent, notices = levels.count(Level.URGENT), levels.count(Level.NOTICE)
        return (-self.level, -urgent, -notices, self.venue.name.casefold(), self.venue.key)

    def render(self, view: VenueView, now: Instant, texts: Wording) -> Markup:
        """Put the age of the data in."""
        before, after = self._html
        return before + _age(view, now, texts) + after

    @cached_property
    def text(self) -> str:
        """Return what a search looks through."""
        stations = (self.view.state.stations or {}).values()
        names = [station_state.station.name for station_state in stations]
        return searchable("\n".join([self.venue.name, self.venue.id, self.venue.brand, *names]))

    @cached_property
    def _html(self) -> tuple[Markup, Markup]:
        """Return what comes before the age of the data, and what after it."""
        stations = self.view.state.stations or {}
        gap = Markup(secrets.token_hex())  # noqa: S704 - hexadecimal digits
        seen_at = self.made_at.wall if self.is_current else self.view.state.last_success or 0.0
        html = self.template(
            view=self.view,
            history=day_history(stations.values(), self.entries, self.made_at.wall, seen_at) if stations else None,
            level=self.level,
            troubles=self.troubles,
            with_brand=self.with_brand,
            current=self.is_current,
            active=_active(stations),
            stations=in_order(stations),
            age=gap,
        )
        before, _, after = html.partition(str(gap))
        return Markup(before), Markup(after)  # noqa: S704 - comes out of the template


class Board:
    """Keep tiles between requests. `template` renders one; `give_way` may wait for a moment."""

    def __init__(self, template: Callable[..., str], give_way: Callable[[], None] = lambda: None) -> None:
        self._template, self._give_way = template, give_way
        self._tiles: Mapping[VenueKey, Tile] = {}
        self._with_brand = False

    def tiles(
        self, views: Iterable[VenueView], now: Instant, changes: Mapping[VenueKey, Sequence[Entry]] = EMPTY
    ) -> list[Tile]:
        """Return the tiles of all venues, worst first; `changes` are those of the last day, newest first."""
        views = list(views)
        with_brand = len({view.state.venue.brand for view in views}) > 1
        known = self._tiles if with_brand is self._with_brand else {}
        self._with_brand = with_brand
        tiles, slot = {}, int(now.wall // SLOT_SECONDS)
        for view in views:
            self._give_way()
            key, late = view.state.venue.key, is_late(view, now)
            tile, entries = known.get(key), changes.get(key, ())
            shown = (*_shown(view), late, slot, entries[0].id if entries else 0)
            if tile is None or tile.shown != shown:
                tile = self._make(view, now, entries, shown, is_late=late)
            tiles[key] = tile
        self._tiles = tiles
        return sorted(tiles.values(), key=lambda tile: tile.rank)

    def _make(
        self, view: VenueView, now: Instant, entries: Sequence[Entry], shown: tuple[object, ...], *, is_late: bool
    ) -> Tile:
        found = troubles.venue_troubles(view, is_late=is_late)
        level = troubles.level(view, found, is_late=is_late)
        stations = view.state.stations or {}
        current = is_current(view) and not is_late
        return Tile(
            view=view,
            level=level,
            troubles=found,
            active=_active(stations) if current else 0,
            total=len(stations) if current else 0,
            is_current=current,
            with_brand=self._with_brand,
            template=self._template,
            shown=shown,
            entries=entries,
            made_at=now,
        )


def _shown(view: VenueView) -> tuple[object, ...]:
    """Return all that a tile shows of a view but its age; what has not changed are the same objects as before."""
    state = view.state
    return (
        *(state.venue, state.stations, state.incidents, state.records, state.outage),
        *(view.stale, view.overdue, view.ignored, view.opening, is_current(view)),
    )


def _active(stations: Mapping[str, StationState]) -> int:
    return sum(station_state.station.active is True for station_state in stations.values())


def in_order(stations: Mapping[str, StationState]) -> list[StationState]:
    """Return stations as people look for them: kitchen first, then by name."""
    return sorted(
        stations.values(), key=lambda one: (one.station.kind is not Kind.KITCHEN, one.station.name.casefold())
    )


def searchable(text: str) -> str:
    """Fold case and accents, so that what is typed in plain letters is found."""
    decomposed = unicodedata.normalize("NFKD", text).casefold().translate(_PLAIN)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def is_late(view: VenueView, now: Instant) -> bool:
    """Return whether polls should have brought newer data by now."""
    return view.state.fresh_at is not None and now.monotonic - view.state.fresh_at > LATE * view.interval


def _age(view: VenueView, now: Instant, texts: Wording) -> Markup:
    if view.state.fresh_at is None:
        return Markup('<span class="age">{}</span>').format(texts.gettext("no data yet"))
    age = texts.duration(now.monotonic - view.state.fresh_at)
    late = " late" if is_late(view, now) else ""
    return Markup('<span class="age{}">{}</span>').format(late, texts.gettext("read {age} ago", age=age))
