"""Texts, numbers and times of the pages, in the reader's language."""

from __future__ import annotations

from datetime import tzinfo
from functools import cache, lru_cache
from typing import Any, NamedTuple

from babel.dates import format_skeleton
from babel.numbers import format_decimal, format_percent
from babel.units import format_unit
from markupsafe import Markup

from exporter.clock import in_zone
from exporter.i18n import time_of_day, translations
from exporter.journal import Entry
from exporter.model import Event, IncidentKind, Kind, Reason
from exporter.texts import N_, REASONS

MINUTE, HOUR, DAY = 60, 3600, 86_400

KINDS = {Kind.KITCHEN: N_("kitchen"), Kind.OTHER: N_("other"), Kind.UNKNOWN: N_("of unknown kind")}

INCIDENTS = {
    IncidentKind.PRINTING_DISABLED: N_("Prints no tickets since {since}."),
    IncidentKind.STATION_FLAPPING: N_("Repeatedly switched off and on in Clopos."),
    IncidentKind.STATION_REMOVED: N_("Gone from Clopos since {since}."),
    IncidentKind.STATION_UNCLEAR: N_("Clopos gives a status that is neither active nor inactive."),
}
"""What is said of an incident of a station that is not about being inactive."""

TOPICS = {
    "status": N_("Inactive and active"),
    "printing": N_("Printing"),
    "settings": N_("Added, removed, edited"),
    "data": N_("Data and login"),
}
"""What the changes can be filtered by, and how that is called."""


class EventText(NamedTuple):
    """What is said of an event: `topic` is what changes can be filtered by, `tone` is good, bad, warn or plain."""

    topic: str
    text: str
    tone: str = "plain"


EVENTS = {
    Event.STATION_ACTIVATED: EventText("status", N_("active again"), "good"),
    Event.STATION_ADDED: EventText("settings", N_("added in Clopos")),
    Event.STATION_DEACTIVATED: EventText("status", N_("inactive in Clopos"), "bad"),
    Event.STATION_FOUND_INACTIVE: EventText("status", N_("found inactive in Clopos"), "bad"),
    Event.STATION_KIND_CHANGED: EventText("settings", N_("is now {now}, was {previous}")),
    Event.STATION_PRINTING_DISABLED: EventText("printing", N_("no longer prints tickets"), "warn"),
    Event.STATION_PRINTING_ENABLED: EventText("printing", N_("prints tickets again"), "good"),
    Event.STATION_REMOVED: EventText("settings", N_("removed in Clopos")),
    Event.STATION_RENAMED: EventText("settings", N_("renamed, was “{previous}”")),
    Event.STATION_TOUCHED: EventText("settings", N_("edited in Clopos")),
    Event.VENUE_ADDED: EventText("settings", N_("new venue")),
    Event.VENUE_LOST: EventText("data", N_("no data: {reason}"), "warn"),
    Event.VENUE_RECOVERED: EventText("data", N_("data again"), "good"),
    Event.VENUE_REMOVED: EventText("settings", N_("venue removed")),
    Event.BRAND_LOGIN_FAILED: EventText("data", N_("login fails: {reason}"), "warn"),
    Event.BRAND_LOGIN_RECOVERED: EventText("data", N_("login works again"), "good"),
    Event.BRAND_DISCOVERY_FAILED: EventText("data", N_("the venue list cannot be read")),
    Event.BRAND_DISCOVERY_RECOVERED: EventText("data", N_("the venue list can be read again")),
    Event.BRAND_VENUES_MISSING: EventText("data", N_("many venues are missing from the venue list")),
}

_OUTAGE_REASONS = frozenset(reason for reason in Reason if not reason.is_configuration)
_OUTAGES = {
    Event.BRAND_LOGIN_FAILED: N_("Clopos cannot be reached: {reason}"),
    Event.BRAND_LOGIN_RECOVERED: N_("Clopos can be reached again"),
}
"""What is said where Clopos refused nothing: a login that it does not answer is part of an outage."""

SHOWN_EVENTS = frozenset(EVENTS)
"""Incidents repeat what other events say: they are shown as what is wrong now."""

_LASTED: dict[Event | None, tuple[str, str]] = {
    Event.STATION_ACTIVATED: (N_("was inactive for {duration}"), N_("was inactive for at least {duration}")),
    Event.STATION_DEACTIVATED: (N_("had been active for {duration}"), N_("had been active for at least {duration}")),
    None: (N_("after {duration}"), N_("after at least {duration}")),
}
"""How long it had been otherwise, exactly or at least; None is any other event."""

_MAX_SHOWN_DAYS = 7
"""Days from which on hours help nobody."""


