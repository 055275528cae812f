"""What pages say to people, in plain words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from exporter.model import Event, Kind, Reason
from exporter.web.source import Entry

MINUTE, HOUR, DAY = 60, 3600, 86_400

_YEAR_1, _YEAR_9999 = -62_135_596_800.0, 253_402_300_799.0

REASONS = {
    Reason.BAD_REQUEST: "Clopos refuses the request",
    Reason.CLIENT_DISABLED: "the Open API module is switched off in Clopos",
    Reason.CONNECTION: "no connection to Clopos",
    Reason.CREDENTIALS: "Clopos refuses the credentials",
    Reason.FORBIDDEN: "the credentials may not read this",
    Reason.GATEWAY: "the gateway of Clopos has trouble",
    Reason.GATEWAY_TIMEOUT: "Clopos takes too long",
    Reason.INCOMPLETE: "the list kept changing while it was read",
    Reason.INTEGRATOR: "Clopos refuses the integrator",
    Reason.INTERNAL: "a fault in the exporter",
    Reason.MALFORMED: "the answer cannot be understood",
    Reason.NOT_FOUND: "Clopos does not know this venue",
    Reason.RATE_LIMITED: "the request quota is used up",
    Reason.REDIRECTED: "Clopos sends us elsewhere",
    Reason.TEST_MODE: "test and production are mixed up",
    Reason.THROTTLED: "our own share of the request quota is used up",
    Reason.TIMEOUT: "no answer in time",
    Reason.TLS: "no secure connection to Clopos",
    Reason.TOKEN: "the token is no longer good",
    Reason.TOO_LARGE: "the answer is too large",
}

KINDS = {Kind.KITCHEN: "Kitchen", Kind.OTHER: "Other", Kind.UNKNOWN: "Unknown kind"}

_EVENTS = {
    Event.STATION_ACTIVATED: "active again",
    Event.STATION_ADDED: "added in Clopos",
    Event.STATION_DEACTIVATED: "disabled in Clopos",
    Event.STATION_FOUND_INACTIVE: "found disabled in Clopos",
    Event.STATION_KIND_CHANGED: "changed its kind",
    Event.STATION_PRINTING_DISABLED: "no longer prints tickets",
    Event.STATION_PRINTING_ENABLED: "prints tickets again",
    Event.STATION_REMOVED: "removed in Clopos",
    Event.STATION_RENAMED: "renamed",
    Event.STATION_TOUCHED: "edited in Clopos",
    Event.VENUE_ADDED: "new venue",
    Event.VENUE_LOST: "no data",
    Event.VENUE_RECOVERED: "data again",
    Event.VENUE_REMOVED: "venue removed",
    Event.BRAND_LOGIN_FAILED: "login fails",
    Event.BRAND_LOGIN_RECOVERED: "login works again",
    Event.BRAND_DISCOVERY_FAILED: "the venue list cannot be read",
    Event.BRAND_DISCOVERY_RECOVERED: "the venue list can be read again",
    Event.INCIDENT_FIRING: "incident",
    Event.INCIDENT_RESOLVED: "incident resolved",
}

_TONES = {
    Event.STATION_ACTIVATED: "good",
    Event.STATION_DEACTIVATED: "bad",
    Event.STATION_FOUND_INACTIVE: "bad",
    Event.STATION_PRINTING_DISABLED: "warn",
    Event.STATION_PRINTING_ENABLED: "good",
    Event.VENUE_LOST: "warn",
    Event.VENUE_RECOVERED: "good",
    Event.BRAND_LOGIN_FAILED: "warn",
    Event.BRAND_LOGIN_RECOVERED: "good",
}


def duration(seconds: float) -> str:
    """Say how long something takes or lasts, in at most two units."""
    whole = max(0, round(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    if whole < DAY:
        hours, minutes = whole // HOUR, whole % HOUR // MINUTE
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = whole // DAY, whole % DAY // HOUR
    words = "1 day" if days == 1 else f"{days:,} days"
    return f"{words} {hours} h" if hours and days < 7 else words  # noqa: PLR2004 - hours of last week help nobody


def moment(wall: float) -> datetime:
    """Turn epoch seconds to a time in UTC, within what every reader can hold."""
    return datetime.fromtimestamp(min(max(wall, _YEAR_1), _YEAR_9999), UTC)


def iso(wall: float) -> str:
    """Write epoch seconds as UTC, ISO 8601, whole seconds."""
    return moment(wall).isoformat(timespec="seconds").replace("+00:00", "Z")


def clock(wall: float) -> str:
    """Write epoch seconds for people, in UTC; a script shows it in the reader's own time zone."""
    return iso(wall).replace("T", " ").replace("Z", " UTC")


def count(number: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def times(number: int) -> str:
    """Say how often."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def happened(entry: Entry) -> str:
    """Say what happened, without the subject: that is the station, else the venue, else the brand."""
    details = entry.details
    text = _EVENTS[entry.event]
    match entry.event:
        case Event.STATION_RENAMED:
            text = f"renamed, was “{details.get('previous', '')}”"
        case Event.STATION_KIND_CHANGED:
            text = f"is now {_kind(entry.kind)}, was {_kind(details.get('previous'))}"
        case Event.STATION_ACTIVATED:
            text += _after(details.get("previous_for_seconds"), " after {}")
        case Event.STATION_DEACTIVATED:
            text += _after(details.get("previous_for_seconds"), ", was active for {}")
        case Event.VENUE_LOST | Event.BRAND_LOGIN_FAILED:
            text += f": {reason(details.get('reason'))}"
        case Event.VENUE_RECOVERED | Event.BRAND_LOGIN_RECOVERED:
            text += _after(details.get("down_for_seconds"), " after {}")
    return text


def reason(value: Any) -> str:
    """Say why a poll failed."""
    return REASONS[Reason(value)] if value in Reason.__members__.values() else "the reason is not known"


def tone(event: Event) -> str:
    """Tell whether an event is good, bad, a warning, or neither."""
    return _TONES.get(event, "plain")


def _kind(value: Any) -> str:
    return KINDS[Kind(value)].lower() if value in Kind.__members__.values() else "of unknown kind"


def _after(seconds: Any, words: str) -> str:
    return words.format(duration(seconds)) if isinstance(seconds, int | float) and seconds else ""
