"""Simulated weeks with a known truth: which messages were due, which were sent, and how late.

The decisions are those of the real code, on a simulated clock. The truth is a list of switches, outages, restarts and
opening hours, from which it is worked out apart from that code when somebody has to know of a station.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import heappop, heappush
from itertools import chain, pairwise
from math import inf
from random import Random
from statistics import median
from typing import NamedTuple

import pytest
from history import History

from exporter.hours import parse
from exporter.ignoring import IgnoreRule
from exporter.incidents import IncidentRules
from exporter.model import Change, Ended, Event, IncidentKind, Instant, VenueState

SEEDS = int(os.environ.get("WEEKS_SEEDS", "3"))
"""Histories of three weeks, calm and busy; 24 take seven minutes."""

DAY = 86400.0
DELAY, LATER, STALE_AFTER, INTERVAL = 120.0, 180.0, 300.0, 30.0
SLACK = 2 * INTERVAL + 5
HOURS = (
    "Mo-Su 10:00-02:00",
    "Mo-Th 11:00-23:00; Fr-Sa 11:00-03:00; Su 12:00-22:00",
    "Mo-Su 09:00-21:00; We off",
    None,
)
INACTIVE = frozenset({IncidentKind.KITCHEN_STATION_INACTIVE, IncidentKind.STATION_INACTIVE})
OF_STATIONS = INACTIVE | {
    IncidentKind.STATION_NOT_READY,
    IncidentKind.VENUE_NO_ACTIVE_STATION,
    IncidentKind.MANY_VENUES_INACTIVE,
}
OF_READING = frozenset({IncidentKind.VENUE_DATA_STALE, IncidentKind.BRAND_UNREACHABLE})
OVER = frozenset({Ended.ACTIVE_AGAIN, Ended.RECOVERED, Ended.REMOVED})
StationKey = tuple[str, str]


class Period(NamedTuple):
    begin: float
    end: float


def both(one: Iterable[Period], other: list[Period]) -> Iterator[Period]:
    """Yield the time that lies within both."""
    for a in one:
        for b in other:
            if max(a.begin, b.begin) < min(a.end, b.end):
                yield Period(max(a.begin, b.begin), min(a.end, b.end))


def rest(of: Period, without: Iterable[Period]) -> list[Period]:
    """Return the time that lies in none of them."""
    left, at = [], of.begin
    for begin, end in sorted(without):
        if begin > at:
            left.append(Period(at, min(begin, of.end)))
        at = max(at, end)
    return [*left, Period(at, of.end)] if at < of.end else left


@dataclass
class Truth:
    """What happens in some weeks, and what of it somebody has to know."""

    dice: Random
    begin: float
    days: int
    busy: bool
    venues: tuple[str, ...] = tuple(str(number) for number in range(1, 41))
    off: dict[StationKey, list[Period]] = field(default_factory=dict)
    open: dict[str, list[Period]] = field(default_factory=dict)
    preparing: dict[str, list[Period]] = field(default_factory=dict)
    unseen: dict[str, list[Period]] = field(default_factory=dict)
    outages: list[tuple[Period, tuple[str, ...]]] = field(default_factory=list)
    restarts: list[Period] = field(default_factory=list)
    retired: set[StationKey] = field(default_factory=set)
    ignored: set[StationKey] = field(default_factory=set)
    bulks: int = 0

    def __post_init__(self) -> None:
        self.all = Period(self.begin, self.begin + self.days * DAY)
        self.hours = {venue: self.dice.choice(HOURS) for venue in self.venues}
        for venue in self.venues:
            self.open[venue], self.preparing[venue] = self._opening(venue)
        for venue in self.venues:
            for id_ in "kgb":
                self.off[venue, id_] = list(self._switches())
            if self.dice.random() < 0.1:
                self.retired.add((venue, "g"))
                self.off[venue, "g"] = [Period(0.0, self.all.end)]
            elif self.dice.random() < 0.1:
                self.ignored.add((venue, "b"))
        self._bulk_edits()
        self._closing_down()
        for key, periods in self.off.items():
            self.off[key] = [one for one in rest(self.all, rest(self.all, periods)) if one.end - one.begin > 1]
        self._faults()

    def moment(self) -> float:
        return self.dice.uniform(self.all.begin + 3600, self.all.end - 3600)

    def _opening(self, venue: str) -> tuple[list[Period], list[Period]]:
        text = self.hours[venue]
        if text is None:
            return [self.all], []
        hours, at = parse(text, "Asia/Baku"), self.all.begin
        opened, preparing = [], []
        while at < self.all.end:
            opening = hours.at(at)
            until = opening.next_close if opening.is_open else opening.next_open
            assert until is not None
            if opening.is_open:
                opened.append(Period(at, until))
            else:
                preparing.append(Period(max(at, until - 1800), until))
            at = until
        return opened, preparing

    def _switches(self) -> Iterator[Period]:
        for _ in range(self.days):
            if self.dice.random() < (0.8 if self.busy else 0.08):
                begin = self.moment()
                length = self.dice.choice((20, 70, 110, 150, 250, 400, 1200, 3600, 3 * 3600, 12 * 3600, 30 * 3600))
                yield Period(begin, begin + length * self.dice.uniform(0.8, 1.2))

    def _bulk_edits(self) -> None:
        for _ in range(self.days // 5):
            begin, length = self.moment(), self.dice.choice((60, 900, 5000, 20000))
            chosen = self.dice.sample(self.venues, self.dice.choice((4, 6, 12, 40)))
            self.bulks += len(chosen) > 4
            for number, venue in enumerate(chosen):
                at = begin + number * self.dice.choice((0, 0, 8))
                self._add((venue, "k"), Period(at, at + length + self.dice.uniform(0, 200)))

    def _closing_down(self) -> None:
        """Let somebody switch everything in a venue off, one after another or at once."""
        for _ in range(self.days // (1 if self.busy else 3)):
            venue, begin, step = self.dice.choice(self.venues), self.moment(), self.dice.choice((0, 20, 200))
            length = self.dice.choice((90, 1000, 9000))
            for number, id_ in enumerate("kgb"):
                back = self.dice.choice((0, 30, 600))
                self._add((venue, id_), Period(begin + number * step, begin + length + number * back))

    def _add(self, key: StationKey, period: Period) -> None:
        if key not in self.retired:
            self.off[key].append(period)

    def _faults(self) -> None:
        for _ in range(self.days // 2):
            begin = self.moment()
            length = self.dice.choice((40, 200, 900, 5400))
            some = self.venues if self.dice.random() < 0.5 else tuple(self.dice.sample(self.venues, 2))
            self.outages.append((Period(begin, begin + length), some))
        for _ in range(self.days // 2):
            begin = self.moment()
            self.restarts.append(Period(begin, begin + self.dice.choice((20, 60, 900))))
        self.restarts = rest(self.all, rest(self.all, self.restarts))
        for venue in self.venues:
            self.unseen[venue] = [period for period, some in self.outages if venue in some] + self.restarts

    # What somebody has to know

    def switched_at(self, key: StationKey, at: float) -> float | None:
        """Return when a station was switched off that is off at a time."""
        return next((one.begin for one in self.off[key] if one.begin <= at < one.end), None)

    def off_since(self, key: StationKey, at: float) -> float:
        """Return since when a station is off for all that could be seen: it may have been on between two polls."""
        since = at
        for begin, end in reversed([one for one in self.off[key] if one.begin <= at]):
            on = rest(Period(end, since), self.unseen[key[0]])
            if since < at and any(one.end - one.begin > INTERVAL for one in on):
                break
            since = begin
        return since

    def is_live(self, venue: str, kind: IncidentKind, at: float) -> bool:
        """Return whether it is a time at which such an incident may fire in a venue."""
        now = [Period(at, at + 1)]
        is_open, is_preparing = (any(both(one[venue], now)) for one in (self.open, self.preparing))
        if kind is IncidentKind.MANY_VENUES_INACTIVE:
            return is_open or is_preparing
        return is_preparing if kind is IncidentKind.STATION_NOT_READY else is_open

    def was(self, key: StationKey, since: float, until: float, *, off: bool) -> bool:
        """Return whether a station was so at any moment of some time."""
        within = Period(since, until + 0.001)
        periods = list(both(self.off[key], [within]))
        return bool(periods if off else rest(within, periods))

    def due(self) -> Iterator[tuple[StationKey, Period]]:
        """Yield who has to be known of, the time that nobody could miss it, and by when."""
        for key, periods in self.off.items():
            if key in self.retired | self.ignored:
                continue
            venue, id_ = key
            seen = rest(self.all, [Period(one.begin, one.end) for one in self.unseen[venue]])
            for live, delay in ((self.open, DELAY + (LATER if id_ == "b" else 0)), (self.preparing, DELAY)):
                for period in both(both(periods, live[venue]), seen):
                    if period.end - period.begin > delay + SLACK:
                        yield key, Period(period.begin, period.begin + delay + SLACK)

    def outages_due(self) -> Iterator[tuple[str, float]]:
        """Yield venues that nobody could read for long, and by when somebody has to know."""
        wide = [period for period, some in self.outages if some == self.venues]
        cuts = sorted(chain.from_iterable((*wide, *self.restarts)))  # the time to wait begins again with each
        for venue in self.venues:
            for begin, end in rest(self.all, rest(self.all, [one for one, some in self.outages if venue in some])):
                for since, until in pairwise((begin, *(cut for cut in cuts if begin < cut < end), end)):
                    if until - since > STALE_AFTER + SLACK:
                        yield venue, since + STALE_AFTER + SLACK


@dataclass
class Outcome:
    """What came of it."""

    due: int = 0
    outages: int = 0
    sent: int = 0
    false: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    muted: list[str] = field(default_factory=list)
    resolved_while_off: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        late = f"delay median {median(self.delays):.0f} s, at most {max(self.delays):.0f} s" if self.delays else ""
        return (
            f"due {self.due} and {self.outages} outages, sent {self.sent}, false {len(self.false)}, "
            f"missed {len(self.missed)}, muted {len(self.muted)}, "
            f"resolved while off {len(self.resolved_while_off)}; {late}"
        )


class Weeks(History):
    """Play the truth through the real decisions."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(venues=len(truth.venues), begin="2026-11-02T12:00", interval=INTERVAL, delay=DELAY)
        self.truth, self.outcome = truth, Outcome()
        self.away, self.planned = False, 0
        for venue in truth.venues:
            self.rows[venue]["g"] = self.station("g", "Grill")
            ignore = tuple(IgnoreRule(id_) for one, id_ in truth.ignored if one == venue)
            self.own_rules[venue] = IncidentRules(self.hours(truth.hours[venue]), ignore, DELAY)
        for venue, id_ in truth.retired:
            self.edit(id_, venue, active=False, updated_at=self.now.wall - 20 * DAY)
        self.lost: Counter[str] = Counter()
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        for venue in truth.venues:
            self._plan(truth.begin, partial(self._poll, venue))
        for (venue, id_), periods in truth.off.items():
            for begin, end in periods:
                if (venue, id_) not in truth.retired:
                    self._plan(begin, partial(self._switch, venue, id_, active=False))
                    self._plan(end, partial(self._switch, venue, id_, active=True))
        for period, venues in truth.outages:
            self._plan(period.begin, partial(self._reach, venues, 1))
            self._plan(period.end, partial(self._reach, venues, -1))
        for period in truth.restarts:
            self._plan(period.begin, self._kill)
            self._plan(period.end, self._start)
        self._plan_checks()

    def _plan_checks(self) -> None:
        for key, period in self.truth.due():
            self._plan(period.end, partial(self._check, key, period))
        for venue, at in self.truth.outages_due():
            self._plan(at, partial(self._check_outage, venue))

    def _plan(self, at: float, act: Callable[[], None]) -> None:
        self.planned += 1
        heappush(self.queue, (at, self.planned, act))

    def _plan_poll(self, venue: str) -> None:
        """Poll a venue at its next turn. Between, polls would show nothing new, and need not be played."""
        offset = INTERVAL * int(venue) / len(self.truth.venues)
        rounds = (self.now.wall - self.truth.begin - offset) // INTERVAL + 1
        self._plan(self.truth.begin + offset + rounds * INTERVAL, partial(self._poll, venue))

    def _state(self, id_: str) -> VenueState:
        """Return a state as if those polls had been played too."""
        state = self.states[id_]
        return state if state.fresh_at is None else replace(state, fresh_at=inf)

    def play(self) -> Outcome:
        taken = 0
        while self.queue and self.queue[0][0] <= self.truth.all.end:
            at, _, act = heappop(self.queue)
            if self.away:
                self.now = Instant(at, self.now.monotonic + at - self.now.wall)
            else:
                self.wait(max(0.0, at - self.now.wall))
            act()
            for wall, change in self.log[taken:]:
                self._judge_change(wall, change)
            taken = len(self.log)
        return self.outcome

    def _poll(self, venue: str) -> None:
        if not self.away:
            self.poll(venue)

    def _switch(self, venue: str, id_: str, active: bool) -> None:  # noqa: FBT001 - what happens to a station
        self.edit(id_, venue, active=active)
        self._plan_poll(venue)

    def _reach(self, venues: tuple[str, ...], outages: int) -> None:
        for venue in venues:
            self.lost[venue] += outages
            (self.lose if self.lost[venue] else self.find)(venue)
            self._plan_poll(venue)

    def _kill(self) -> None:
        self.away = True

    def _start(self) -> None:
        self.away = False
        self.restart(0.0)
        for venue in self.truth.venues:
            self._plan_poll(venue)

    def _retires(self, key: StationKey, at: float) -> bool:
        since = self.truth.switched_at(key, at)
        return since is not None and at - since > 6 * DAY

    def _check(self, key: StationKey, period: Period) -> None:
        """Look whether somebody knows of a station who has to by now."""
        if self._retires(key, self.now.wall):
            return
        self.outcome.due += 1
        firing = [one for one in self.incidents() if one.firing and one.kind in OF_STATIONS]
        own = [one for one in firing if one.venue and (one.venue.id, one.station_id) == key]
        groups = [one for one in firing if key in one.members]
        if not own and not groups:
            incident = self.states[key[0]].incidents.get(f"inactive:{key[1]}")
            name = f"{key} off since {period.begin - self.truth.begin:.0f} at {self.now.wall - self.truth.begin:.0f}"
            covered = incident is not None and incident.covered
            (self.outcome.muted if covered else self.outcome.missed).append(f"{name}: {incident}")
            return
        fired = min(one.fired_at for one in [*own, *groups] if one.fired_at is not None)
        self.outcome.delays.append(max(0.0, fired - period.begin))

    def _check_outage(self, venue: str) -> None:
        """Look whether somebody knows that a venue is not read."""
        if self.away:
            return
        self.outcome.outages += 1
        firing = [one for one in self.incidents() if one.firing and one.kind in OF_READING]
        if not any(one.venue is None or one.venue.id == venue for one in firing):
            self.outcome.missed.append(f"{venue} is not read at {self.now.wall - self.truth.begin:.0f}")

    def _judge_change(self, wall: float, change: Change) -> None:
        incident = change.incident
        assert incident is not None
        if incident.kind not in OF_STATIONS:
            return
        venue = incident.venue.id if incident.venue else ""
        members: tuple[StationKey, ...] = incident.members or ((venue, incident.station_id or ""),)
        said = f"{incident.kind.value} {members} at {wall - self.truth.begin:.0f}"
        if change.event is Event.INCIDENT_FIRING:
            self.outcome.sent += 1
            self.outcome.false += [f"{said}: {reason}" for reason in self._is_false(wall, incident.kind, members)]
            # A group that fired later has replaced it, and is no reason for silence.
            groups = [one for one in self.incidents() if one.fired_at is not None and one.fired_at < wall]
            if not incident.members and any(members[0] in one.members for one in groups):
                self.outcome.false.append(f"{said}: reported within a group already")
            return
        ended = Ended(change.details["ended"])
        if ended in OVER and not all(self._was_on(key, wall) for key in members):
            self.outcome.resolved_while_off.append(said)
        off = [key for key in members if not self._was_on(key, wall)]
        if ended is Ended.CLOSED and any(
            self.truth.is_live(one, IncidentKind.STATION_INACTIVE, wall) for one, _ in off
        ):
            self.outcome.false.append(f"{said}: ended as closed, and is open")

    def _was_on(self, key: StationKey, wall: float) -> bool:
        return self.truth.was(key, wall - INTERVAL - 1, wall, off=False)

    def _is_false(self, wall: float, kind: IncidentKind, members: tuple[StationKey, ...]) -> list[str]:
        """Return why nobody should have been notified that these stations are off."""
        truth, venue = self.truth, members[0][0]
        since = {key: truth.off_since(key, wall) for key in members}
        # What was switched back since the last poll cannot be known yet.
        on = [key for key in members if not truth.was(key, wall - INTERVAL - 1, wall, off=True)]
        times = sorted(since.values())
        many = kind is IncidentKind.MANY_VENUES_INACTIVE
        wrong = {
            "some do not count": set(members) & (truth.retired | truth.ignored),
            f"{on} are on": on,
            "all are off for a moment only": wall - times[0] < DELAY - 1,
            "no bulk edit": many
            and (len({one for one, _ in members}) < 5 or any(later - one > 601 for one, later in pairwise(times))),
            "nobody is there": not any(truth.is_live(one, kind, wall) for one, _ in members),
            "not all stations are off": not many
            and len(members) > 1
            and {(venue, id_) for id_ in self.rows[venue]} - truth.retired - truth.ignored - set(members),
        }
        return [reason for reason, holds in wrong.items() if holds]


