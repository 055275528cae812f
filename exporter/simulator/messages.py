"""What travels: a request, an answer, and the wire that an answer is written to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from exporter.model import EMPTY
from exporter.simulator.encoding import encode


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

    def with_body(self, body: bytes) -> Answer:
        """Return the same answer with another body."""
        return Answer(self.status, body, self.headers)

    def with_headers(self, more: Mapping[str, str]) -> Answer:
        """Return the same answer with more headers; those it has already stay."""
        return Answer(self.status, self.body, {**more, **self.headers})


class Wire(Protocol):
    """The connection an answer goes to. Everything raises ConnectionError once the client has left."""

    def send(self, answer: Answer) -> None:
        """Write a whole answer and keep the connection."""

    def head(self, answer: Answer, length: int | None) -> bytes:
        """Return the status line and headers, with this Content-Length or none at all."""

    def write(self, data: bytes) -> None:
        """Write bytes as they are."""

    def wait(self, seconds: float) -> None:
        """Let seconds of the simulator's clock pass."""

    def close(self) -> None:
        """Close the connection after what was written."""

    def reset(self) -> None:
        """Cut the connection so that the client sees a reset."""


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
