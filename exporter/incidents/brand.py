"""What is wrong with a brand: it cannot be reached, or many of its venues were switched inactive at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from math import inf
from typing import NamedTuple

from exporter.incidents.ledger import Ledger, Members
from exporter.incidents.values import BrandFacts, BrandSituation, Bulk, Candidate, IncidentRules, VenueSummary
from exporter.model import BrandState, Change, Ended, IncidentKind, Instant, Outage, Reason
from exporter.texts import remedy

BULK_SECONDS = 600.0
"""Stations that were switched within so many seconds of each other may be one bulk edit."""

BULK_VENUES, BULK_SHARE = 5, 0.1
"""How many venues, and which share of those that are open, make it one."""

MANY_FAILING = 2
"""Venues that have to fail before it may be the brand."""

LOGIN_SECONDS = 120.0
"""Seconds that a login may be refused."""

SKEW_SECONDS = 60.0
"""How far the clock may be from that of Clopos."""

TOKEN_SECONDS = 86400.0
"""Seconds before its end at which somebody has to supply a new token."""

_REFUSED = frozenset({Reason.BAD_REQUEST, Reason.FORBIDDEN, Reason.NOT_FOUND})

_UNREACHABLE, _SKEW, _TOKEN, _BULK = "unreachable", "skew", "token", "bulk:"


class BrandTally:
    """The summaries of a brand's venues, added up as they change."""

    def __init__(self) -> None:
        self.open = self.failing = self.refused = self.read = self.stale = 0
        self.inactive: dict[str, VenueSummary] = {}
        self.summaries: dict[str, VenueSummary] = {}

    def update(self, venue_id: str, summary: VenueSummary | None) -> bool:
        """Replace the summary of a venue (None: it is gone), and return whether that changes anything."""
        before = self.summaries.pop(venue_id, None)
        self.inactive.pop(venue_id, None)
        for one, sign in ((before, -1), (summary, 1)):
            if one is not None:
                self.open += sign * one.is_open
                self.failing += sign * (one.outage is not None)
                self.refused += sign * (one.outage is not None and one.outage.reason in _REFUSED)
                self.read += sign * (one.is_polled and one.outage is None)
                self.stale += sign * one.is_stale
        if summary is not None:
            self.summaries[venue_id] = summary
            if summary.candidates or summary.excused:
                self.inactive[venue_id] = summary
        return summary != before

    def candidates(self) -> Iterator[tuple[str, Candidate]]:
        """Yield every inactive station that counts, after the id of its venue."""
        for venue_id, summary in self.inactive.items():
            for candidate in summary.candidates:
                yield venue_id, candidate

    def excused(self) -> dict[tuple[str, str], Ended]:
        """Return why inactive stations do not count."""
        return {member: ended for summary in self.inactive.values() for member, ended in summary.excused}

    def outages(self) -> dict[str, Outage]:
        """Return the outages by venue."""
        return {venue_id: one.outage for venue_id, one in self.summaries.items() if one.outage is not None}

    def failing_since(self, outage: Outage) -> float:
        """Return since when the brand fails, epoch seconds, with an outage of it or of a venue that is part of that.

        A venue that was stale before has an outage of its own.
        """
        mine = (one.outage.since for one in self.summaries.values() if one.outage is not None and not one.is_stale)
        return min((outage.since, *mine))


class BrandAssessment(NamedTuple):
    """What is decided about a brand; it has to be assessed again at `look_again_at`, epoch seconds."""

    state: BrandState
    changes: list[Change]
    situation: BrandSituation
    look_again_at: float


def assess_brand(
    state: BrandState,
    tally: BrandTally,
    rules: IncidentRules,
    now: Instant,
    *,
    facts: BrandFacts,
    situation: BrandSituation,
) -> BrandAssessment:
    """Decide about a brand: after a discovery, when a summary of its venues changed, or when it is time.

    `situation` is what was decided last time.
    """
    ledger = Ledger(state.incidents, state.brand, now.wall)
    unreachable = _unreachable(ledger, state, tally, rules.stale_after, situation.reachable_since)
    since = now.wall if situation.unreachable and not unreachable else situation.reachable_since
    _token(ledger, facts.token_expires_at)
    _skew(ledger, facts.clock_skew)
    found = BrandSituation(unreachable, since, tuple(_bulks(ledger, tally, rules.delay)))
    if ledger.incidents is not state.incidents:
        state = replace(state, incidents=ledger.incidents)
    return BrandAssessment(state, ledger.changes, situation if found == situation else found, ledger.look_again_at)


