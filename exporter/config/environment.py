"""The environment and the flags, laid over what the file says."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from exporter.config.settings import FROM_FILE
from exporter.document import Document, Keys, Origin
from exporter.errors import Fault

SETTINGS: dict[str, Keys] = {
    "CLOPOS_POLL_INTERVAL": ("poll_interval",),
    "CLOPOS_STALE_AFTER": ("stale_after",),
    "CLOPOS_DISCOVERY_INTERVAL": ("discovery_interval",),
    "CLOPOS_STATE_PATH": ("state", "path"),
    "CLOPOS_JOURNAL_RETENTION": ("state", "journal_retention"),
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
    "CLOPOS_REQUESTS_PER_MINUTE": "requests_per_minute",
    "CLOPOS_VENUE_ID": "venues",
    "CLOPOS_TIME_ZONE": "time_zone",
    "CLOPOS_OPENING_HOURS": "opening_hours",
}
UNNAMED = "default"
"""The name of the one brand that a ready token of the environment stands for, where CLOPOS_BRAND is not set."""

_PREFIX = "CLOPOS_"
# What Kubernetes sets for a service called clopos, and whatever belongs to one called clopos-exporter.
_NOT_OURS = re.compile(r"CLOPOS_EXPORTER_.*|.*_SERVICE_(HOST|PORT.*)|.*_PORT(_\d+_.*)?")


def lay_over(document: Document, environ: Mapping[str, str], flags: Mapping[str, Any]) -> None:
    """Let the environment replace what the file says, and the flags what both say; an empty variable is none.

    A flag's key is the way to the setting, as `state.path`; None is a flag that was not given.
    """
    for name, meant in _misspelt(environ):
        document.faults.append(Fault(name, f"is not known: did you mean {meant}?"))
    said = {name: value.strip() for name, value in environ.items() if value.strip()}
    for name, keys in SETTINGS.items():
        if name in said:
            document.put(keys, said[name], Origin(name))
    brand = {key: said[name] for name, key in BRAND.items() if name in said}
    if brand:
        _lay_over_brand(document, brand)
    for key, value in flags.items():
        if value is not None:
            document.put(tuple(key.split(".")), value, Origin(f"--{key.replace('_', '-')}"))


def _misspelt(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    known = {name.removeprefix(_PREFIX) for name in (*SETTINGS, *BRAND)}
    for name in environ:
        rest = name.removeprefix(_PREFIX)
        if name.startswith(_PREFIX) and rest not in known and not _NOT_OURS.fullmatch(name):
            for meant in difflib.get_close_matches(rest, known, n=1, cutoff=0.7):
                yield name, f"{_PREFIX}{meant}"


def _lay_over_brand(document: Document, values: dict[str, Any]) -> None:
    names = {key: name for name, key in BRAND.items()}
    brands = document.data.get("brands") or []
    if not isinstance(brands, list):
        return
    index = _which(brands, values.get("brand"))
    if index is None:
        message = f"the file has {len(brands)} brands: set CLOPOS_BRAND to the one that is meant"
        document.faults += [Fault(names[key], message) for key in values]
        return
    if index == len(brands):
        document.data["brands"] = [*brands, {}]
        document.came_from(("brands", index), Origin("CLOPOS_BRAND"))
        for key, name in names.items():
            document.came_from(("brands", index, key), Origin(name))
        if values.keys() & {"token", "token_file"}:
            values.setdefault("brand", UNNAMED)
    brand = document.data["brands"][index]
    if not isinstance(brand, dict):
        return
    for rival in set().union(*map(_rivals, values)) - values.keys():
        brand.pop(rival, None)
    if values.get("venues", "all") != "all":
        values["venues"] = [id_.strip() for id_ in values["venues"].split(",") if id_.strip()]
    for key, value in values.items():
        document.put(("brands", index, key), value, Origin(names[key]))


def _which(brands: list[Any], name: str | None) -> int | None:
    """Give the position of the brand that the environment speaks of, one past the end for a new one."""
    if name is not None:
        named = (index for index, brand in enumerate(brands) if isinstance(brand, dict) and brand.get("brand") == name)
        return next(named, len(brands))
    return None if len(brands) > 1 else 0


def _rivals(key: str) -> set[str]:
    """Give the keys that say the same thing another way: a file instead of a value, a token instead of a secret."""
    plain = key.removesuffix("_file")
    if plain not in FROM_FILE:
        return set()
    alike = {"client_secret", "token"} if plain in ("client_secret", "token") else {plain}
    return alike | {f"{name}_file" for name in alike}