class Wording:
    """Write for people in one of `exporter.i18n.LANGUAGES`; texts are markup, and what is put into them is escaped."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._catalogue = translations(language)

    def gettext(self, text: str, **fields: Any) -> Markup:
        """Return a text of the catalogue with its fields."""
        return Markup(self._catalogue.gettext(text)).format(**fields)  # noqa: S704 - from the catalogue

    def ngettext(self, one: str, many: str, count: int, **fields: Any) -> Markup:
        """Return a text of the catalogue in the plural form of a count, which is its field `count` unless given."""
        text = self._catalogue.ngettext(one, many, count)
        return Markup(text).format(**{"count": self.number(count), **fields})  # noqa: S704 - from the catalogue

    def number(self, value: int) -> str:
        """Write a number."""
        return format_decimal(value, locale=self.language)

    def percent(self, share: float) -> str:
        """Write a share, 0 to 1, as a percentage."""
        return format_percent(share, "#,##0.0 %", locale=self.language)

    def duration(self, seconds: float) -> str:
        """Write how long something takes or lasts, in at most two units."""
        whole = max(0, round(seconds))
        if whole >= HOUR:
            whole -= whole % MINUTE
        return _duration(whole, self.language)

    def clock(self, wall: float, now: float, zone: tzinfo | None) -> str:
        """Write the time of day in a time zone, UTC where there is none, with the date unless it is today's."""
        return time_of_day(wall, now, zone, self.language)

    def mark(self, wall: float, span: str, zone: tzinfo | None) -> str:
        """Write a mark of the time axis of a day, a week or a month."""
        at = in_zone(wall, zone)
        if span == "day":
            return at.strftime("%H:%M")
        return str(format_skeleton("E" if span == "week" else "MMMd", at, locale=self.language))

    def day(self, wall: float, zone: tzinfo | None) -> str:
        """Write the day of a moment in a time zone, UTC where there is none."""
        return str(format_skeleton("yMMMEd", in_zone(wall, zone), locale=self.language))

    def reason(self, value: Any) -> Markup:
        """Return why a poll failed."""
        known = value in Reason.__members__.values()
        return self.gettext(REASONS[Reason(value)] if known else N_("the reason is not known"))

    def because(self, reason: str) -> Markup:
        """Return the sentence that gives a reason, which may end in a mark of its own."""
        text = self.gettext("Reason: {reason}.", reason=reason)
        return text[:-1] if text.endswith(("?.", "!.", "..")) else text

    def kind(self, value: Any) -> Markup:
        """Return what a station is."""
        return self.gettext(KINDS[Kind(value)] if value in Kind.__members__.values() else KINDS[Kind.UNKNOWN])

    def happened(self, entry: Entry) -> Markup:
        """Return what happened, without the subject: that is the station, else the venue, else the brand."""
        details = entry.details
        fields = {
            "now": self.kind(entry.kind),
            "previous": details.get("previous", ""),
            "reason": self.reason(details.get("reason")),
        }
        if entry.event is Event.STATION_KIND_CHANGED:
            fields["previous"] = self.kind(details.get("previous"))
        refused = details.get("reason") not in _OUTAGE_REASONS
        text = self.gettext((not refused and _OUTAGES.get(entry.event)) or EVENTS[entry.event].text, **fields)
        lasted = self._lasted(entry)
        return Markup("{}, {}").format(text, lasted) if lasted else text

    def _lasted(self, entry: Entry) -> Markup | None:
        details = entry.details
        exact = details.get("previous_for_seconds", details.get("down_for_seconds"))
        least = details.get("previous_for_at_least_seconds")
        seconds = least if exact is None else exact
        if not isinstance(seconds, int | float) or not seconds or entry.event is Event.VENUE_LOST:
            return None
        exactly, at_least = _LASTED.get(entry.event, _LASTED[None])
        return self.gettext(at_least if exact is None else exactly, duration=self.duration(seconds))


@cache
def wording_for(language: str) -> Wording:
    """Return the texts of a language."""
    return Wording(language)


@lru_cache(maxsize=4096)
def _duration(whole: int, language: str) -> str:
    if whole < MINUTE:
        parts = [(whole, "second")]
    elif whole < HOUR:
        parts = [(whole // MINUTE, "minute")]
    elif whole < DAY:
        parts = [(whole // HOUR, "hour"), (whole % HOUR // MINUTE, "minute")]
    else:
        days = whole // DAY
        parts = [(days, "day"), (whole % DAY // HOUR if days < _MAX_SHOWN_DAYS else 0, "hour")]
    return " ".join(
        format_unit(number, f"duration-{unit}", "short", locale=language)
        for index, (number, unit) in enumerate(parts)
        if number or not index
    )
