"""What the requests, logs and messages of several processes show, once all is over: each check returns what is wrong.

Whatever happens to a process or its database, a brand's next owner goes on from what is stored. So an event or a
message may come twice where the brand got another owner in between, and what a process emitted while it could not write
may be forgotten. Nothing else is excused.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import inf
from typing import Any, NamedTuple

from test_notifications import ACTIVE, INACTIVE, WAS, notices

REQUESTS_PER_MINUTE = 60
SPACING = 60 / REQUESTS_PER_MINUTE
LIMIT = REQUESTS_PER_MINUTE * 300 // 240
"""Requests that Clopos allows in a minute to whoever configures this share of them."""

UNOWNED_SECONDS = 15.0
HANDOVER_SECONDS = 3.0
"""How long it may take until the new owner of a brand has logged that; what the last one left may come out before."""

NOT_MARKED_SECONDS = 20.0
"""Seconds before a takeover within which a message was perhaps not marked as sent: a lease, and what was under way."""

THAW_SECONDS = 2.0
"""How soon after SIGCONT a process has sent what it had begun to before SIGSTOP."""


class Asked(NamedTuple):
    """A request as the simulator saw it: `at` is monotonic, `token` is empty for a login."""

    at: float
    process: str
    brand: str
    endpoint: str
    venue: str | None
    token: str


class Line(NamedTuple):
    """An event in the log of a process: `at` is when it came out of it, monotonic."""

    at: float
    process: str
    event: dict[str, Any]


class Accepted(NamedTuple):
    """A message of a process that the receiver accepted, monotonic."""

    at: float
    process: str
    body: dict[str, Any]


@dataclass
class Trouble:
    """A fault: what happened to whom, and from when to when, monotonic; "" is the database and so everybody."""

    kind: str
    process: str
    start: float
    end: float = 0.0

    def __str__(self) -> str:
        return f"{self.start:9.2f} to {self.end:9.2f} {self.kind} {self.process}"

    def meets(self, at: float, process: str, margin: float = 0.0) -> bool:
        """Return whether it happened to a process at a time."""
        return self.process in ("", process) and self.start - margin <= at <= self.end + margin


# Requests


def polled_too_soon(requests: Sequence[Asked]) -> list[str]:
    """Return the polls of one venue that were closer to each other than two requests of a brand may be."""
    by_venue: defaultdict[tuple[str, str | None], list[Asked]] = defaultdict(list)
    for one in requests:
        if one.endpoint == "stations":
            by_venue[one.brand, one.venue].append(one)
    return [
        f"{venue}: polled by {before.process} at {before.at:.2f}, {after.process} at {after.at:.2f}"
        for venue, polls in by_venue.items()
        for before, after in pairwise(polls)
        if after.at - before.at < SPACING - 0.01
    ]


def asked_too_often(requests: Sequence[Asked]) -> list[str]:
    """Return where more was asked about a brand within a minute than Clopos allows."""
    return [
        f"{brand}: {LIMIT + 1} requests from {first:.2f} to {last:.2f}"
        for brand, times in _by_brand(requests).items()
        for first, last in zip(times, times[LIMIT:], strict=False)
        if last - first < 60.0
    ][:5]


def polled_by_two(requests: Sequence[Asked]) -> list[str]:
    """Return where a process asked for a brand after another had begun to: each has a token of its own."""
    faults = []
    for brand in {one.brand for one in requests}:
        mine = [one for one in requests if one.brand == brand and one.token]
        seen: set[str] = set()
        for token, group in groupby(mine, key=lambda one: one.token):
            first = next(group)
            if token in seen:
                faults.append(f"{brand}: {first.process} went on at {first.at:.2f}")
            seen.add(token)
    return faults


def unowned(requests: Sequence[Asked], lines: Iterable[Line], troubles: Sequence[Trouble]) -> list[tuple[float, str]]:
    """Return for every pause of a brand how long it lasted from the last fault within it on, and a description.

    A brand is owned when something is asked about it, and from the moment at which a process says that it owns it. What
    it does first is a login, which has to wait for those of other brands: each of them is a sign of it, as Clopos
    limits them, and with them how soon many brands can be polled.
    """
    lines = list(lines)
    found = []
    for brand in {one.brand for one in requests}:
        taken = [(line.at, line.process) for line in lines if _owns(line, brand)]
        signs = [(one.at, one.process) for one in requests if one.brand == brand]
        signs += [*taken, *_logins_before(requests, brand, taken)]
        for (before, old), (after, new) in pairwise(sorted(signs)):
            within = [
                at
                for trouble in troubles
                for at in ((trouble.start, trouble.end) if trouble.kind == "restart" else (trouble.start,))
                if before <= at <= after
            ]
            found.append((after - max([before, *within]), f"{brand}: {old} at {before:.2f}, {new} at {after:.2f}"))
    return sorted(found, reverse=True)


def _logins_before(
    requests: Sequence[Asked], brand: str, taken: Sequence[tuple[float, str]]
) -> Iterator[tuple[float, str]]:
    """Yield the logins of a brand's owners for other brands, before each first asks about it or another takes it."""
    for start, process in taken:
        ends = [at for at, _ in taken if at > start]
        ends += [one.at for one in requests if (one.brand, one.process) == (brand, process) and one.at > start]
        for one in requests:
            if (one.endpoint, one.process) == ("auth", process) and start < one.at < min(ends, default=inf):
                yield one.at, process


