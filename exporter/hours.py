"""Is a venue open: opening hours, pure, time passed in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import groupby
from math import inf
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from exporter.model import Opening

if TYPE_CHECKING:
    from opening_hours import OpeningHours

_COMMENT = re.compile(r'"[^"]*"')
_UNKNOWABLE = {
    re.compile(r"\b[PS]H\b"): "needs a calendar of holidays: write the dates, as 'Jan 1 off'",
    re.compile(r"(?i)\b(?:sunrise|sunset|dawn|dusk)\b"): "needs the venue's position: write a clock time, as '18:00'",
    re.compile(r"(?i)\bunknown\b"): "is neither open nor closed: choose one",
}
_BETWEEN_RULES = re.compile("(; |, )")  # how the library joins rules; within a rule it writes commas without a space
_TIMES = re.compile(r"(?:^|(?<= ))\d\d:\d\d\S*$")
_MIDNIGHT = 24 * 60
_SOME_DAY = datetime(2024, 1, 2)  # noqa: DTZ001 - local time, as everything that the library is asked
_HORIZON_DAYS = 9 * 366  # two leap days are at most eight years apart

_Span = tuple[int, int]
"""Minutes from midnight of a day to minutes from the same midnight, beyond 24 hours in the night after it."""


class _Rule(NamedTuple):
    """One rule of an expression: the days it is for (None: all), and when it says on them that a venue is open or not.

    `spans` is None for the whole day. An `additional` rule leaves what the rules before it say.
    """

    days: OpeningHours | None
    spans: tuple[_Span, ...] | None
    closed: bool
    additional: bool

    def matches(self, day: date) -> bool:
        return self.days is None or self.days.is_open(datetime.combine(day, time(12)))


class _Day(NamedTuple):
    """What the rules say of a day: when it is open, and what they cut out of that and of the nights beside it.

    A cut comes with the number of its rule, and `base` is the number of the rule that the opening comes from.
    """

    spans: tuple[_Span, ...]
    cuts: tuple[tuple[int, _Span], ...]
    base: int


class Hours:
    """Opening hours of a venue in its own time zone, made by `parse`."""

    def __init__(self, rules: Sequence[_Rule], zone: tzinfo) -> None:
        self._rules = rules
        self._zone = zone
        self._known = (inf, -inf, Opening(is_open=False, next_open=None, next_close=None))

    def at(self, wall: float) -> Opening:
        """Return whether the venue is open at `wall`, and when that changes next; all in epoch seconds.

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
        for is_open, run in groupby(self._spans_from(local.date() - timedelta(days=1)), key=itemgetter(0)):
            *_, (_, end) = run
            instant = None if end is None else end.replace(tzinfo=self._zone).timestamp()
            if instant is None or instant > wall:
                yield is_open, instant

    def _spans_from(self, first: date) -> Iterator[tuple[bool, datetime | None]]:
        """Yield from a day on until when (local time) it is open or closed in turn; None for always."""
        around = [self._read(first + timedelta(days=number)) for number in range(-2, 1)]
        for number in range(_HORIZON_DAYS):
            midnight = datetime.combine(first + timedelta(days=number), time())
            at = 0
            around = [*around[-3:], self._read(midnight.date() + timedelta(days=1))]
            spans = _open_on(around)
            for begin, end in spans:
                if begin > at:
                    yield False, midnight + timedelta(minutes=begin)
                yield True, midnight + timedelta(minutes=end)
                at = end
            if at < _MIDNIGHT:
                yield False, midnight + timedelta(minutes=_MIDNIGHT)
        yield bool(spans), None

    def _read(self, day: date) -> _Day:
        """Apply the rules to a day, later ones over earlier ones."""
        spans: tuple[_Span, ...] = ()
        cuts: list[tuple[int, _Span]] = []
        base = -1
        for number, rule in enumerate(self._rules):
            if not rule.matches(day):
                continue
            if not rule.closed:
                own = ((0, _MIDNIGHT),) if rule.spans is None else rule.spans
                spans = (*spans, *own) if rule.additional else own
                base = base if rule.additional else number
            elif rule.spans is None:
                spans, base = (), number
            else:
                cuts += [(number, span) for span in rule.spans]
        return _Day(spans, tuple(cuts), base)


