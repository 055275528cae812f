"""What is wrong with a venue and its stations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import NamedTuple

from exporter.hours import expires
from exporter.ignoring import next_ignore_change
from exporter.incidents import conditions
from exporter.incidents.context import (
    FLAPPING,
    INACTIVE,
    OTHER_DELAY,
    PREPARING_SECONDS,
    PRINTING,
    REMOVED,
    STALE,
    VENUE,
    VenueContext,
    holds_since,
    is_unclear,
    switched_at,
)
from exporter.incidents.ledger import Members
from exporter.incidents.records import count_open, record_active, record_inactive, retires_in
from exporter.incidents.values import BrandSituation, Bulk, Candidate, IncidentRules, VenueSummary
from exporter.model import (
    Change,
    Ended,
    Incident,
    IncidentKind,
    Instant,
    Kind,
    StationState,
    VenueState,
)

AT_ONCE = 2
"""Stations that a venue must have for all of them to be one incident."""

_SOONER = frozenset({IncidentKind.KITCHEN_STATION_INACTIVE, IncidentKind.STATION_NOT_READY})


class VenueAssessment(NamedTuple):
    """What is decided about a venue; it has to be assessed again at `look_again_at`, epoch seconds."""

    state: VenueState
    changes: list[Change]
    summary: VenueSummary
    look_again_at: float


def assess_venue(
    state: VenueState, changes: Iterable[Change], rules: IncidentRules, now: Instant, situation: BrandSituation
) -> VenueAssessment:
    """Decide about a venue after a poll, with the changes that it brought, or when it is time to look again."""
    context = VenueContext(state, rules, now, situation)
    context.state = count_open(state, now, is_open=context.is_open, most=rules.stale_after)
    _look_when_rules_change(context)
    if context.is_known:
        conditions.note(context, changes)
        _record(context)
        conditions.assess(context)
    if not context.is_live:
        _close(context)
    elif context.is_known:
        _inactive(context)
    _stale(context)
    return VenueAssessment(context.result(), context.ledger.changes, _summary(context), context.ledger.look_again_at)


def _look_when_rules_change(context: VenueContext) -> None:
    context.ledger.look(expires(context.opening))
    if not context.is_live and context.opening.next_open is not None:
        context.ledger.look(context.opening.next_open - PREPARING_SECONDS)
    context.ledger.look(next_ignore_change(context.rules.ignore, context.wall))


def _record(context: VenueContext) -> None:
    records, clock = context.records, context.state.open_seconds
    for id_ in records.keys() - context.stations.keys():
        del records[id_]
    for id_, station_state in context.stations.items():
        record = records.get(id_)
        if station_state.status is False:
            record = record_inactive(record, station_state, clock, is_ignored=id_ in context.ignored)
            records[id_] = record
            if context.is_open:
                context.ledger.look(context.wall + max(1.0, retires_in(record, clock)))
        elif record is not None:
            records[id_] = record_active(record, clock)


def _close(context: VenueContext) -> None:
    ledger = context.ledger
    for key in list(ledger.now):
        if key.startswith((INACTIVE, FLAPPING, REMOVED)) or key == VENUE:
            if key.startswith(REMOVED) and not ledger.now[key].firing:
                continue  # It happened while nobody was there: said at opening.
            ledger.end(key, Ended.CLOSED)
        elif key.startswith(PRINTING) and ledger.now[key].firing:
            if context.wall - ledger.now[key].began_at >= conditions.NEWS_SECONDS:
                ledger.end(key, Ended.CLOSED)
            else:
                ledger.suspend(key)


# Inactive stations, one by one or all of them at once


def _inactive(context: VenueContext) -> None:
    ledger = context.ledger
    _end_inactive(context)
    candidates = {id_: one for id_, one in context.stations.items() if context.is_candidate(id_)}
    for id_, station_state in candidates.items():
        # The last clear status of a row that is unclear now is that of the past: not enough to begin with.
        if not is_unclear(station_state):
            context.hold_station(INACTIVE, _kind(context, station_state), station_state)
        if INACTIVE + id_ in ledger.now:
            ledger.become(INACTIVE + id_, _kind(context, station_state))
    own = {id_: one for id_, one in candidates.items() if _bulk(context, one) is None}
    group = _group(context, own)
    for id_, station_state in candidates.items():
        key = INACTIVE + id_
        if key not in ledger.now:
            continue
        cover = group if id_ in own else _bulk(context, station_state)
        if cover is not None and cover.firing:
            ledger.cover(key)
            continue
        incident = ledger.update(key, covered=False)
        if cover is None and not is_unclear(station_state):
            ledger.fire(key, incident.began_at + _delay(context, station_state))


def _end_inactive(context: VenueContext) -> None:
    for key, station_state in context.stations_with(INACTIVE):
        if station_state.status is False:
            if context.records[station_state.station.id].retired:
                context.ledger.end(key, Ended.RETIRED)
        else:
            # After an outage or a restart, that may be long before it is seen.
            at = switched_at(station_state)
            known = {"active_since": at} if at > context.ledger.now[key].began_at else {}
            context.ledger.end(key, Ended.ACTIVE_AGAIN, **known)


def _group(context: VenueContext, own: Mapping[str, StationState]) -> Incident | None:
    """Return the incident of all stations at once, where there is one; `own` are those that no bulk edit has."""
    ledger, group = context.ledger, context.ledger.now.get(VENUE)
    watched = [one for id_, one in context.stations.items() if context.is_watched(id_)]
    all_inactive = len(own) == len(watched) >= AT_ONCE
    if any(map(is_unclear, watched)) or (group is None and not all_inactive):
        return group
    members: Members = tuple((context.state.venue.id, id_) for id_ in own)
    kind = IncidentKind.VENUE_NO_ACTIVE_STATION if context.is_open else IncidentKind.STATION_NOT_READY
    if group is None:
        ledger.hold(VENUE, kind, venue=context.state.venue, members=members)
    elif group.kind is IncidentKind.STATION_NOT_READY:
        ledger.become(VENUE, kind)
    if all_inactive:
        at, is_exact = max(holds_since(one) for one in own.values())
        group = ledger.update(VENUE, members=members, details={"since" if is_exact else "since_at_least": at})
        single = {id_: ledger.now[INACTIVE + id_] for id_ in own}
        due = [one.began_at + _delay(context, own[id_]) for id_, one in single.items() if not one.firing]
        ledger.fire(VENUE, min([*due, group.began_at + context.rules.delay]))
    else:
        ledger.narrow(VENUE, members, context.excused(), context.rules.delay)
    return ledger.now.get(VENUE)


def _bulk(context: VenueContext, station_state: StationState) -> Bulk | None:
    return context.situation.bulk(switched_at(station_state))


def _kind(context: VenueContext, station_state: StationState) -> IncidentKind:
    incident = context.ledger.now.get(INACTIVE + station_state.station.id)
    if incident is not None and incident.kind is not IncidentKind.STATION_NOT_READY:
        return incident.kind  # As it was when it began, and also over a pause that is all preparation.
    if not context.is_open:
        return IncidentKind.STATION_NOT_READY
    is_kitchen = station_state.station.kind is Kind.KITCHEN
    return IncidentKind.KITCHEN_STATION_INACTIVE if is_kitchen else IncidentKind.STATION_INACTIVE


def _delay(context: VenueContext, station_state: StationState) -> float:
    return context.rules.delay + (0.0 if _kind(context, station_state) in _SOONER else OTHER_DELAY)


# The venue as a whole


def _stale(context: VenueContext) -> None:
    ledger, state, outage = context.ledger, context.state, context.outage
    if outage is None:
        if not state.restored:
            ledger.end(STALE, Ended.RECOVERED)
    elif context.situation.unreachable:
        if STALE in ledger.now and not ledger.now[STALE].firing:
            ledger.end(STALE, Ended.REPLACED)
    else:
        began_at = outage.since if state.last_success is None else state.last_success
        details = {"reason": outage.reason.value, "message": outage.message}
        ledger.hold(STALE, IncidentKind.VENUE_DATA_STALE, venue=state.venue, began_at=began_at, details=details)
        # Where nobody polls it, that shows of all the others first: then it is the brand.
        longer = 0.0 if outage is state.outage else context.rules.stale_after / 2
        ledger.fire(STALE, max(began_at, context.situation.reachable_since) + context.rules.stale_after + longer)


def _summary(context: VenueContext) -> VenueSummary:
    state = context.state
    is_polled = state.up is not None and (state.outage is not None or not state.restored)
    candidates = tuple(
        _candidate(context, id_, station_state)
        for id_, station_state in context.stations.items()
        if context.is_candidate(id_)
    )
    stale = context.ledger.now.get(STALE)
    return VenueSummary(
        is_open=context.is_open,
        is_polled=is_polled,
        is_stale=stale is not None and stale.firing,
        outage=context.outage if is_polled else None,
        candidates=candidates,
        excused=tuple(context.excused().items()),
    )


def _candidate(context: VenueContext, id_: str, station_state: StationState) -> Candidate:
    incident = context.ledger.now.get(INACTIVE + id_)
    due = inf
    if incident is not None and context.is_known and not is_unclear(station_state):
        due = incident.began_at + _delay(context, station_state)
    return Candidate(id_, switched_at(station_state), due, context.is_live, incident is not None and incident.firing)
