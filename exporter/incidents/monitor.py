"""The incidents of a brand and its venues, from poll to poll."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from math import inf
from typing import NamedTuple

from exporter.incidents.brand import BrandTally, assess_brand
from exporter.incidents.ledger import Ledger
from exporter.incidents.records import count_open
from exporter.incidents.values import BrandFacts, BrandSituation, IncidentRules
from exporter.incidents.venue import VenueAssessment, assess_venue
from exporter.model import BrandState, Change, Ended, Incident, Instant, Venue, VenueState

LATE_SECONDS = 120.0
"""Seconds after which a decision that time brings is late: the machine slept, or its clock was set forward."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be stored in one transaction: states that changed, and incident transitions in their order."""

    venues: tuple[VenueState, ...] = ()
    brand: BrandState | None = None
    changes: tuple[Change, ...] = ()


def end_all(incidents: Mapping[str, Incident], brand: str, ended: Ended, now: Instant) -> list[Change]:
    """Return the ends of all incidents of a venue or brand that is no longer polled."""
    ledger = Ledger(incidents, brand, now.wall)
    for key in incidents:
        ledger.end(key, ended)
    return ledger.changes


class _Assessed(NamedTuple):
    """What a venue was like when it was last assessed, and until when time alone changes nothing (epoch seconds).

    `is_silent` says that it had not been polled for too long.
    """

    state: VenueState
    is_open: bool
    is_silent: bool
    stale_after: float
    assessed_at: float
    look_again_at: float

    def holds_for(self, state: VenueState, now: Instant) -> bool:
        """Return whether assessing a state again would come to the same."""
        known = self.state
        return (
            self.assessed_at <= now.wall < self.look_again_at  # before: the clock was set back
            and not self.is_silent
            and state.stations is known.stations
            and state.incidents is known.incidents
            and state.records is known.records
            and state.outage is known.outage
            and state.restored is known.restored
            and state.up is known.up
            and state.partial_since == known.partial_since
        )


