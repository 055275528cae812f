"""Write notices as one message in a language: what, where, since when, what it means and what to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from itertools import groupby
from typing import Literal

from exporter.i18n import time_of_day, translations
from exporter.model import Incident, IncidentKind, Severity, Topic, Venue
from exporter.notify.plan import Form, Notice
from exporter.notify.transport import Message, Tone
from exporter.texts import ENDED, REMEDIES, UNREPORTED, texts_of

LISTED_STATIONS = 15
LONGEST_NAME = 80
"""Characters of a name that are shown."""

LONGEST_CAUSE = 300
"""Characters of a message of Clopos or of this machine that are shown."""

_FEWEST_LINES = 3
_Subject = tuple[str, str, str, str]
"""What an incident is about: its kind, brand, venue and station."""

_STATION_INACTIVE = frozenset({IncidentKind.KITCHEN_STATION_INACTIVE, IncidentKind.STATION_INACTIVE})
_JOINERS = "\u200c\u200d"
"""Invisible, but part of letters and of emoji."""


@dataclass(frozen=True, slots=True)
class Renderer:
    """Write messages in a language.

    `time_zone` returns that of an incident's venue or brand, None where it is not known: its times are in UTC then.
    `names` returns the names of a venue and of one of its stations, by brand and ids. With `show_brand`, a venue is
    named with its brand.
    """

    language: str = "en"
    time_zone: Callable[[Incident], tzinfo | None] = lambda _: None
    names: Callable[[str, str, str], tuple[str, str]] = lambda _, venue_id, station_id: (venue_id, station_id)
    show_brand: bool = False

    def render(self, notices: Sequence[Notice], now: float, length: int) -> Message:
        """Write notices as one message of at most `length` UTF-16 units; `now` is epoch seconds."""
        if len(notices) == 1:
            return self._one(notices[0], now, length)
        ordered = _in_order(notices)
        lines = ["\n".join(self._listed(notice, now)) for notice in ordered[:LISTED_STATIONS]]
        message = Message(self._count(ordered), self._advice(ordered), _tone(ordered))
        for listed in range(len(lines), -1, -1):
            more = [self._more(len(ordered) - listed)] if listed < len(ordered) else []
            body = "\n".join([*lines[:listed], *more, *filter(None, [message.body])])
            if _units(message.title) + _units(body) < length or listed <= _FEWEST_LINES:
                break
        return _fit(replace(message, body=body), length)

    def test(
        self, channel: str, brand: str, now: float, topics: Collection[Topic] = (Topic.STATIONS,), *, resolved: bool
    ) -> Message:
        """Write a message that looks like one of the channel's topics, and says that it is a test."""
        gettext = translations(self.language).gettext
        kind = IncidentKind.KITCHEN_STATION_INACTIVE
        venue = Venue(brand, "0", gettext("Test venue"))
        incident = Incident(kind, Severity.CRITICAL, brand, now - 120.0, venue, "0", gettext("Test kitchen"))
        if Topic.STATIONS not in topics:
            incident = Incident(IncidentKind.BRAND_UNREACHABLE, Severity.CRITICAL, brand, now - 120.0)
        form = Form.RESOLVED if resolved else Form.FIRING
        body = gettext("This is a test of the channel {channel} by clopos-exporter. Nothing has happened.")
        return Message(
            gettext("Test: {text}").format(text=self._headline(Notice(form, incident, now), now)),
            body.format(channel=_name(channel)),
            Tone.SUCCESS if resolved else Tone.INFO,
        )

    def _one(self, notice: Notice, now: float, length: int) -> Message:
        if notice.form in (Form.RESOLVED, Form.PAST):
            lines = [self._ending(notice, now)]
        else:
            lines = [*self._members(notice.incident), *self._cause(notice.incident, now), self._advice([notice])]
        return _fit(Message(self._headline(notice, now), "\n".join(lines), _tone([notice])), length)

    def _listed(self, notice: Notice, now: float) -> Iterator[str]:
        """Write a notice as a point of a list."""
        yield f"• {self._headline(notice, now)}"
        if notice.form in (Form.FIRING, Form.REMINDER):
            yield from self._cause(notice.incident, now)

    def _cause(self, incident: Incident, now: float) -> Iterator[str]:
        """Write why, in the words of the log: those who run the exporter need it."""
        if incident.kind.topic is not Topic.SERVICE:
            return
        gettext, details = translations(self.language).gettext, incident.details
        if message := details.get("message"):
            text = gettext("Reason: {reason}, for {duration}.")
            reason = _name(str(message).rstrip(".?!"), LONGEST_CAUSE)  # The sentence goes on.
            yield text.format(reason=reason, duration=self._duration(now - incident.since))
        if "expires_at" in details:
            yield gettext("It expires {time}.").format(time=self._time(details["expires_at"], incident, now))
        if seconds := details.get("seconds"):
            text = gettext("It is {duration} ahead.") if seconds < 0 else gettext("It is {duration} behind.")
            yield text.format(duration=self._duration(abs(seconds)))

    def _headline(self, notice: Notice, now: float) -> str:
        """Write a notice as one line."""
        gettext = translations(self.language).gettext
        incident, texts = notice.incident, texts_of(notice.incident)
        fields = self._fields(notice, now)
        if notice.form is Form.RESOLVED and notice.ended in ENDED:
            if incident.station_id is None:
                return gettext(UNREPORTED).format(text=gettext(texts.firing).format(**fields))
            return gettext(ENDED[notice.ended]).format(**fields)
        text = {Form.PAST: texts.past, Form.RESOLVED: texts.resolved}.get(notice.form, texts.firing)
        headline = gettext(text).format(**fields)
        return gettext("Reminder: {text}").format(text=headline) if notice.form is Form.REMINDER else headline

    def _fields(self, notice: Notice, now: float) -> dict[str, str]:
        incident = notice.incident
        gettext, since = translations(self.language).gettext, self._time(incident.since, incident, now)
        if incident.is_since_minimum:
            since = gettext("{time} or earlier").format(time=since)
        venue = _name(incident.venue.name or incident.venue.id) if incident.venue else _name(incident.brand)
        return {
            "station": _name(incident.station or incident.station_id or "?"),
            "venue": f"{venue} ({_name(incident.brand)})" if self.show_brand and incident.venue else venue,
            "brand": _name(incident.brand),
            "channel": _name(str(incident.details.get("channel", ""))),
            "since": since,
            "until": self._time(now if notice.ended_at is None else notice.ended_at, incident, now),
        }

    def _time(self, at: float, incident: Incident, now: float) -> str:
        return time_of_day(at, now, self.time_zone(incident), self.language)

    def _ending(self, notice: Notice, now: float) -> str:
        """Write how long it lasted, or that there is no more to come where nobody knows whether it is over."""
        gettext = translations(self.language).gettext
        if notice.form is Form.RESOLVED and notice.ended in ENDED:
            return gettext("There will be no more messages about it.")
        fields = self._fields(notice, now)
        duration = self._duration((now if notice.ended_at is None else notice.ended_at) - notice.incident.since)
        if notice.incident.is_since_minimum:
            duration = gettext("at least {duration}").format(duration=duration)
        text = gettext("From {since} to {until}: {duration}.")
        if notice.form is Form.PAST:
            text = gettext("It lasted {duration} and was over before this message could be sent.")
        return text.format(duration=duration, **fields)

    def _duration(self, lasted: float) -> str:
        """Write a duration, of seconds, in minutes or more."""
        from babel.dates import format_timedelta  # noqa: PLC0415 - not before something is to be said

        seconds = int(lasted)
        # With a threshold of 2, 90 minutes stay minutes instead of becoming "1 hour".
        whole = seconds // 60 * 60 or max(1, seconds)
        unit: Literal["minute", "second"] = "second" if whole < 60 else "minute"  # noqa: PLR2004 - a minute
        return format_timedelta(whole, unit, threshold=2.0, format="short", locale=self.language).rstrip(".")

    def _members(self, incident: Incident) -> Iterator[str]:
        """Write which stations a grouped incident stands for, a line for each venue."""
        listed = incident.members[:LISTED_STATIONS]
        named = (self.names(incident.brand, *member) for member in listed)
        for venue, stations in groupby(named, key=lambda names: names[0]):
            yield f"• {_name(venue)}: {', '.join(_name(station) for _, station in stations)}"
        if len(incident.members) > len(listed):
            yield self._more(len(incident.members) - len(listed))

    def _more(self, count: int) -> str:
        ngettext = translations(self.language).ngettext
        return ngettext("and {count} more", "and {count} more", count).format(count=count)

    def _count(self, notices: Sequence[Notice]) -> str:
        """Write what many notices have in common as one line."""
        ngettext, count = translations(self.language).ngettext, len(notices)
        forms = {notice.form for notice in notices}
        if {notice.incident.kind for notice in notices} <= _STATION_INACTIVE and len(forms) == 1:
            if forms == {Form.FIRING}:
                text = ngettext("{count} station is inactive", "{count} stations are inactive", count)
                return self._where(text.format(count=count), notices)
            if forms == {Form.RESOLVED} and not {notice.ended for notice in notices} & ENDED.keys():
                text = ngettext("{count} station is active again", "{count} stations are active again", count)
                return self._where(text.format(count=count), notices)
        new = sum(notice.form is Form.FIRING for notice in notices)
        going_on = sum(notice.form is Form.REMINDER for notice in notices)
        over = count - new - going_on
        parts = (
            (new, ngettext("{count} new problem", "{count} new problems", new)),
            (going_on, ngettext("{count} problem continues", "{count} problems continue", going_on)),
            (over, ngettext("{count} problem is over", "{count} problems are over", over)),
        )
        return self._where(", ".join(text.format(count=number) for number, text in parts if number), notices)

    def _where(self, text: str, notices: Sequence[Notice]) -> str:
        """Add the venue or brand that all the notices are about, if it is one."""
        venues = {notice.incident.venue for notice in notices}
        if len(venues) == 1 and None not in venues:
            return f"{text}, {self._fields(notices[0], 0.0)['venue']}"
        brands = {notice.incident.brand for notice in notices}
        return f"{text}, {_name(brands.pop())}" if len(brands) == 1 and "" not in brands else text

    def _advice(self, notices: Sequence[Notice]) -> str:
        """Write what to do about the notices of what goes on, each thing once, what is most urgent first."""
        gettext = translations(self.language).gettext
        going_on = [notice.incident for notice in notices if notice.form in (Form.FIRING, Form.REMINDER)]
        reasons = [one.details.get("reason") for one in going_on]
        advice = [gettext(REMEDIES[reason]) for reason in reasons if reason in REMEDIES]
        advice += [gettext(texts_of(one).advice) for one in going_on if len(notices) == 1 or not _is_inactive(one)]
        if len(notices) > 1 and any(map(_is_inactive, going_on)):
            of_stations = gettext(
                "Switch stations on in the Clopos back office, under stations. "
                "If some are meant to be inactive, tell IT."
            )
            advice.insert(0, of_stations)
        return "\n".join(dict.fromkeys(advice))


