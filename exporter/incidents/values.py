"""What the incidents of a venue, a brand and the process are decided from, as values."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from exporter.hours import Hours
from exporter.ignoring import IgnoreRule
from exporter.model import Ended, Outage


@dataclass(frozen=True, slots=True)
class IncidentRules:
    """What the configuration says of a venue. `delay` and `stale_after` are in seconds, the latter as in force."""

    hours: Hours | None = None
    ignore: tuple[IgnoreRule, ...] = ()
    delay: float = 120.0
    stale_after: float = 300.0


@dataclass(frozen=True, slots=True)
class BrandFacts:
    """What only the client of a brand knows; None is what is not known.

    `token_expires_at` is in epoch seconds, infinite where the token is renewed by itself. `clock_skew` is how many
    seconds the API's clock is ahead of ours.
    """

    token_expires_at: float | None = None
    clock_skew: float | None = None


class PartHealth(NamedTuple):
    """Whether a part of the process works, None where that is not known, and why it does not where that is known."""

    works: bool | None
    problem: str | None = None


class Candidate(NamedTuple):
    """An inactive station that somebody may have to know of.

    `switched_at` is when it was switched, `due` when an incident of its own fires (infinity: not as things are), both
    epoch seconds. `live` says that the venue is open or about to open. `fired` says that its own incident fires.
    """

    station_id: str
    switched_at: float
    due: float
    live: bool
    fired: bool


class VenueSummary(NamedTuple):
    """All that the incidents of a brand need of one of its venues.

    `is_polled` is False until this process has polled it. `is_stale` is True while an incident says that it cannot be
    read. `excused` says for inactive stations that are no candidates why.
    """

    is_open: bool = False
    is_polled: bool = False
    is_stale: bool = False
    outage: Outage | None = None
    candidates: tuple[Candidate, ...] = ()
    excused: tuple[tuple[tuple[str, str], Ended], ...] = ()


class Bulk(NamedTuple):
    """The times of change, from `begin` to `end`, that make inactive stations part of one bulk edit."""

    begin: float
    end: float
    firing: bool


@dataclass(frozen=True, slots=True)
class BrandSituation:
    """What the brand means for each of its venues.

    While it is `unreachable`, everything else about it is held back. `reachable_since` is when that ended last or when
    this process began, epoch seconds.
    """

    unreachable: bool = False
    reachable_since: float = -inf
    bulks: tuple[Bulk, ...] = ()

    def bulk(self, switched_at: float) -> Bulk | None:
        """Return the bulk edit to which a station belongs that was switched then."""
        return next((bulk for bulk in self.bulks if bulk.begin <= switched_at <= bulk.end), None)
