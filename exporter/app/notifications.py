"""From the words of the configuration to the channels of the notifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from zoneinfo import ZoneInfo

from exporter.config import Settings
from exporter.config.settings import Brand, Channel
from exporter.errors import ConfigError, Fault
from exporter.model import Incident, Venue
from exporter.notify.channel import ChannelSettings
from exporter.notify.messages import Renderer
from exporter.notify.plan import Timing
from exporter.notify.transport import problem_of
from exporter.outbox import Route
from exporter.store import Store


@dataclass(frozen=True)
class TimeZones:
    """Return the time zone of an incident's venue or brand; of all brands, if they have the same, for other incidents.

    A value, as `StationNames` is, so that a reload which changes nothing is seen to change nothing.
    """

    brands: tuple[Brand, ...]

    def __call__(self, incident: Incident) -> tzinfo | None:
        """Return the time zone, None where none is configured."""
        venue_id = incident.venue.id if incident.venue else ""
        of = [brand for brand in self.brands if incident.brand in ("", brand.brand)]
        names = {brand.venue(venue_id).time_zone for brand in of}
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


def channel_settings(
    settings: Settings, names: Callable[[str, str, str], tuple[str, str]] | None = None
) -> list[ChannelSettings]:
    """Return what the notifier needs of every configured channel."""
    configured = settings.notifications
    timing = Timing(configured.group_wait, configured.repeat_interval, configured.max_age)
    return [
        ChannelSettings(
            channel.name,
            channel.url.get_secret_value(),
            Renderer(
                channel.language,
                TimeZones(settings.brands),
                show_brand=len(_brands(settings, channel)) > 1,
                **({} if names is None else {"names": names}),
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


def check_channels(settings: Settings) -> None:
    """Raise ConfigError with every channel whose URL no message can be sent to; nothing is sent."""
    faults = [
        Fault(f"notifications.channels[{index}].url", f"channel {channel.name}: {problem}")
        for index, channel in enumerate(settings.notifications.channels)
        if (problem := problem_of(channel.url.get_secret_value()))
    ]
    if faults:
        raise ConfigError(faults)


def _brands(settings: Settings, channel: Channel) -> list[str]:
    return [brand.brand for brand in settings.brands if channel.brands is None or brand.brand in channel.brands]