def _is_inactive(incident: Incident) -> bool:
    return incident.kind in _STATION_INACTIVE


def _in_order(notices: Sequence[Notice]) -> list[Notice]:
    """Put what is most urgent first, but keep the incidents of one station together and in their order.

    Were the end of an earlier incident listed after a new one, the station would seem to be active again.
    """
    urgency: dict[_Subject, tuple[int, bool, float]] = {}
    for notice in notices:
        subject = _subject(notice)
        urgency[subject] = min(urgency.get(subject, _by_urgency(notice)), _by_urgency(notice))
    return sorted(notices, key=lambda notice: (urgency[_subject(notice)], _subject(notice)))


def _subject(notice: Notice) -> _Subject:
    incident = notice.incident
    return incident.kind.value, incident.brand, incident.venue.id if incident.venue else "", incident.station_id or ""


def _by_urgency(notice: Notice) -> tuple[int, bool, float]:
    return (notice.form.value, notice.incident.severity is not Severity.CRITICAL, notice.incident.began_at)


def _tone(notices: Sequence[Notice]) -> Tone:
    going_on = [notice.incident for notice in notices if notice.form in (Form.FIRING, Form.REMINDER)]
    if not going_on:
        return Tone.SUCCESS
    return Tone.FAILURE if any(incident.severity is Severity.CRITICAL for incident in going_on) else Tone.WARNING


def _name(text: str, longest: int = LONGEST_NAME) -> str:
    """Show a name as it is, on one line, without what would steer the reader's screen."""
    clean = "".join(c if c.isprintable() or c in _JOINERS else " " for c in text[: longest + 1])
    return clean if len(clean) <= longest else f"{clean[:longest]}…"


def _fit(message: Message, length: int) -> Message:
    """Cut what a message has too much."""
    title = _cut(message.title, length)
    return replace(message, title=title, body=_cut(message.body, length - _units(title) - 2))  # the line break between


def _cut(text: str, units: int) -> str:
    if _units(text) <= units:
        return text
    return text.encode("utf-16-le")[: max(0, units - 1) * 2].decode("utf-16-le", "ignore") + "…"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