def logins_in_a_minute(requests: Sequence[Asked]) -> int:
    """Return how many logins there were within a minute at the most."""
    times = [one.at for one in requests if one.endpoint == "auth"]
    return max((sum(at <= other < at + 60 for other in times) for at in times), default=0)


# Events


def emitted_by_others(lines: Iterable[Line]) -> list[str]:
    """Return the events about a brand that came first from a process while another had it."""
    in_order = sorted(lines, key=lambda line: line.at)
    taken = {(line.process, line.event["brand"], line.at) for line in in_order if line.event["event"] == "brand.owned"}
    owner: dict[str, tuple[str, float]] = {}
    seen: set[str] = set()
    faults = []
    for line in in_order:
        name, brand = line.event["event"], line.event.get("brand", "")
        if name == "brand.owned":
            owner[brand] = (line.process, line.at)
        elif name.startswith(("station.", "venue.", "incident.")) and brand and _key(line) not in seen:
            seen.add(_key(line))
            process, since = owner.get(brand, (line.process, line.at))
            soon = any(
                (mine, of) == (line.process, brand) and line.at <= at <= line.at + HANDOVER_SECONDS
                for mine, of, at in taken
            )
            if process != line.process and line.at > since + 0.5 and not soon:
                faults.append(f"{line.at:.2f} {line.process} emits {name} of {brand}, which {process} has")
    return faults


def union(lines: Iterable[Line]) -> tuple[list[Line], list[str]]:
    """Return all changes in the order in which they came out, each once, and those that came again without reason."""
    first: dict[str, Line] = {}
    faults = []
    handovers = _handovers(lines)
    for line in sorted(lines, key=lambda line: line.at):
        if not line.event["event"].startswith(("station.", "incident.", "venue.added", "venue.removed")):
            continue
        before = first.setdefault(_key(line), line)
        if before is not line and not _between(handovers[line.event["brand"]], before.at, line.at):
            faults.append(f"{line.at:.2f} {line.process} repeats what {before.process} emitted: {_key(line)}")
    return list(first.values()), faults


def without_database(lines: Iterable[Line], end: float) -> list[Trouble]:
    """Return when each process could not write, as it says itself: what it emitted then may be lost with its lease."""
    found: list[Trouble] = []
    open_by: dict[str, Trouble] = {}
    for line in sorted(lines, key=lambda line: line.at):
        name = line.event["event"]
        if name == "store.unavailable":
            # It says so once the database has not answered for seconds.
            open_by.setdefault(line.process, Trouble("no database", line.process, line.at - 5.0, end))
        elif name in ("store.recovered", "exporter.started") and line.process in open_by:
            trouble = open_by.pop(line.process)
            trouble.end = line.at + 1.0
            found.append(trouble)
    return [*found, *open_by.values()]


def crashes(lines: Iterable[Line]) -> list[str]:
    """Return what should never be logged: faults of the exporter itself."""
    return [
        f"{line.at:.2f} {line.process}: {line.event}"
        for line in lines
        if "exception" in line.event or line.event["event"].endswith(".crashed") or line.event["level"] == "critical"
    ]


# Messages


class Transition(NamedTuple):
    """A beginning or an end in the log; `is_sure` unless the process could not write then."""

    at: float
    what: str
    is_sure: bool


class Heard(NamedTuple):
    """What people were sent of a station; `is_sure` unless it may have been begun long before."""

    at: float
    what: str
    is_sure: bool


_Way = tuple[float, ...]