def _unreachable(
    ledger: Ledger, state: BrandState, tally: BrandTally, stale_after: float, reachable_since: float
) -> bool:
    incident = ledger.now.get(_UNREACHABLE)
    # While others are read, venues that Clopos refuses are no sign that it cannot be reached, and must not hide one.
    lost = tally.failing - (tally.refused if tally.read else 0)
    most_fail = lost >= MANY_FAILING and lost > tally.read
    # By the time a single venue shows that the brand is lost, that may have been said of the venue.
    is_said = tally.stale > 0 and tally.failing <= tally.stale
    nothing_works = state.outage is not None and tally.failing > tally.stale and not tally.read
    login = state.login_outage
    if login is not None and login.reason.is_configuration:
        kind, delay, outage, began_at = IncidentKind.LOGIN_FAILING, LOGIN_SECONDS, login, login.since
    elif most_fail or nothing_works or (login is not None and not is_said):
        # A login that nobody answers is part of the outage, however it is noticed first.
        # What is wrong with the brand says more than that there was no room to ask, or that a venue is refused.
        outages = tally.outages().values()
        outage = login or state.outage or min(outages, key=lambda one: one.reason in {Reason.THROTTLED, *_REFUSED})
        kind, delay, began_at = IncidentKind.BRAND_UNREACHABLE, stale_after, tally.failing_since(outage)
    elif (
        incident is not None and incident.kind is IncidentKind.BRAND_UNREACHABLE and not tally.read and tally.summaries
    ):
        return True  # After a restart, before the first polls: nothing is known that could end it.
    else:
        ledger.end(_UNREACHABLE, Ended.RECOVERED)
        return False
    if incident is not None and incident.kind is IncidentKind.LOGIN_FAILING and kind is not incident.kind:
        # The login works again. Whether the venues do is not known before their next polls.
        ledger.end(_UNREACHABLE, Ended.RECOVERED)
        began_at = ledger.wall
    ledger.hold(_UNREACHABLE, kind, began_at=began_at)
    ledger.become(_UNREACHABLE, kind)
    details = {"reason": outage.reason.value, "message": outage.message, "remedy": remedy(outage.reason)}
    incident = ledger.update(_UNREACHABLE, details=details)
    # An outage may come from an earlier process, and this one may have been able to end it.
    ledger.fire(_UNREACHABLE, max(incident.began_at, reachable_since) + delay)
    return True


def _token(ledger: Ledger, expires_at: float | None) -> None:
    if expires_at is None:
        return
    if ledger.wall >= expires_at - TOKEN_SECONDS:
        ledger.hold(_TOKEN, IncidentKind.TOKEN_EXPIRING, details={"expires_at": expires_at})
        ledger.fire(_TOKEN, ledger.wall)
        return
    ledger.end(_TOKEN, Ended.RECOVERED)
    ledger.look(expires_at - TOKEN_SECONDS)


def _skew(ledger: Ledger, seconds: float | None) -> None:
    if seconds is None:
        return
    if abs(seconds) > SKEW_SECONDS:
        ledger.hold(_SKEW, IncidentKind.CLOCK_SKEW, details={"seconds": round(seconds)})
        ledger.fire(_SKEW, ledger.wall)
    elif abs(seconds) < SKEW_SECONDS / 2:  # with a distance, so that it does not come and go
        ledger.end(_SKEW, Ended.RECOVERED)


def _bulks(ledger: Ledger, tally: BrandTally, delay: float) -> Iterator[Bulk]:
    """Decide about bulk edits: those that are there already, which may have grown, and new ones."""
    spans = list(bulk_spans(tally))
    for key in sorted(ledger.keys(_BULK)):
        begin, end = ledger.now[key].details["from"], ledger.now[key].details["to"]
        met = [span for span in spans if span[0] <= end and begin <= span[1]]
        spans = [span for span in spans if span not in met]
        span = (min([begin, *(one[0] for one in met)]), max([end, *(one[1] for one in met)]))
        if _bulk(ledger, key, span, tally, delay if not met else None):
            yield Bulk(*span, ledger.now[key].firing)
    for span in spans:
        key = f"{_BULK}{span[0]}"
        if _bulk(ledger, key, span, tally, None):
            yield Bulk(*span, ledger.now[key].firing)


def _bulk(ledger: Ledger, key: str, span: tuple[float, float], tally: BrandTally, narrowing: float | None) -> bool:
    """Decide about one bulk edit, and return whether there still is one.

    `narrowing` is None while it is a bulk edit by its stations of now, else the seconds that what is left of it holds.
    """
    found = [(id_, candidate) for id_, candidate in tally.candidates() if span[0] <= candidate.switched_at <= span[1]]
    members: Members = tuple(sorted((venue_id, candidate.station_id) for venue_id, candidate in found))
    details = {"from": span[0], "to": span[1], "edit": key.removeprefix(_BULK)}
    incident = ledger.now.get(key)
    if incident is None or not incident.firing:
        # It fires when the first of its stations would, so that this one does not fire alone.
        due = min((candidate.due for _, candidate in found if not candidate.fired), default=inf)
        if narrowing is not None or due == inf:
            ledger.end(key, Ended.REPLACED)
            return False
        ledger.hold(key, IncidentKind.MANY_VENUES_INACTIVE)
        ledger.update(key, members=members, details=details)
        ledger.fire(key, due)
        return True
    if found and not any(candidate.live for _, candidate in found):
        ledger.end(key, Ended.CLOSED)
    elif narrowing is None or len({venue_id for venue_id, _ in found}) >= BULK_VENUES:
        ledger.update(key, members=members, details=details)
    elif not found or any(candidate.due < inf for _, candidate in found):  # else nobody can read what is left of it
        ledger.narrow(key, members, tally.excused(), narrowing)
    return key in ledger.now


def bulk_spans(tally: BrandTally) -> Iterator[tuple[float, float]]:
    """Yield the times of change within which many venues were switched together, merged where they overlap."""
    switched = sorted((candidate.switched_at, venue_id) for venue_id, candidate in tally.candidates())
    needed = max(BULK_VENUES, BULK_SHARE * tally.open)
    if len(tally.inactive) < needed:
        return
    within: Counter[str] = Counter()
    first = 0
    span: tuple[float, float] | None = None
    for at, venue_id in switched:
        within[venue_id] += 1
        while at - switched[first][0] > BULK_SECONDS:
            left = switched[first][1]
            within[left] -= 1
            if not within[left]:
                del within[left]
            first += 1
        if len(within) < needed:
            continue
        begin = switched[first][0]
        if span is not None and begin > span[1]:
            yield span
            span = None
        span = (begin, at) if span is None else (span[0], at)
    if span is not None:
        yield span
