"""The wire shape of Clopos' answers, decoded into the model; whatever is odd in a row stays in that row.

Sources: the vendor's page on the stations endpoint, and the oddities seen in its other answers (ids and flags as
strings, `can_print` in place of `printable`, nulls, timestamps without a fraction).
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from exporter.errors import CloposError
from exporter.model import Kind, Reason, Station, Venue

NAME_LENGTH = 200
"""Characters of a name that are kept: a label, a log line and a page have to hold it."""

MAX_MESSAGE = 2**18
"""Characters of a message in which secrets are looked for."""

_LONG = reprlib.Repr()
_LONG.maxstring = _LONG.maxother = 1000  # characters: more than are ever shown
_SURROGATES = re.compile("[\ud800-\udfff]")
_VISIBLE = re.compile("[!-~]{1,16384}")
_FLAGS = {0: False, 1: True, "0": False, "1": True}
_KINDS = {True: Kind.KITCHEN, False: Kind.OTHER, None: Kind.UNKNOWN}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows; `total` counts the rows of all pages, `sorts_by_id` says whether the API offers that order."""

    rows: tuple[Any, ...]
    total: int
    sorts_by_id: bool


@dataclass(frozen=True, slots=True)
class Token:
    """A login's result: the token, and its end as epoch seconds or seconds from now, as far as it was said."""

    value: str = field(repr=False)
    expires_at: float | None
    expires_in: float | None


def page(document: Row) -> Page:
    """Decode a page of stations. Raises CloposError `malformed` where it is not one."""
    rows, total = document.get("data"), _number(document.get("total"))
    if not isinstance(rows, list):
        raise CloposError(Reason.MALFORMED, "the answer has no list of stations in `data`")
    if total is None or total < 0 or total != int(total):
        raise CloposError(Reason.MALFORMED, "the answer has no row count in `total`")
    sorts = document.get("sorts")
    return Page(tuple(rows), int(total), isinstance(sorts, list) and "id" in sorts)


def stations(rows: Iterable[Any]) -> tuple[list[Station], list[str]]:
    """Decode rows to stations, and describe each row that cannot be one because it has no usable id.

    A row that Clopos marks as deleted is no station any more.
    """
    decoded, unusable = [], []
    for row in rows:
        id_ = _id(row.get("id")) if isinstance(row, dict) else None
        if id_ is None:
            unusable.append(_SURROGATES.sub("\N{REPLACEMENT CHARACTER}", reprlib.repr(row)))
        elif not row.get("deleted_at"):
            decoded.append(_station(id_, row))
    return decoded, unusable


def venues(document: Row, brand: str) -> list[Venue]:
    """Decode the venues that are switched on. Raises CloposError `malformed` where there is no list of them."""
    rows = document.get("data")
    if not isinstance(rows, list):
        raise CloposError(Reason.MALFORMED, "the answer has no list of venues in `data`")
    found: dict[str, Venue] = {}
    for row in rows:
        id_ = _id(row.get("id")) if isinstance(row, dict) else None
        # The id travels in a header: anything but visible ASCII cannot be a venue's.
        if id_ is not None and _VISIBLE.fullmatch(id_) and _flag(row.get("status")) is not False:
            found.setdefault(id_, Venue(brand, id_, _name(row.get("name"), f"Venue {id_}")))
    return list(found.values())


def token(document: Row) -> Token:
    """Decode the answer to a login. Raises CloposError `malformed` where it holds no token."""
    value = document.get("token")
    # It travels in a header too.
    if not isinstance(value, str) or not _VISIBLE.fullmatch(value):
        raise CloposError(Reason.MALFORMED, "the login answered without a usable token", brand_wide=True)
    return Token(value, _number(document.get("expires_at")), _number(document.get("expires_in")))


def message(document: Row, mask: Callable[[str], str] = str) -> str:
    """Return what the answer says to people, in one bounded line; `mask` hides what must not be repeated."""
    return _text(document.get("message") or document.get("error") or "no message", 200, mask)


def identifier(document: Row) -> str:
    """Return what the answer says to programs, a sentence or a slug, in one bounded line; empty if nothing."""
    return _text(document.get("error") or "", 200)


def _station(id_: str, row: Row) -> Station:
    return Station(
        id=id_,
        name=_name(row.get("name"), f"Station {id_}"),
        kind=_KINDS[_flag(row.get("type"))],
        active=_flag(row.get("status")),
        printable=_flag(row["printable"] if "printable" in row else row.get("can_print")),
        created_at=_time(row.get("created_at")),
        updated_at=_time(row.get("updated_at")),
    )


def _id(value: object) -> str | None:
    """Take an id that can be carried as it is: two that were cut or fixed might become one."""
    if isinstance(value, str):
        return value if 0 < len(value) <= NAME_LENGTH and not _SURROGATES.search(value) else None
    # A bool is an int in Python, and never an id.
    return str(value) if type(value) is int and abs(value) < 2**63 else None


def _flag(value: object) -> bool | None:
    return _FLAGS.get(value) if isinstance(value, int | float | str) else None


def _number(value: object) -> float | None:
    """Take finite numbers within reason, numeric strings included."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,15}(\.\d{1,9})?", value):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:  # noqa: PLR2004
        return float(value)
    return None


def _time(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _name(value: object, default: str) -> str:
    """Take a name as it is; only what UTF-8 cannot carry is replaced, and only what no label can hold is cut."""
    if not isinstance(value, str) or not value:
        return default
    if len(value) > NAME_LENGTH:
        value = value[: NAME_LENGTH - 1] + "…"
    return value if value.isascii() else _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", value)


def _text(value: object, length: int, mask: Callable[[str], str] = str) -> str:
    """Put anything on one bounded line."""
    # Masked before it is cut to its length: what is left of a secret would no longer be recognized. A text of megabytes
    # is no message though, and nothing beyond its beginning is ever shown.
    text = mask((value if isinstance(value, str) else _LONG.repr(value))[:MAX_MESSAGE])
    text = " ".join(_SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text[: 4 * length]).split())
    return text if len(text) <= length else text[: length - 1] + "…"
