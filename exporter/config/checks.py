"""What concerns more than one key: done before single values are understood, so that all faults come together."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from exporter.config.settings import CLOPOS_REQUESTS_PER_MINUTE, FROM_FILE, Ignored, Settings
from exporter.config.sharding import ordinal
from exporter.config.values import is_apprise_url, is_insecure
from exporter.document import Document, Keys, Origin, shown

_LARGEST_FILE = 64 * 1024
SECRET = frozenset({"client_secret", "token", "url"})
_URL = ("url",)
_TRUE = ("true", "yes", "on", "1", "y", "t")
# In place of values that could not be read, so that they do not count as missing too.
_UNREAD, _UNREAD_URL = "unread", "https://unread.invalid"


def warn_of_readers(document: Document, path: Path) -> None:
    """Note as a warning that everybody can read a configuration file which holds secrets itself."""
    held = any(section.get(key) for _, section, names in _sections(document) for key in SECRET.intersection(names))
    with suppress(OSError):
        if held and path.stat().st_mode & stat.S_IROTH:
            document.warn((), "holds secrets, and every user of this machine can read it: chmod o-r")


def resolve(document: Document, environ: Mapping[str, str]) -> None:
    """Put in what is kept elsewhere: values from files, the shard from the pod's name; make relative paths whole."""
    for keys, section, names in _sections(document):
        for key in names:
            path = section.pop(f"{key}_file", None)
            if path is not None:
                _read_from_file(document, keys, section, key, path)
    state = document.data.get("state")
    if isinstance(state, dict) and isinstance(state.get("path"), str) and state["path"].strip():
        state["path"] = document.origin(("state", "path")).folder / state["path"]
    if document.data.get("shard") is None and document.data.get("total_shards") not in (None, 1, "1"):
        try:
            document.put(("shard",), ordinal(environ), Origin("HOSTNAME"))
        except ValueError as error:
            document.fault(("total_shards",), str(error))


def _sections(document: Document) -> Iterator[tuple[Keys, dict[str, Any], Sequence[str]]]:
    """Yield each section that may name files with values, with the names of those values."""
    for keys, brand in _mappings(document, "brands"):
        yield keys, brand, FROM_FILE
    for keys, channel in _mappings(document, "notifications", "channels"):
        yield keys, channel, _URL
    for name in ("state", "heartbeat"):
        if isinstance(section := document.data.get(name), dict):
            yield (name,), section, _URL


def check(document: Document) -> None:
    """Note as faults: two of what must be one, what is missing beside something else, and what contradicts."""
    first: dict[str, Keys] = {}
    for keys, brand in _mappings(document, "brands"):
        name = str(brand.get("brand")).strip()
        if brand.get("brand") is not None and first.setdefault(name, keys) != keys:
            document.fault((*keys, "brand"), f"{shown(name)} is there already, as brands[{first[name][-1]}]")
        _check_credentials(document, keys, brand)
        _check_address(document, keys, brand)
        _check_venues(document, keys, brand)
    _check_channels(document, first.keys())
    state = document.data.get("state")
    if isinstance(state, dict) and state.get("path") is not None and state.get("url") is not None:
        document.fault(("state", "url"), "path is given as well: keep one of the two")
    _check_shard(document)


def check_urls_of_channels(document: Document, problem_of: Callable[[str], str | None]) -> None:
    """Note as faults the URLs of channels that no message can be sent to; nothing is sent."""
    for keys, channel in _mappings(document, "notifications", "channels"):
        url = channel.get("url")
        if isinstance(url, str) and url != _UNREAD_URL and is_apprise_url(url) and (problem := problem_of(url)):
            document.fault((*keys, "url"), problem)


def warn(document: Document, settings: Settings, today: date) -> None:
    """Note as warnings what is accepted and probably not meant."""
    for number, brand in enumerate(settings.brands):
        keys: Keys = ("brands", number)
        if brand.requests_per_minute > CLOPOS_REQUESTS_PER_MINUTE:
            message = f"is more than the {CLOPOS_REQUESTS_PER_MINUTE} that Clopos documents"
            document.warn((*keys, "requests_per_minute"), message)
        if is_insecure(brand.base_url):
            document.warn((*keys, "base_url"), "secrets and tokens travel in clear over http")
        _warn_of_past(document, keys, brand.ignore_stations, today)
        for id_, override in brand.venue_overrides.items():
            _warn_of_past(document, (*keys, "venue_overrides", id_), override.ignore_stations, today)
    for number, channel in enumerate(settings.notifications.channels):
        if is_insecure(channel.url.get_secret_value()):
            document.warn(("notifications", "channels", number, "url"), "messages travel in clear: use https")
    if settings.heartbeat and is_insecure(settings.heartbeat.url.get_secret_value()):
        document.warn(("heartbeat", "url"), "the address travels in clear: use https")
    if settings.stale_after < 2 * settings.poll_interval:
        document.warn(("stale_after",), "is less than two poll intervals: two poll intervals are in force instead")


