"""What readers see: the state of a venue or brand together with what is in force for it at this moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import NamedTuple

from exporter.hours import Hours, expires
from exporter.ignoring import IgnoreRule, ignored, next_ignore_change
from exporter.model import BrandState, Instant, Opening, StationState, VenueState

NEVER = float("inf")

OVERDUE_SECONDS = 30.0
"""How much later than two intervals the next poll may end before a venue counts as not read: a request takes 20 s."""


@dataclass(frozen=True, slots=True)
class VenueRules:
    """What the configuration says of how a venue is shown.

    `stale_after` is in seconds; `time_zone` is None where none is configured. `back_office_url` is where people edit
    stations, empty where that is not configured.
    """

    stale_after: float = NEVER
    hours: Hours | None = None
    ignore: tuple[IgnoreRule, ...] = ()
    time_zone: tzinfo | None = None
    back_office_url: str = ""


def stale_after_in_force(stale_after: float, interval: float) -> float:
    """Return how long values are served: a venue that is read in time is never stale, however short the setting is."""
    return max(stale_after, 2 * interval)


@dataclass(frozen=True, slots=True)
class VenueView:
    """A venue as readers see it, until the monotonic time `valid_until`.

    `interval` is the poll interval in force, seconds. `stale` is True where the last values are too old to be shown,
    and `overdue` where a poll that was due could not be made. `ignored` holds the ids of stations that the
    configuration leaves out of the alerts now. `opening` is None where no hours are configured.
    """

    state: VenueState
    interval: float
    stale: bool = False
    ignored: frozenset[str] = frozenset()
    opening: Opening | None = None
    rules: VenueRules = VenueRules()
    overdue: bool = False
    valid_until: float = NEVER

    @classmethod
    def at(cls, state: VenueState, rules: VenueRules, interval: float, now: Instant) -> VenueView:
        """Return the view of a state at a moment."""
        expiries = [NEVER]  # monotonic
        stale = overdue = False
        if state.fresh_at is not None:
            stale_at = state.fresh_at + stale_after_in_force(rules.stale_after, interval)
            stale = now.monotonic >= stale_at
            expiries.append(NEVER if stale else stale_at)
        if state.polled_at is not None:
            overdue_at = state.polled_at + 2 * interval + OVERDUE_SECONDS
            overdue = now.monotonic >= overdue_at
            expiries.append(NEVER if overdue else overdue_at)
        left_out: frozenset[str] = frozenset()
        if rules.ignore and state.stations is not None:
            left_out = ignored(state.stations, rules.ignore, now.wall)
            expiries.append(now.monotonic + next_ignore_change(rules.ignore, now.wall) - now.wall)
        opening = None
        if rules.hours is not None:
            opening = rules.hours.at(now.wall)
            expiries.append(now.monotonic + expires(opening) - now.wall)
        return cls(state, interval, stale, left_out, opening, rules, overdue, min(expiries))

    def refreshed(self, now: Instant) -> VenueView:
        """Return the view of the same state at a later moment."""
        return VenueView.at(self.state, self.rules, self.interval, now)

    @property
    def up(self) -> bool | None:
        """Return whether the last poll was complete and the next is not overdue; None before the first."""
        return self.state.up and not self.overdue

    @property
    def stale_after(self) -> float:
        """Return for how long values of the venue are served while its polls fail, seconds."""
        return stale_after_in_force(self.rules.stale_after, self.interval)

    @property
    def stations(self) -> Mapping[str, StationState]:
        """Return the stations that may be shown: none before the first complete poll and none when stale."""
        return {} if self.stale or self.state.stations is None else self.state.stations


@dataclass(frozen=True, slots=True)
class BrandView:
    """A brand as readers see it: its state, the quota as Clopos last reported it, and how late its polls start.

    `owned` is False where another process polls the brand, and `owner` names the one that does, where several share a
    database and it is known. `token_expires_at` and `sunset_at` are epoch seconds,
    `poll_lag` and `interval` are seconds; None is what is not known yet.
    """

    state: BrandState
    quota_limit: int | None = None
    quota_remaining: int | None = None
    token_expires_at: float | None = None
    poll_lag: float | None = None
    polls_skipped: int = 0
    interval: float | None = None
    owned: bool = True
    owner: str | None = None
    sunset_at: float | None = None


@dataclass(frozen=True, slots=True)
class ChannelState:
    """A notification channel as readers see it.

    `up` is None before anything was sent. `failing_since` and `oldest_at` are epoch seconds, None where nothing fails
    or waits. `counts` are by outcome: messages that were sent, attempts that failed, and deliveries that expired or
    shared the message of another.
    """

    name: str
    up: bool | None
    failing_since: float | None
    problem: str
    queue_length: int
    oldest_at: float | None
    counts: Mapping[str, int]


class Scrape(NamedTuple):
    """An answer to a scrape: the chunks of its body are sent one after another."""

    chunks: Sequence[bytes]
    content_type: str
    content_encoding: str | None

    @property
    def body(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.chunks)
