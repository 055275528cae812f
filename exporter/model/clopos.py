"""What Clopos has and answers: venues and stations, and the outcomes of polls and discoveries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

EMPTY: Mapping[Any, Any] = MappingProxyType({})

VenueKey = tuple[str, str]
"""Brand and venue id: what makes a venue unique across everything that is watched."""


DEFAULT_VENUE = "default"
"""Id of the venue that a token belongs to: requests for it name none."""


class Instant(NamedTuple):
    """One moment on both clocks: `wall` is epoch seconds for people, `monotonic` is monotonic seconds for ages."""

    wall: float
    monotonic: float


class Kind(StrEnum):
    """What a station is, from Clopos' `type`: 1 kitchen, 0 other."""

    KITCHEN = "kitchen"
    OTHER = "other"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a poll failed: the fixed list behind the `reason` label."""

    BAD_REQUEST = "bad_request"
    CLIENT_DISABLED = "client_disabled"
    CONNECTION = "connection"
    CREDENTIALS = "credentials"
    FORBIDDEN = "forbidden"
    GATEWAY = "gateway"
    GATEWAY_TIMEOUT = "gateway_timeout"
    INCOMPLETE = "incomplete"
    INTEGRATOR = "integrator"
    INTERNAL = "internal"
    MALFORMED = "malformed"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    REDIRECTED = "redirected"
    TEST_MODE = "test_mode"
    THROTTLED = "throttled"
    TIMEOUT = "timeout"
    TLS = "tls"
    TOKEN = "token"  # noqa: S105 - the name of a reason, not a token
    TOO_LARGE = "too_large"

    @property
    def is_configuration(self) -> bool:
        """Return whether only a person can fix it, so that asking again soon is of no use."""
        return self in _OF_CONFIGURATION


_OF_CONFIGURATION = {
    Reason.BAD_REQUEST,
    Reason.CLIENT_DISABLED,
    Reason.CREDENTIALS,
    Reason.FORBIDDEN,
    Reason.INTEGRATOR,
    Reason.TEST_MODE,
    Reason.TOKEN,
}


@dataclass(frozen=True, slots=True)
class Venue:
    """A restaurant under a brand. Ids are strings; `name` is for people and may change."""

    brand: str
    id: str
    name: str

    @property
    def key(self) -> VenueKey:
        """Return what stays the same when the venue is renamed."""
        return (self.brand, self.id)


@dataclass(frozen=True, slots=True)
class Station:
    """One row of Clopos' answer, decoded. Times are epoch seconds; None is what Clopos did not say clearly."""

    id: str
    name: str
    kind: Kind
    active: bool | None
    printable: bool | None
    created_at: float | None
    updated_at: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The outcome of a complete poll: every station of a venue, each id once.

    `duration` is in seconds; `requests` is how many pages it took. `unusable` describes rows without a usable id and
    how a list contradicts itself: where there is any, stations may be missing, so that absence proves nothing.
    """

    stations: tuple[Station, ...]
    at: Instant
    duration: float = 0.0
    requests: int = 1
    unusable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """The outcome of anything that did not work: it travels as a value, like a success.

    `brand_wide` is True where login failed: no venue of the brand can be read until that is fixed. `fallback` holds the
    venues to poll meanwhile where the list of venues is refused and none is known yet.
    """

    reason: Reason
    message: str
    at: Instant
    duration: float = 0.0
    brand_wide: bool = False
    fallback: tuple[Venue, ...] = ()


@dataclass(frozen=True, slots=True)
class Discovery:
    """The outcome of a working login and venue discovery.

    `listed` says that the configuration lists the venues, so that one it does not list is gone for certain.
    `token_used` is False where Clopos was not asked for the list, so that nothing is known of whether it accepts the
    token.
    """

    venues: tuple[Venue, ...]
    at: Instant
    duration: float = 0.0
    listed: bool = False
    token_used: bool = True


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The outcome of a request that got past the login, whatever became of it."""

    at: Instant
    duration: float = 0.0