def _open_on(around: Sequence[_Day]) -> list[_Span]:
    """Return when it is open on a day, in minutes of that day, the night of the day before included.

    `around` are two days before it, itself, and the day after.
    """
    minutes: list[_Span] = []
    for number in (1, 2):
        own, after = around[number], around[number + 1]
        before = [(rule, span) for rule, span in around[number - 1].cuts if rule > own.base]
        cuts = [
            *((begin - _MIDNIGHT, end - _MIDNIGHT) for _, (begin, end) in before),
            *(span for rule, span in own.cuts if rule > own.base),
            *((begin + _MIDNIGHT, end + _MIDNIGHT) for _, (begin, end) in after.cuts),
        ]
        shift = (number - 2) * _MIDNIGHT
        minutes += [(begin + shift, end + shift) for begin, end in _without(own.spans, cuts)]
    return _merged((max(begin, 0), min(end, _MIDNIGHT)) for begin, end in minutes)


def _without(spans: Iterable[_Span], cuts: Iterable[_Span]) -> list[_Span]:
    left = list(spans)
    for begin, end in cuts:
        left = [part for span in left for part in ((span[0], min(span[1], begin)), (max(span[0], end), span[1]))]
        left = [part for part in left if part[0] < part[1]]
    return left


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    merged: list[_Span] = []
    for begin, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


@lru_cache(maxsize=1024)
def parse(expression: str, time_zone: str | None = None) -> Hours:
    """Read hours in OpenStreetMap's opening_hours syntax; `time_zone` is an IANA name, None means UTC.

    A day ends when the venue closes: after `Mo-Su 10:00-02:00; Dec 25 off` the night of the 24th still ends at 02:00,
    and the one that would begin on the 25th does not take place. Venues with the same hours share them, and with them
    what was looked up, which takes some 60 ms where nothing ever changes.

    Raises ValueError with a sentence for a person.
    """
    text = " ".join(_COMMENT.sub("", expression).split())
    for pattern, remedy in _UNKNOWABLE.items():
        if found := pattern.search(text):
            raise ValueError(f"{found[0]!r} in {expression!r} {remedy}")
    library = _library()
    try:
        rules = [] if "||" in text else list(_rules(str(library.OpeningHours(text))))
    except library.ParserError as error:
        place = _place(text, str(error))
        raise ValueError(
            f"{expression!r} is not in opening_hours syntax{place}: write hours such as Mo-Su 10:00-02:00"
        ) from error
    if not rules:
        raise ValueError(f"'||' in {expression!r} is not understood: write what holds on which days instead")
    return Hours(rules, zone(time_zone))


def _library() -> Any:
    """Import the library with the first opening hours: many configurations have none, and it takes 3 MB."""
    import opening_hours  # noqa: PLC0415

    return opening_hours


def _rules(canonical: str) -> Iterator[_Rule]:
    """Take apart what the library wrote: it names days first, then times, then a state that is not open."""
    pieces = _BETWEEN_RULES.split(canonical)
    for text, separator in zip(pieces[::2], ["", *pieces[1::2]], strict=True):
        rule = text.removesuffix("closed").rstrip()
        times = _TIMES.search(rule)
        days = rule[: times.start()].rstrip() if times else rule
        yield _Rule(
            None if days in ("", "24/7") else _library().OpeningHours(f"{days} 00:00-24:00"),
            _spans(times[0]) if times else None,
            closed=text.endswith("closed"),
            additional=separator == ", ",
        )


def _spans(times: str) -> tuple[_Span, ...]:
    """Return the minutes that times mean on any day."""
    library = _library()
    found = library.OpeningHours(f"{_SOME_DAY:%Y %b %d} {times}").intervals(_SOME_DAY, _SOME_DAY + timedelta(days=3))
    return tuple(
        (round((begin - _SOME_DAY) / timedelta(minutes=1)), round((end - _SOME_DAY) / timedelta(minutes=1)))
        for begin, end, state, _ in found
        if state == library.State.OPEN
    )


def zone(name: str | None) -> tzinfo:
    """Return the time zone of an IANA name, UTC for None; raise ValueError with a sentence for an unknown one."""
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"{name!r} is not an IANA time zone such as 'Asia/Baku'") from error


def expires(opening: Opening) -> float:
    """Return the epoch second until which an opening holds, infinity where it never changes."""
    return min((moment for moment in (opening.next_open, opening.next_close) if moment is not None), default=inf)


def _place(text: str, error: str) -> str:
    found = re.search(r"--> 1:(\d+)", error)
    rest = text[int(found[1]) - 1 :].strip() if found else ""
    return f", from {rest!r} on" if rest else ""