class BrandIncidents:
    """Decide about a brand and its venues.

    All that it keeps follows from the states, so that it can be made again from them at any time; `refresh` has to come
    first. `rules` returns what the configuration says of a venue, `venue` the present state of a venue by its id. One
    call at a time: under the brand's lock. `look_again_at`, which may be read without it, is when `due` has to be asked
    next, epoch seconds.
    """

    def __init__(
        self,
        rules: Callable[[Venue], IncidentRules],
        brand_rules: IncidentRules,
        venue: Callable[[str], VenueState],
        now: Instant,
    ) -> None:
        self._rules, self._brand_rules, self._venue = rules, brand_rules, venue
        self._tally = BrandTally()
        self._facts = BrandFacts()
        self._assessed: dict[str, _Assessed] = {}
        self._queue: list[tuple[float, str]] = []
        self._brand_assessed_at, self._brand_look_again_at = now.wall, inf
        self.situation = BrandSituation(reachable_since=now.wall)
        self.look_again_at = inf

    def after_poll(self, brand: BrandState, state: VenueState, changes: Sequence[Change], now: Instant) -> Decision:
        """Decide after a poll of a venue: with its new state, and the changes that the poll brought.

        The decision always holds the venue's state. A poll that brought nothing new costs a few microseconds.
        """
        known = self._assessed.get(state.venue.id)
        if known is not None and not changes and known.holds_for(state, now):
            return Decision((count_open(state, now, is_open=known.is_open, most=known.stale_after),))
        return self._decide(brand, {state.venue.id: (state, changes)}, now, polled=state.venue.id)

    def after_discovery(
        self,
        brand: BrandState,
        now: Instant,
        facts: BrandFacts | None = None,
        *,
        gone: Iterable[tuple[VenueState, Ended]] = (),
    ) -> Decision:
        """Decide after a login or a discovery, or when the facts about a brand changed.

        `gone` are the venues that are no longer polled, each with how its incidents end.
        """
        self._facts = facts or self._facts
        transitions: list[Change] = []
        for state, ended in gone:
            self._assessed.pop(state.venue.id, None)
            self._tally.update(state.venue.id, None)
            transitions += end_all(state.incidents, brand.brand, ended, now)
        decision = self._decide(brand, {}, now, brand_too=True)
        return replace(decision, changes=(*transitions, *decision.changes)) if transitions else decision

    def due(self, brand: BrandState, now: Instant) -> Decision:
        """Decide what time alone brings by now."""
        venues: dict[str, tuple[VenueState, Sequence[Change]]] = {}
        while self._queue and self._queue[0][0] <= now.wall:
            at, venue_id = heappop(self._queue)
            known = self._assessed.get(venue_id)
            if known is not None and known.look_again_at == at:
                venues[venue_id] = (self._venue(venue_id), ())
        return self._decide(brand, venues, now, brand_too=now.wall >= self._brand_look_again_at)

    def refresh(self, brand: BrandState, now: Instant, brand_rules: IncidentRules | None = None) -> Decision:
        """Decide about everything again: at a start, and where the configuration changed."""
        self._brand_rules = brand_rules or self._brand_rules
        # Also one that is polled only because the list of venues is refused.
        ids = dict.fromkeys([*(venue.id for venue in brand.venues or ()), *self._assessed])
        venues = {venue_id: (self._venue(venue_id), ()) for venue_id in ids}
        return self._decide(brand, venues, now, brand_too=True)

    def _decide(
        self,
        brand: BrandState,
        venues: Mapping[str, tuple[VenueState, Sequence[Change]]],
        now: Instant,
        *,
        brand_too: bool = False,
        polled: str | None = None,
    ) -> Decision:
        if now.wall < self._brand_assessed_at:  # The clock was set back.
            brand_too = True
            self.situation = replace(self.situation, reachable_since=min(self.situation.reachable_since, now.wall))
        if now.wall > self.look_again_at + LATE_SECONDS:  # Nothing could be read meanwhile.
            self.situation = replace(self.situation, reachable_since=now.wall)
        # Whether a station fires alone depends on the brand, and the brand on its venues: they are summed up first.
        first = {venue_id: self._assess(state, changes, now) for venue_id, (state, changes) in venues.items()}
        for venue_id, assessment in first.items():
            brand_too |= self._tally.update(venue_id, assessment.summary)
        transitions: list[Change] = []
        new_brand, before, todo = brand, self.situation, dict(venues)
        if brand_too:
            self._brand_assessed_at = now.wall
            new_brand, transitions, self.situation, self._brand_look_again_at = assess_brand(
                brand, self._tally, self._brand_rules, now, facts=self._facts, situation=before
            )
            for venue_id in self._affected(before):
                todo.setdefault(venue_id, (self._venue(venue_id), ()))
        decided = []
        for venue_id, (state, changes) in todo.items():
            again = self.situation is not before or venue_id not in first
            assessment = self._assess(state, changes, now) if again else first[venue_id]
            if self._keep(venue_id, assessment, now):
                self._brand_look_again_at = min(self._brand_look_again_at, now.wall)
            transitions += assessment.changes
            if venue_id == polled or assessment.state is not state:
                decided.append(assessment.state)
        self.look_again_at = min(self._brand_look_again_at, self._queue[0][0] if self._queue else inf)
        return Decision(tuple(decided), None if new_brand is brand else new_brand, tuple(transitions))

    def _assess(self, state: VenueState, changes: Sequence[Change], now: Instant) -> VenueAssessment:
        return assess_venue(state, changes, self._rules(state.venue), now, self.situation)

    def _affected(self, before: BrandSituation) -> Iterator[str]:
        """Yield the venues for which it makes a difference that the situation of the brand changed."""
        after = self.situation
        if before.unreachable != after.unreachable:
            yield from self._tally.outages()
        if before.bulks != after.bulks:
            for venue_id, candidate in self._tally.candidates():
                at = candidate.switched_at
                was, now = before.bulk(at), after.bulk(at)
                if (was and was.firing) != (now and now.firing):
                    yield venue_id

    def _keep(self, venue_id: str, assessment: VenueAssessment, now: Instant) -> bool:
        """Remember what a venue was like, and return whether that is new to the brand."""
        state, at = assessment.state, assessment.look_again_at
        self._assessed[venue_id] = _Assessed(
            state,
            assessment.summary.is_open,
            assessment.summary.outage not in (None, state.outage),
            self._rules(state.venue).stale_after,
            now.wall,
            at,
        )
        if at < inf:
            heappush(self._queue, (at, venue_id))
        if len(self._queue) > 4 * len(self._assessed) + 64:
            self._queue = [(one.look_again_at, id_) for id_, one in self._assessed.items() if one.look_again_at < inf]
            heapify(self._queue)
        return self._tally.update(venue_id, assessment.summary)
