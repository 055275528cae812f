"""What concerns more than one key: done before single values are understood, so that all faults come together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from exporter.config.settings import FROM_FILE
from exporter.config.sharding import ordinal
from exporter.document import Document, Keys, Origin, shown

_LARGEST_FILE = 64 * 1024
_STAND_IN = "unread"


def resolve(document: Document, environ: Mapping[str, str]) -> None:
    """Put in what is kept elsewhere: values from files, the shard from the pod's name; make relative paths whole."""
    for keys, brand in _brands(document):
        for key in FROM_FILE:
            path = brand.pop(f"{key}_file", None)
            if path is not None:
                _take_from_file(document, keys, brand, key, path)
    state = document.data.get("state")
    if isinstance(state, dict) and isinstance(state.get("path"), str) and state["path"].strip():
        state["path"] = document.origin(("state", "path")).folder / state["path"]
    if document.data.get("shard") is None and document.data.get("total_shards") not in (None, 1, "1"):
        try:
            document.put(("shard",), ordinal(environ), Origin("HOSTNAME"))
        except ValueError as error:
            document.fault(("total_shards",), str(error))


def check(document: Document) -> None:
    """Note as faults: two of what must be one, what is missing beside something else, and what contradicts."""
    first: dict[str, Keys] = {}
    for keys, brand in _brands(document):
        name = str(brand.get("brand")).strip()
        if brand.get("brand") is not None and first.setdefault(name, keys) != keys:
            document.fault((*keys, "brand"), f"{shown(name)} is there already, as brands[{first[name][-1]}]")
        _check_credentials(document, keys, brand)
        _check_venues(document, keys, brand)
    shard, total = (str(document.data.get(key, "")) for key in ("shard", "total_shards"))
    if re.fullmatch(r"\d{1,9}", shard) and re.fullmatch(r"\d{1,9}", total) and int(shard) >= int(total) > 0:
        document.fault(("shard",), f"must be below the number of shards, {total}: the first is 0")


def _take_from_file(document: Document, keys: Keys, brand: dict[str, Any], key: str, path: Any) -> None:
    where = (*keys, f"{key}_file")
    if not isinstance(path, str):
        document.fault(where, "must be a path")
    elif brand.get(key) is not None:
        document.fault(where, f"{key} is given as well: keep one of the two")
        return
    else:
        origin = document.origin(where)
        document.came_from((*keys, key), origin)
        try:
            with (origin.folder / path).open("rb") as file:
                text = file.read(_LARGEST_FILE + 1).decode().strip()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text file"
            # Its name is not repeated: now and then somebody puts the secret itself here.
            document.fault(where, f"the file cannot be read: {why}")
        else:
            if text and len(text) <= _LARGEST_FILE:
                brand[key] = text
                return
            document.fault(where, f"the file is {'too large' if text else 'empty'}")
    brand[key] = _STAND_IN  # so that it does not count as missing too


def _check_credentials(document: Document, keys: Keys, brand: Mapping[str, Any]) -> None:
    given = {key for key in FROM_FILE if brand.get(key) is not None}
    if given >= {"token", "client_secret"}:
        document.fault((*keys, "token"), "is used as it is, without a login: remove it, or remove client_secret")
    if "token" not in given:
        for key in ("client_id", "client_secret", "integrator_id"):
            if key not in given:
                document.fault((*keys, key), "is missing: give it, or the path of a file with it, or a ready token")


def _check_venues(document: Document, keys: Keys, brand: Mapping[str, Any]) -> None:
    first: dict[str, int] = {}
    venues = brand.get("venues")
    for index, venue in enumerate(venues if isinstance(venues, list) else ()):
        id_ = str(venue.get("id") if isinstance(venue, dict) else venue).strip()
        if first.setdefault(id_, index) != index:
            document.fault((*keys, "venues", index), f"venue {shown(id_)} is there already, as venues[{first[id_]}]")
    zone = brand.get("time_zone")
    _check_hours(document, keys, brand, zone)
    overrides = brand.get("venue_overrides")
    for id_, override in overrides.items() if isinstance(overrides, dict) else ():
        where = (*keys, "venue_overrides", id_)
        if first and id_.strip() not in first:
            document.fault(where, f"venue {shown(id_)} is not among those in venues")
        if isinstance(override, dict):
            _check_hours(document, where, override, override.get("time_zone") or zone)


def _check_hours(document: Document, keys: Keys, said: Mapping[str, Any], zone: object) -> None:
    if said.get("opening_hours") is not None and zone is None:
        document.fault((*keys, "time_zone"), "is missing: opening_hours need it, such as Asia/Baku")


def _brands(document: Document) -> Iterator[tuple[Keys, dict[str, Any]]]:
    """Give each brand that is a mapping, with its keys."""
    brands = document.data.get("brands")
    for index, brand in enumerate(brands if isinstance(brands, list) else ()):
        if isinstance(brand, dict):
            yield ("brands", index), brand