def played(seed: int, *, busy: bool, days: int = 21) -> Weeks:
    """Play weeks through the real decisions; the log says what they were."""
    dice = Random(seed)  # noqa: S311 - the same weeks each time
    begin = History().now.wall - 21 * DAY
    weeks = Weeks(Truth(dice, begin, days, busy))
    weeks.now = Instant(begin, weeks.now.monotonic)
    weeks.play()
    return weeks


def assert_right(outcome: Outcome) -> None:
    assert outcome.due > 0
    assert outcome.outages > 0
    assert (outcome.false, outcome.missed, outcome.muted, outcome.resolved_while_off) == ([], [], [], [])


@pytest.mark.parametrize("busy", [False, True], ids=["calm", "busy"])
def test_a_week_brings_every_message_and_none_too_many(*, busy: bool) -> None:
    assert_right(played(99, busy=busy, days=7).outcome)


@pytest.mark.slow
@pytest.mark.parametrize("busy", [False, True], ids=["calm", "busy"])
def test_three_weeks_of_40_venues_bring_every_message_and_none_too_many(
    capsys: pytest.CaptureFixture[str], *, busy: bool
) -> None:
    total = Outcome()
    for seed in range(SEEDS):
        outcome = played(seed, busy=busy).outcome
        total.due += outcome.due
        total.sent += outcome.sent
        total.outages += outcome.outages
        total.delays += outcome.delays
        for name in ("false", "missed", "muted", "resolved_while_off"):
            getattr(total, name).extend(f"seed {seed}: {one}" for one in getattr(outcome, name))
    with capsys.disabled():
        print(f"\n{SEEDS} times three {'busy' if busy else 'calm'} weeks: {total}")  # noqa: T201 - asked for
    assert_right(total)
