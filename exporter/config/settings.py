"""What can be configured, in which words, and what holds where nothing is said.

Values arrive as text, from the file as from the environment, so that `brand: no` is a name and 007 keeps its zeros.
Whatever may be kept apart from the configuration, FROM_FILE, is given as `<key>_file` as well: the path of a file that
holds it. `load` resolves that, and checks what concerns more than one key.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from exporter.config.values import (
    BaseUrl,
    Day,
    Duration,
    FilePath,
    Id,
    OpeningHours,
    Password,
    Text,
    TimeZone,
    Token,
)
from exporter.document import shown
from exporter.model import EMPTY

_Item = TypeVar("_Item")

FROM_FILE = ("client_id", "client_secret", "integrator_id", "token")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_is_empty(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {key: value for key, value in data.items() if value is not None or key not in cls.model_fields}


def _as_mapping(key: str) -> BeforeValidator:
    """Let a bare value stand for a mapping with this one key."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str | int) else value)


class Ignored(_Frozen):
    """A station, by id or exact name, that is left out of the alerts: to the end of the day `until`, or for good."""

    station: Text
    until: Day | None = None


class ListedVenue(_Frozen):
    """A venue to watch; its name comes from Clopos where none is given here."""

    id: Id
    name: Text | None = None


IgnoreList = tuple[Annotated[Ignored, _as_mapping("station")], ...]


class VenueSettings(_Frozen):
    """What holds for one venue: `opening_hours` in OpenStreetMap's syntax, `time_zone` an IANA name."""

    opening_hours: OpeningHours | None = None
    time_zone: TimeZone | None = None
    ignore_stations: IgnoreList = ()


Overrides = Annotated[
    Mapping[Id, VenueSettings],
    AfterValidator(MappingProxyType),
    PlainSerializer(dict, return_type=dict[str, VenueSettings]),
]


def _not_empty(values: tuple[_Item, ...]) -> tuple[_Item, ...]:
    if not values:
        raise ValueError("must not be empty")
    return values


def _all_or_some(value: object) -> object:
    if isinstance(value, str) and value != "all":
        raise ValueError(f"{shown(value)} is neither: write all, or a list such as [1, 7]")
    return None if value == "all" else value


class Brand(_Frozen):
    """One tenant of Clopos: with a token it is used as it is, without one we log in with the other credentials."""

    brand: Text
    client_id: Text | None = None
    client_secret: Password | None = None
    integrator_id: Text | None = None
    token: Token | None = None
    base_url: BaseUrl = "https://integrations.clopos.com/open-api/v2"
    requests_per_minute: Annotated[int, Field(ge=1, le=300)] = 240
    """Our share of the 300 that Clopos allows a brand for everything together."""
    venues: Annotated[
        Annotated[tuple[Annotated[ListedVenue, _as_mapping("id")], ...], AfterValidator(_not_empty)] | None,
        BeforeValidator(_all_or_some),
    ] = None
    """None, in the file `all`, watches every venue of the brand."""
    time_zone: TimeZone | None = None
    opening_hours: OpeningHours | None = None
    ignore_stations: IgnoreList = ()
    venue_overrides: Overrides = Field(default_factory=lambda: EMPTY)
    """By venue id. What an override says replaces the brand's word; stations to ignore are added to the brand's."""

    def venue(self, venue_id: str) -> VenueSettings:
        """Give what holds for a venue: its own override first, then the brand."""
        own = self.venue_overrides.get(venue_id, VenueSettings())
        return own.model_copy(
            update={
                "opening_hours": own.opening_hours or self.opening_hours,
                "time_zone": own.time_zone or self.time_zone,
                "ignore_stations": (*self.ignore_stations, *own.ignore_stations),
            }
        )


class State(_Frozen):
    """Where states and events are remembered over a restart; without a path, in memory only."""

    path: FilePath | None = None
    journal_retention: Duration = 90 * 86400.0


class Settings(_Frozen):
    """Everything that is configured. Durations are seconds."""

    poll_interval: Duration = 30.0
    """As often as wished: it is stretched to keep a brand within its requests per minute."""
    stale_after: Duration = 300.0
    """How long last values outlive failing polls."""
    discovery_interval: Duration = 900.0
    brands: Annotated[tuple[Brand, ...], AfterValidator(_not_empty)]
    state: State = State()
    shard: Annotated[int, Field(ge=0)] = 0
    total_shards: Annotated[int, Field(ge=1)] = 1
    """Of several processes that divide the brands, this is number `shard`, counted from 0."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Give what must never be seen, for those who mask it."""
        both = (secret for brand in self.brands for secret in (brand.client_secret, brand.token))
        return tuple(secret.get_secret_value() for secret in both if secret)
