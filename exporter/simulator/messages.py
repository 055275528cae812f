"""What travels: requests, answers, and values as they stand on the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from exporter.model import EMPTY


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in: `query` holds the first value of each name, header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    body: bytes = b""
    ip: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer before it is put on the wire; Content-Length and Date are added there."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json; charset=utf-8"})

    def with_headers(self, more: Mapping[str, str]) -> Answer:
        """Return the same answer with more headers; those it has already stay."""
        return replace(self, headers={**more, **self.headers})


def answer_json(value: Mapping[str, Any], status: int = 200) -> Answer:
    """Answer with a JSON object."""
    return Answer(status, encode(value).encode())


def json_object(body: bytes) -> dict[str, Any] | None:
    """Read a JSON object; None for anything else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def problem(status: int, message: str, error: str | None = None, **more: Any) -> Answer:
    """Answer with the error envelope of the API; `error` is left out where Clopos leaves it out."""
    slug = {} if error is None else {"error": error}
    return answer_json({"success": False, **slug, "message": message, **more}, status)


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