def _warn_of_past(document: Document, keys: Keys, ignored: Sequence[Ignored], today: date) -> None:
    for number, rule in enumerate(ignored):
        if rule.until is not None and rule.until < today:
            message = f"{shown(rule.station)} is ignored until {rule.until}, which is over"
            document.warn((*keys, "ignore_stations", number), message)


def _check_shard(document: Document) -> None:
    shard, total = (str(document.data.get(key) or "") for key in ("shard", "total_shards"))
    if not re.fullmatch(r"\d{1,9}", shard) or int(shard) == 0:
        return
    if not total:
        document.fault(("shard",), "needs the number of shards as well: total_shards, or --total-shards")
    elif re.fullmatch(r"\d{1,9}", total) and int(shard) >= int(total) > 0:
        document.fault(("shard",), f"must be below the number of shards, {total}: the first is 0")


def _check_address(document: Document, keys: Keys, brand: Mapping[str, Any]) -> None:
    address, allowed = brand.get("base_url"), brand.get("allow_insecure_base_url")
    with suppress(ValueError):  # no address at all, which is said elsewhere
        if isinstance(address, str) and is_insecure(address.strip()) and str(allowed).lower() not in _TRUE:
            message = "sends secrets and tokens in clear: use https, or set allow_insecure_base_url: true"
            document.fault((*keys, "base_url"), message)


def _check_channels(document: Document, brands: Collection[str]) -> None:
    first: dict[str, Keys] = {}
    for keys, channel in _mappings(document, "notifications", "channels"):
        name = str(channel.get("name")).strip()
        if channel.get("name") is not None and first.setdefault(name, keys) != keys:
            document.fault((*keys, "name"), f"{shown(name)} is there already, as channels[{first[name][-1]}]")
        wanted = channel.get("brands")
        for number, brand in enumerate(wanted if isinstance(wanted, list) else ()):
            if isinstance(brand, str) and brand.strip() not in brands:
                document.fault((*keys, "brands", number), f"{shown(brand)} is no configured brand")


def _read_from_file(document: Document, keys: Keys, section: dict[str, Any], key: str, path: Any) -> None:
    where = (*keys, f"{key}_file")
    if not isinstance(path, str):
        document.fault(where, "must be a path")
    elif section.get(key) is not None:
        document.fault(where, f"{key} is given as well: keep one of the two")
        return
    else:
        origin = document.origin(where)
        document.came_from((*keys, key), origin)
        document.files.append(origin.folder / path)
        try:
            text, mode = _read_text(origin.folder / path)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            # Its name is not repeated: now and then somebody puts the secret itself here.
            document.fault(where, f"the file cannot be read: {why}")
        else:
            if text:
                section[key] = text
                if mode & stat.S_IROTH:
                    document.warn(where, "every user of this machine can read the file: chmod o-r")
                return
            document.fault(where, "the file is empty")
    section[key] = _UNREAD_URL if key == "url" else _UNREAD
    if keys == ("state",):
        del section[key]


def _read_text(path: Path) -> tuple[str, int]:
    """Return the text of a small regular file, stripped, and its mode. Raises OSError, and ValueError with why."""
    # Without waiting: a named pipe that nobody writes to would hang the start.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("it is no regular file")
        data = file.read(_LARGEST_FILE + 1)
    if len(data) > _LARGEST_FILE:
        raise ValueError("it is too large")
    try:
        return data.decode("utf-8-sig").strip(), mode
    except UnicodeDecodeError:
        raise ValueError("it is no text file") from None


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


def _mappings(document: Document, *way: str) -> Iterator[tuple[Keys, dict[str, Any]]]:
    """Yield each mapping of the list at this place, with its keys."""
    value = document.at(way)
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield (*way, index), item
