"""From the words of the configuration to the channels of the notifier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import tzinfo
from zoneinfo import ZoneInfo

from exporter.config import Settings
from exporter.config.settings import Brand
from exporter.model import Incident, IncidentKind, Venue
from exporter.notify.channel import ChannelSettings
from exporter.notify.messages import Renderer
from exporter.notify.plan import Timing
from exporter.outbox import Route, key
from exporter.store import Store
from exporter.views import BrandView, ChannelState, VenueView


@dataclass(frozen=True)
class TimeZones:
    """Return the time zone of an incident's venue or brand; of all brands, if they have the same, for other incidents.

    A value, as `StationNames` is, so that a reload which changes nothing is seen to change nothing.
    """

    brands: tuple[Brand, ...]

    def __call__(self, incident: Incident) -> tzinfo | None:
        """Return the time zone, None where none is configured."""
        return self.of(incident.brand, incident.venue.id if incident.venue else "")

    def of(self, brand: str = "", venue_id: str = "") -> ZoneInfo | None:
        """Return the time zone of a venue or brand, or of all brands, None where there is none or several."""
        names = {one.venue(venue_id).time_zone for one in self.brands if brand in ("", one.brand)}
        name = names.pop() if len(names) == 1 else None
        return ZoneInfo(name) if name else None


@dataclass(frozen=True)
class StationNames:
    """Return the names of a venue and of one of its stations, by brand and ids: the ids where they are not known."""

    store: Store

    def __call__(self, brand: str, venue_id: str, station_id: str) -> tuple[str, str]:
        """Return both names as they are now."""
        state = self.store.venue(Venue(brand, venue_id, venue_id))
        station = (state.stations or {}).get(station_id)
        return state.venue.name or venue_id, station.station.name if station else station_id


def channel_settings(settings: Settings, store: Store) -> list[ChannelSettings]:
    """Return what the notifier needs of every configured channel; the store has the names of venues and stations."""
    configured = settings.notifications
    timing = Timing(configured.group_wait, configured.repeat_interval, configured.max_age)
    return [
        ChannelSettings(
            channel.name,
            channel.url.get_secret_value(),
            Renderer(
                channel.language,
                TimeZones(settings.brands),
                StationNames(store),
                show_brand=sum(channel.brands is None or one.brand in channel.brands for one in settings.brands) > 1,
            ),
            timing,
        )
        for channel in configured.channels
    ]


def routes(settings: Settings) -> list[Route]:
    """Return which incidents go to which channel."""
    return [
        Route(
            channel.name,
            frozenset(channel.topics),
            None if channel.brands is None else frozenset(channel.brands),
            None if channel.venues is None else frozenset(channel.venues),
        )
        for channel in settings.notifications.channels
    ]


def goes_on(incident: Incident, firing: Iterable[Incident]) -> bool:
    """Return whether an incident is known to go on, so that people may be reminded of it.

    It is not while its venue or brand cannot be read: that is an incident of its own, which then goes on.
    """
    firing = tuple(firing)
    hidden = not incident.kind.hides_stations and any(
        one.kind.hides_stations and one.brand == incident.brand and one.venue in (None, incident.venue)
        for one in firing
    )
    return not hidden and key(incident) in map(key, firing)


def outage_of(channel: str, firing: Iterable[Incident]) -> Incident | None:
    """Return the incident that says that a channel is down, None where there is none."""
    down = (one for one in firing if one.kind is IncidentKind.CHANNEL_DOWN)
    return next((one for one in down if one.details.get("channel") == channel), None)


def problems(
    store_up: bool | None,  # noqa: FBT001 - a fact, not a switch
    channels: Iterable[ChannelState],
    brands: Iterable[BrandView],
    venues: Iterable[VenueView],
) -> Iterator[str]:
    """Yield what does not work: the heartbeat stays away until there is nothing of it."""
    if store_up is False:
        yield "the state cannot be written"
    for channel in channels:
        if channel.up is False:
            yield f"channel {channel.name} is down"
    for brand in brands:
        if brand.state.up is False:
            yield f"brand {brand.state.brand}: login or venue list fails"
    for name in sorted({view.state.venue.brand for view in venues if view.stale}):
        yield f"brand {name}: data is too old"
