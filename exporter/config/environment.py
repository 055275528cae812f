"""The environment and the flags, merged into what the file says."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from typing import Any

from exporter.config.settings import FROM_FILE
from exporter.document import Document, Keys, Origin, shown
from exporter.errors import ConfigProblem

SETTINGS: dict[str, Keys] = {
    "CLOPOS_POLL_INTERVAL": ("poll_interval",),
    "CLOPOS_STALE_AFTER": ("stale_after",),
    "CLOPOS_DISCOVERY_INTERVAL": ("discovery_interval",),
    "CLOPOS_READY_VENUES_PERCENT": ("ready_venues_percent",),
    "CLOPOS_STATE_PATH": ("state", "path"),
    "CLOPOS_STATE_URL": ("state", "url"),
    "CLOPOS_STATE_URL_FILE": ("state", "url_file"),
    "CLOPOS_JOURNAL_RETENTION": ("state", "journal_retention"),
    "CLOPOS_HEARTBEAT_URL": ("heartbeat", "url"),
    "CLOPOS_HEARTBEAT_URL_FILE": ("heartbeat", "url_file"),
    "CLOPOS_SHARD": ("shard",),
    "CLOPOS_TOTAL_SHARDS": ("total_shards",),
}
BRAND = {
    "CLOPOS_BRAND": "brand",
    "CLOPOS_CLIENT_ID": "client_id",
    "CLOPOS_CLIENT_SECRET": "client_secret",
    "CLOPOS_INTEGRATOR_ID": "integrator_id",
    "CLOPOS_TOKEN": "token",
    **{f"CLOPOS_{key.upper()}_FILE": f"{key}_file" for key in FROM_FILE},
    "CLOPOS_BASE_URL": "base_url",
    "CLOPOS_ALLOW_INSECURE_BASE_URL": "allow_insecure_base_url",
    "CLOPOS_BACK_OFFICE_URL": "back_office_url",
    "CLOPOS_REQUESTS_PER_MINUTE": "requests_per_minute",
    "CLOPOS_VENUE_ID": "venues",
    "CLOPOS_TIME_ZONE": "time_zone",
    "CLOPOS_OPENING_HOURS": "opening_hours",
}
CHANNEL = {
    "CLOPOS_NOTIFY_URL": "url",
    "CLOPOS_NOTIFY_URL_FILE": "url_file",
    "CLOPOS_NOTIFY_LANGUAGE": "language",
}
SECRETS = frozenset(
    {"CLOPOS_CLIENT_SECRET", "CLOPOS_TOKEN", "CLOPOS_STATE_URL", "CLOPOS_HEARTBEAT_URL", "CLOPOS_NOTIFY_URL"}
)
UNNAMED = "default"
"""The name of the brand of a ready token in the environment where CLOPOS_BRAND is not set, and of its channel."""

_SAME: tuple[set[str], ...] = (
    {"client_id", "client_id_file"},
    {"client_secret", "client_secret_file", "token", "token_file"},
    {"integrator_id", "integrator_id_file"},
    {"url", "url_file"},
)
"""Keys that say the same thing in different ways: what is given of them replaces the others."""

_PREFIX = "CLOPOS_"
# What Kubernetes sets for services called clopos, clopos-exporter and so on.
_NOT_OURS = re.compile(r".*_SERVICE_(HOST|PORT.*)|.*_PORT(_\d+_.*)?")


def take_secrets(environ: MutableMapping[str, str]) -> dict[str, str]:
    """Return a copy of the environment, and remove the secrets from the original: child processes inherit that."""
    copy = dict(environ)
    for name in SECRETS & environ.keys():
        del environ[name]
    return copy


def merge(
    document: Document, environ: Mapping[str, str], flags: Mapping[str, Any], flag_variables: Collection[str] = ()
) -> None:
    """Let the environment replace what the file says, and the flags what both say; an empty variable is none.

    A flag's key is the path of the setting, as `state.path`; None is a flag that was not given. `flag_variables` are
    known names besides those of the settings.
    """
    for name, meant in _misspelt(environ, flag_variables):
        document.faults.append(ConfigProblem(name, f"is not known: did you mean {meant}?"))
    given = {name: value.strip() for name, value in environ.items() if value.strip()}
    for name, keys in SETTINGS.items():
        if name in given:
            _set(document, keys[:-1], {name: given[name]}, {name: str(keys[-1])})
    if brand := {name: given[name] for name in BRAND if name in given}:
        _merge_brand(document, brand)
    if channel := {name: given[name] for name in CHANNEL if name in given}:
        _merge_channel(document, channel)
    for key, value in flags.items():
        if value is not None:
            document.put(tuple(key.split(".")), value, Origin(f"--{key.replace('_', '-')}"))


def _misspelt(environ: Mapping[str, str], flag_variables: Collection[str]) -> Iterator[tuple[str, str]]:
    known = {name.removeprefix(_PREFIX) for name in (*SETTINGS, *BRAND, *CHANNEL, *flag_variables)}
    for name in environ:
        rest = name.removeprefix(_PREFIX)
        if name.startswith(_PREFIX) and rest not in known and not _NOT_OURS.fullmatch(name):
            for meant in difflib.get_close_matches(rest, known, n=1, cutoff=0.7):
                yield name, f"{_PREFIX}{meant}"


def _set(document: Document, way: Keys, values: Mapping[str, Any], key_of: Mapping[str, str]) -> None:
    """Put the values of variables into a section, in place of all that says the same another way."""
    section = document.at(way)
    given = {key_of[name] for name in values}
    for key in set().union(*(same for same in _SAME if same & given)) - given:
        if isinstance(section, dict):
            section.pop(key, None)
    for name, value in values.items():
        document.put((*way, key_of[name]), value, Origin(name))


def _merge_channel(document: Document, values: Mapping[str, str]) -> None:
    """Change the channel `default`, or add it."""
    way: Keys = ("notifications", "channels")
    channels = document.at(way) or []
    if not isinstance(channels, list) or not isinstance(document.data.get("notifications") or {}, dict):
        return
    names = [channel.get("name") if isinstance(channel, dict) else None for channel in channels]
    index = names.index(UNNAMED) if UNNAMED in names else len(channels)
    if index == len(channels):
        document.put(way, [*channels, {"name": UNNAMED}], document.origin(way))
        document.came_from((*way, index), Origin("CLOPOS_NOTIFY_URL"))
    _set(document, (*way, index), values, CHANNEL)


def _merge_brand(document: Document, values: dict[str, Any]) -> None:
    brands = document.data.get("brands") or []
    if not isinstance(brands, list):
        return
    index = _which(brands, values.get("CLOPOS_BRAND"))
    if index is None:
        document.faults += _unclear(brands, values)
        return
    if index == len(brands):
        document.data["brands"] = [*brands, {}]
        document.came_from(("brands", index), Origin("CLOPOS_BRAND"))
        for name, key in BRAND.items():
            document.came_from(("brands", index, key), Origin(name))
        if values.keys() & {"CLOPOS_TOKEN", "CLOPOS_TOKEN_FILE"}:
            values.setdefault("CLOPOS_BRAND", UNNAMED)
    if not isinstance(document.data["brands"][index], dict):
        return
    if values.get("CLOPOS_VENUE_ID", "all") != "all":
        values["CLOPOS_VENUE_ID"] = [id_.strip() for id_ in values["CLOPOS_VENUE_ID"].split(",") if id_.strip()]
    _set(document, ("brands", index), values, BRAND)


def _unclear(brands: list[Any], values: Mapping[str, Any]) -> Iterator[ConfigProblem]:
    if name := values.get("CLOPOS_BRAND"):
        yield ConfigProblem("CLOPOS_BRAND", f"the file has no brand {shown(name)}: add it there, or unset CLOPOS_BRAND")
        return
    for variable in values:
        yield ConfigProblem(variable, f"the file has {len(brands)} brands: set CLOPOS_BRAND to the one that is meant")


def _which(brands: list[Any], name: str | None) -> int | None:
    """Return the index of the brand that the environment means, one past the end for the first, None for no such."""
    if name is not None and brands:
        named = (index for index, brand in enumerate(brands) if isinstance(brand, dict) and brand.get("brand") == name)
        return next(named, None)
    return None if len(brands) > 1 else 0
