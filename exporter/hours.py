"""Is a venue open, and which of its stations does the configuration leave out of the alerts: pure, time passed in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import groupby
from math import inf
from typing import NamedTuple
from zoneinfo import ZoneInfo

from opening_hours import OpeningHours, ParserError, State  # type: ignore[attr-defined]  # its stub forgets the error

from exporter.model import Opening, StationState

_COMMENT = re.compile(r'"[^"]*"')
_UNKNOWABLE = {
    re.compile(r"\b[PS]H\b"): "needs a calendar of holidays: write the dates, as 'Jan 1 off'",
    re.compile(r"(?i)\b(?:sunrise|sunset|dawn|dusk)\b"): "needs the venue's position: write a clock time, as '18:00'",
    re.compile(r"(?i)\bunknown\b"): "is neither open nor closed: choose one",
}
_SPAN = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
_OFF = re.compile(r"(?i)\b(?:off|closed)\b")
_TIME_OR_STATE = re.compile(r"(?i)\d{1,2}:\d{2}|24/7|\b(?:off|closed|open)\b|$")
_DAY = 24 * 60
_HORIZON = timedelta(days=9 * 366)  # two leap days are at most eight years apart


class Hours:
    """Opening hours of a venue in its own time zone, made by `parse`."""

    def __init__(self, rules: OpeningHours, zone: tzinfo) -> None:
        self._rules = rules
        self._zone = zone
        self._known = (inf, -inf, Opening(is_open=False, next_open=None, next_close=None))

    def at(self, wall: float) -> Opening:
        """Tell whether the venue is open at `wall`, and when that changes next; all in epoch seconds.

        An answer is kept for as long as it holds, so that asking at every scrape costs next to nothing.
        """
        since, until, opening = self._known
        if not since <= wall < until:
            opening = self._look_up(wall)
            self._known = (wall, expires(opening), opening)
        return opening

    def _look_up(self, wall: float) -> Opening:
        spans = self._spans_after(wall)
        is_open, end = next(spans)
        _, following = next(spans, (not is_open, None))
        return Opening(is_open, following, end) if is_open else Opening(is_open, end, following)

    def _spans_after(self, wall: float) -> Iterator[tuple[bool, float | None]]:
        # Clock times become epoch seconds by RFC 5545, 3.3.5: one that comes twice counts the first time, one that the
        # clock skips counts with the offset before. Walking from the day before holds this within the hour itself.
        local = datetime.fromtimestamp(wall, self._zone).replace(tzinfo=None)
        horizon = local + _HORIZON
        spans = self._rules.intervals(local - timedelta(days=1), horizon)
        for is_open, run in groupby(spans, key=lambda span: span[2] == State.OPEN):
            *_, (_, end, _, _) = run
            instant = None if end is None or end >= horizon else end.replace(tzinfo=self._zone).timestamp()
            if instant is None or instant > wall:
                yield is_open, instant


def parse(expression: str, time_zone: str | None = None) -> Hours:
    """Read hours in OpenStreetMap's opening_hours syntax; `time_zone` is an IANA name, None means UTC.

    A day ends when the venue closes: after `Mo-Su 10:00-02:00; Dec 25 off` the night of the 24th still ends at 02:00,
    and the one that would begin on the 25th does not take place. Raises ValueError with a sentence for a person.
    """
    text = " ".join(_COMMENT.sub("", expression).split())
    for pattern, remedy in _UNKNOWABLE.items():
        if found := pattern.search(text):
            raise ValueError(f"{found[0]!r} in {expression!r} {remedy}")
    try:
        OpeningHours(text)  # first as it stands, so that the place in the sentence is one the person wrote
        rules = OpeningHours(_end_days_at_closing(text))
    except ParserError as error:
        raise ValueError(f"{expression!r} is not in opening_hours syntax{_place(text, str(error))}") from error
    return Hours(rules, zone(time_zone))


def zone(name: str | None) -> tzinfo:
    """Give the time zone of an IANA name, UTC for None; raise ValueError with a sentence for an unknown one."""
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"{name!r} is not an IANA time zone such as 'Asia/Baku'") from error


def expires(opening: Opening) -> float:
    """Give the epoch second until which an opening holds, infinity where it never changes."""
    return min((moment for moment in (opening.next_open, opening.next_close) if moment is not None), default=inf)


def _place(text: str, error: str) -> str:
    found = re.search(r"--> 1:(\d+)", error)
    rest = text[int(found[1]) - 1 :].strip() if found else ""
    return f", from {rest!r} on" if rest else ""


def _end_days_at_closing(text: str) -> str:
    # In OpenStreetMap's reading, a later rule for a day owns it from midnight to midnight: with "Fr-Sa 10:00-02:00; Su
    # 12:00-22:00" Saturday's night would be cut off at 00:00. Here it owns the day from the latest closing time on.
    spans = [(int(a) * 60 + int(b), int(c) * 60 + int(d)) for a, b, c, d in _SPAN.findall(text)]
    last = max((end % _DAY for start, end in spans if end <= start or end > _DAY), default=0)
    if not last:
        return text
    hour, minute = divmod(last, 60)
    first, *later = text.split(";")
    return "; ".join([first.strip(), *(_own(rule, f"{hour:02}:{minute:02}-{hour + 24}:{minute:02}") for rule in later)])


def _own(rule: str, day: str) -> str:
    days = _TIME_OR_STATE.split(rule, maxsplit=1)[0].strip()
    own = f"{days} {day} off".lstrip()
    if not _OFF.search(rule):
        return f"{own}, {rule.strip()}"
    return rule.strip() if _SPAN.search(rule) else own


class IgnoreRule(NamedTuple):
    """A station, by id or by name, to be left out of the alerts until an epoch second."""

    station: str
    until: float = inf


def end_of(day: date, time_zone: str | None) -> float:
    """Give the epoch second at which a day ends in a time zone, which is when an `until` date is over."""
    return datetime.combine(day + timedelta(days=1), time(), zone(time_zone)).timestamp()


def ignored(stations: Mapping[str, StationState], rules: Iterable[IgnoreRule], wall: float) -> frozenset[str]:
    """Give the ids of the stations that a rule names now, by id or by the name they have now."""
    named = {rule.station for rule in rules if wall < rule.until}
    if not named:
        return frozenset()
    return frozenset(
        key for key, station_state in stations.items() if key in named or station_state.station.name in named
    )


def next_ignore_change(rules: Iterable[IgnoreRule], wall: float) -> float:
    """Give the epoch second at which the next rule ends, infinity where none does."""
    return min((rule.until for rule in rules if wall < rule.until), default=inf)