def heard_differently(
    lines: Sequence[Line],
    accepted: Sequence[Accepted],
    *,
    unwritten: Sequence[Trouble] = (),
    frozen: Sequence[Trouble] = (),
) -> list[str]:
    """Return the stations about which people were sent something else than the logs say.

    `unwritten` is when processes could not write, `frozen` when they were stopped.
    """
    logged: defaultdict[tuple[str, str], list[Transition]] = defaultdict(list)
    heard: defaultdict[tuple[str, str], list[Heard]] = defaultdict(list)
    brands: dict[str, str] = {}
    for line in union(lines)[0]:
        if line.event.get("incident") == "kitchen_station_inactive":
            brand, station = line.event["brand"], line.event["station"]
            what = INACTIVE if line.event["event"] == "incident.firing" else ACTIVE
            sure = not any(trouble.meets(line.at, line.process) for trouble in unwritten)
            logged[brand, station].append(Transition(line.at, what, sure))
            brands[station] = brand
    faults = []
    for message in accepted:
        if re.search(r"^and \d+ more$", message.body["message"], re.MULTILINE):
            faults.append(f"{message.at:.2f} {message.process}: lists not everything, which cannot be checked")
        late = any(
            trouble.process == message.process and trouble.end - 1.0 < message.at < trouble.end + THAW_SECONDS
            for trouble in frozen
        )
        for station, what in notices(message.body):
            heard[brands.get(station, ""), station].append(Heard(message.at, what, not late))
    handovers = _handovers(lines)
    return faults + [
        f"{station}: {fault}; logged {[*map(_short, logged[brand, station])]}, "
        f"heard {[*map(_short, heard[brand, station])]}"
        for brand, station in sorted(logged.keys() | heard.keys())
        if (fault := _compare(logged[brand, station], heard[brand, station], handovers[brand]))
    ]


def _compare(logged: Sequence[Transition], heard: Sequence[Heard], handovers: Sequence[float]) -> str:
    """Find a way in which what was heard follows from what was logged; say where there is none.

    A way is when people heard of each transition that they know of. Where the brand gets another owner, what was sent
    shortly before may be sent again.
    """
    ways: set[_Way] = {()}
    for one in heard:
        now: set[_Way] = set()
        for way in _skip(logged, ways):
            back = [way[:number] for number in range(len(way)) if _may_be_repeated(way[number:], one, handovers)]
            for start in (way, *back):
                now.update(_after(logged, start, one.at, one.what))
        if not one.is_sure:
            now |= ways
        if not now:
            return f"nothing explains {_short(one)}"
        ways = now
    furthest = max(map(len, _skip(logged, ways)))
    return "" if furthest == len(logged) else f"nobody heard of {_short(logged[furthest])}"


def _may_be_repeated(known_at: _Way, one: Heard, handovers: Iterable[float]) -> bool:
    end = min(known_at[0] + NOT_MARKED_SECONDS, one.at + HANDOVER_SECONDS)
    return any(max(known_at) - 1.0 < at < end for at in handovers)


def _after(logged: Sequence[Transition], way: _Way, at: float, what: str) -> Iterator[_Way]:
    """Yield what is known after a notice."""
    if what == WAS:
        for begun in _after(logged, way, at, INACTIVE):
            for known in _skip(logged, {begun}):
                yield from _after(logged, known, at, ACTIVE)
    elif len(way) < len(logged):
        following = logged[len(way)]
        # The next owner may have to log what the last one had sent.
        if following.what == what and following.at < at + UNOWNED_SECONDS:
            yield (*way, at)


def _skip(logged: Sequence[Transition], ways: Collection[_Way]) -> set[_Way]:
    """Leave out what was perhaps never stored."""
    found, ahead = set(ways), list(ways)
    while ahead:
        way = ahead.pop()
        if len(way) < len(logged) and not logged[len(way)].is_sure:
            found.add((*way, -inf))
            ahead.append((*way, -inf))
    return found


def _short(one: Transition | Heard) -> str:
    return f"{one.at:.2f} {one.what.split()[0 if one.what == WAS else 1]}{'' if one.is_sure else '?'}"


def _by_brand(requests: Iterable[Asked]) -> dict[str, list[float]]:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for one in requests:
        found[one.brand].append(one.at)
    return found


def _handovers(lines: Iterable[Line]) -> defaultdict[str, list[float]]:
    """Return when each brand got an owner."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for line in lines:
        if line.event["event"] == "brand.owned":
            found[line.event["brand"]].append(line.at)
    return found


def _between(handovers: Iterable[float], first: float, again: float) -> bool:
    return any(first - 1.0 < at < again + HANDOVER_SECONDS for at in handovers)


def _owns(line: Line, brand: str) -> bool:
    return (line.event["event"], line.event.get("brand")) == ("brand.owned", brand)


def _key(line: Line) -> str:
    return json.dumps({name: value for name, value in line.event.items() if name != "timestamp"}, sort_keys=True)
