"""Values as they stand on the wire."""

from __future__ import annotations

import json
from typing import Any


def encode(value: Any) -> str:
    """Encode as compact JSON, in UTF-8 where the text can be."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: only an escape can carry it
        return json.dumps(value, separators=(",", ":"))
    return text


def envelope(rows: list[str], total: int | None = None) -> str:
    """Join rows to an answer that is still open at its end."""
    data = f'{{"success":true,"data":[{",".join(rows)}]'
    return data if total is None else f'{data},"total":{total}'


def wire_id(id: str) -> int | str:  # noqa: A002 - the API's own word
    """Return an id as it stands on the wire: a number where it is one."""
    return int(id) if id.isdecimal() else id
