"""What can be configured, in which words, and what holds where nothing is said.

Values arrive as text, from the file as from the environment, so that `brand: no` is a name and 007 keeps its zeros.
Whatever may be kept apart from the configuration, FROM_FILE, is given as `<key>_file` as well: the path of a file that
holds it. `load` resolves that, and checks what concerns more than one key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BeforeValidator, Field

from exporter.config.values import (
    NOT_EMPTY,
    BackOfficeUrl,
    BaseUrl,
    ChannelURL,
    DatabaseURL,
    Day,
    Duration,
    FilePath,
    Id,
    OpeningHours,
    Password,
    RepeatInterval,
    Text,
    TimeZone,
    Token,
    WebURL,
)
from exporter.document import Section, shown
from exporter.model import DEFAULT_VENUE, Topic

_SHORTEST_TOKEN = 20

FROM_FILE = ("client_id", "client_secret", "integrator_id", "token")
"""Keys of a brand that may be kept in a file of their own: `<key>_file` is its path. Elsewhere `url` may."""

CLOPOS_REQUESTS_PER_MINUTE = 300
"""What Clopos allows a brand for everything together."""


def _as_mapping(key: str) -> BeforeValidator:
    """Let a bare value stand for a mapping with this one key."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str | int) else value)


class Ignored(Section):
    """A station, by id or exact name, that is left out of the alerts: to the end of the day `until`, or for good."""

    station: Text
    until: Day | None = None


class ListedVenue(Section):
    """A venue to watch; its name comes from Clopos where none is given here."""

    id: Id
    name: Text | None = None


IgnoreList = tuple[Annotated[Ignored, _as_mapping("station")], ...]


class VenueSettings(Section):
    """What holds for one venue: `opening_hours` in OpenStreetMap's syntax, `time_zone` an IANA name."""

    opening_hours: OpeningHours | None = None
    time_zone: TimeZone | None = None
    ignore_stations: IgnoreList = ()


def _all_default_or_some(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in ("all", DEFAULT_VENUE):
        raise ValueError(f"{shown(value)} is none of them: write all, default, or a list such as [1, 7]")
    return None if value == "all" else [{"id": DEFAULT_VENUE}]


class Brand(Section):
    """One tenant of Clopos: with a token it is used as it is, without one we log in with the other credentials."""

    brand: Text
    client_id: Text | None = None
    client_secret: Password | None = None
    integrator_id: Text | None = None
    token: Token | None = None
    base_url: BaseUrl = "https://integrations.clopos.com/open-api/v2"
    allow_insecure_base_url: bool = False
    """Whether a `base_url` may send the secret in clear, over http to another machine."""
    back_office_url: BackOfficeUrl | None = None
    """Where people edit stations: the page links there. Where it is None there is no link."""
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 240
    """Our share of the 300 that Clopos allows a brand for everything together."""
    venues: Annotated[
        Annotated[tuple[Annotated[ListedVenue, _as_mapping("id")], ...], NOT_EMPTY] | None,
        BeforeValidator(_all_default_or_some),
    ] = None
    """None, in the file `all`, is every venue of the brand; DEFAULT_VENUE is the venue of the token itself."""
    time_zone: TimeZone | None = None
    opening_hours: OpeningHours | None = None
    ignore_stations: IgnoreList = ()
    venue_overrides: Mapping[Id, VenueSettings] = {}
    """By venue id. What an override says replaces the brand's word; stations to ignore are added to the brand's."""

    def venue(self, venue_id: str) -> VenueSettings:
        """Return what holds for a venue: its own override first, then the brand."""
        own = self.venue_overrides.get(venue_id, VenueSettings())
        return own.model_copy(
            update={
                "opening_hours": own.opening_hours or self.opening_hours,
                "time_zone": own.time_zone or self.time_zone,
                "ignore_stations": (*self.ignore_stations, *own.ignore_stations),
            }
        )


class State(Section):
    """Where states and events are kept: in a SQLite file, a PostgreSQL database, or in memory if neither is given."""

    path: FilePath | None = None
    url: DatabaseURL | None = None
    journal_retention: Duration = 90 * 86400.0


class IncidentSettings(Section):
    """When something becomes an incident."""

    delay: Duration = 120.0
    """How long a kitchen station must be inactive, in opening hours."""


class Channel(Section):
    """Where notifications go: `url` is an Apprise URL. None for brands or venues is all of them."""

    name: Text
    url: ChannelURL
    language: Literal["en", "az", "ru", "uz"] = "en"
    topics: Annotated[tuple[Topic, ...], NOT_EMPTY] = (Topic.STATIONS,)
    brands: Annotated[tuple[Text, ...], NOT_EMPTY] | None = None
    venues: Annotated[tuple[Id, ...], NOT_EMPTY] | None = None


class NotificationSettings(Section):
    """Who is notified, and how often."""

    group_wait: Duration = 30.0
    """What comes within this time goes into one message."""
    repeat_interval: RepeatInterval = None
    """How often to remind while an incident lasts; None, in the file `off`, is never."""
    max_age: Duration = 86400.0
    """What could not be delivered for so long is dropped."""
    channels: tuple[Channel, ...] = ()


class HeartbeatSettings(Section):
    """A dead man's switch: `url` is requested every `interval` while everything works."""

    url: WebURL
    interval: Duration = 60.0


class Settings(Section):
    """Everything that is configured. Durations are seconds."""

    poll_interval: Duration = 30.0
    """It is stretched automatically to keep a brand within its requests per minute."""
    stale_after: Duration = 300.0
    """How long last values outlive failing polls."""
    discovery_interval: Duration = 900.0
    ready_venues_percent: Annotated[int, Field(ge=0, le=100)] = 0
    """Which share of the venues must have been polled once before the process is ready."""
    brands: Annotated[tuple[Brand, ...], NOT_EMPTY]
    state: State = State()
    incidents: IncidentSettings = IncidentSettings()
    notifications: NotificationSettings = NotificationSettings()
    heartbeat: HeartbeatSettings | None = None
    shard: Annotated[int, Field(ge=0)] = 0
    total_shards: Annotated[int, Field(ge=1)] = 1
    """Of several processes that divide the brands, this is number `shard`, counted from 0."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return what must never be seen, for those who mask it: whole secrets, and the secret parts of URLs."""
        urls = [channel.url for channel in self.notifications.channels]
        urls += [url for url in (self.heartbeat and self.heartbeat.url, self.state.url) if url]
        parts = (part for url in urls for part in _secret_parts(url.get_secret_value()))
        both = (secret for brand in self.brands for secret in (brand.client_secret, brand.token))
        return (*(secret.get_secret_value() for secret in (*both, *urls) if secret), *parts)


def _secret_parts(url: str) -> Iterator[str]:
    """Return the password of a URL and what else in it looks like a token, as libraries repeat them on their own."""
    yield from re.findall(rf"[\w%+=-]{{{_SHORTEST_TOKEN},}}", url)
    try:
        password = urlsplit(url).password
    except ValueError:
        return
    yield from {password, unquote(password)} if password else ()
