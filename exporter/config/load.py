"""From file, environment and flags to settings, or to every fault at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from pydantic import BaseModel, ValidationError

from exporter.config import environment
from exporter.config.checks import check, check_urls_of_channels, resolve, warn, warn_of_readers
from exporter.config.environment import UNNAMED
from exporter.config.settings import (
    FROM_FILE,
    Brand,
    Channel,
    HeartbeatSettings,
    Ignored,
    IncidentSettings,
    ListedVenue,
    NotificationSettings,
    Settings,
    State,
    VenueSettings,
)
from exporter.document import SENTENCES, Document, Keys, Origin, read, reading_order
from exporter.errors import ConfigError, ConfigProblem
from exporter.model import EMPTY

NO_BRAND = (
    "no brand is configured: set CLOPOS_BRAND, CLOPOS_CLIENT_ID, CLOPOS_CLIENT_SECRET and CLOPOS_INTEGRATOR_ID (or "
    "CLOPOS_TOKEN), or list brands in a file and name it with --config.file; clopos-exporter demo needs neither"
)
MOST_GUESSES = 100
"""Faults, from the first on, for which what was meant is looked for: that takes its time."""

SECTIONS: dict[str, tuple[type[BaseModel], str]] = {
    "": (Settings, "at the top level"),
    "brands": (Brand, "in a brand"),
    "channels": (Channel, "in a channel"),
    "heartbeat": (HeartbeatSettings, "in heartbeat"),
    "ignore_stations": (Ignored, "in ignore_stations"),
    "incidents": (IncidentSettings, "in incidents"),
    "notifications": (NotificationSettings, "in notifications"),
    "state": (State, "in state"),
    "venue_overrides": (VenueSettings, "in venue_overrides"),
    "venues": (ListedVenue, "in venues"),
}
_MESSAGES = {
    **SENTENCES,
    "bool_type": "must be true or false",
    "enum": "must be {expected}",
    "float_type": "must be a duration such as 30s, 5m or 1h30m",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "missing": "is missing",
    "path_type": "must be a path",
    "string_pattern_mismatch": "must be an id of letters, digits, - and _",
}


def load(
    path: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Any] = EMPTY,
    *,
    flag_variables: Collection[str] = (),
    problem_of_channel: Callable[[str], str | None] = lambda _url: None,
    needs_brand: bool = True,
    on_warning: Callable[[ConfigProblem], None] = lambda _fault: None,
    on_file: Callable[[Path], None] = lambda _path: None,
) -> Settings:
    """Read the settings: a flag wins over the environment, that over the file, and the file over the defaults.

    `flags` maps the path of a setting, as `state.path`, to a value. Relative paths begin at the file's folder, those of
    the environment and the flags at the working directory. `flag_variables` are the environment variables that stand
    for flags, so that a misspelt one is noticed. `problem_of_channel` returns what is wrong with the URL of a channel,
    None for nothing. Without `needs_brand`, one that polls nothing stands in where none is configured.
    `on_warning` gets what is accepted and probably not meant, `on_file` each file that is read. Raises
    ConfigError with every fault.
    """
    if path:
        on_file(path)  # before it turns out to be none
    document = read(path) if path else Document(Origin("environment"))
    if path:
        warn_of_readers(document, path)
    environment.merge(document, environ, flags, flag_variables)
    if not needs_brand and document.data.get("brands") is None:
        document.put(("brands",), [{"brand": UNNAMED, "token": "none"}], Origin("environment"))
    resolve(document, environ)
    for file in document.files:
        on_file(file)
    check(document)
    check_urls_of_channels(document, problem_of_channel)
    try:
        settings = Settings.model_validate(document.data)
    except ValidationError as error:
        for number, found in enumerate(error.errors(include_url=False, include_input=False)):
            keys = tuple(key for key in found["loc"] if key != "[key]")
            message = _message(keys, found, guess=number < MOST_GUESSES)
            if keys[-1:] == ("time_zone",) and found["type"] == "value_error" and number < MOST_GUESSES:
                message += _near_time_zone(str(document.at(keys)))
            document.fault(keys, message)
    if document.faults:
        raise ConfigError(sorted(set(document.faults), key=reading_order))
    warn(document, settings, date.today())  # noqa: DTZ011 - a day more or less does not matter to a warning
    for fault in sorted(document.warnings, key=reading_order):
        on_warning(fault)
    return settings


def _message(keys: Keys, found: Mapping[str, Any], *, guess: bool) -> str:
    kind, context = found["type"], found.get("ctx", {})
    if keys == ("brands",) and kind in ("missing", "value_error"):
        return NO_BRAND
    if kind == "missing" and keys[-1] == "url":
        return "is missing: give it, or as url_file the path of a file with it"
    if kind == "extra_forbidden":
        return _unknown(keys, guess=guess)
    if kind == "value_error":
        return str(context["error"])
    return _MESSAGES[kind].format_map(context) if kind in _MESSAGES else str(found["msg"])


def _near_time_zone(name: str) -> str:
    """Ask whether another time zone was meant, if one is near; an offset such as GMT+4 is no misspelt name."""
    near = [] if re.search(r"\d", name) else difflib.get_close_matches(name, _time_zones(), n=1)
    return "".join(f": did you mean {meant}?" for meant in near)


@cache
def _time_zones() -> list[str]:
    return sorted(available_timezones())


def _unknown(keys: Keys, *, guess: bool) -> str:
    here = str(next((key for key in reversed(keys[:-1]) if key in SECTIONS), ""))
    for section in (here, "", "brands") if guess else ():
        for meant in difflib.get_close_matches(str(keys[-1]), _known(section), n=1, cutoff=0.75):
            where = "" if section == here else f", {SECTIONS[section][1]}"
            return f"is not known here: did you mean {meant}{where}?"
    return f"is not known here, only {', '.join(_known(here))}"


def _known(section: str) -> list[str]:
    files = [f"{key}_file" for key in from_file(section)]
    return sorted([*SECTIONS[section][0].model_fields, *files])


def from_file(section: str) -> tuple[str, ...]:
    """Return the keys of a section whose value may be kept in a file of its own, named by `<key>_file`."""
    if section == "brands":
        return FROM_FILE
    return ("url",) if "url" in SECTIONS[section][0].model_fields else ()
