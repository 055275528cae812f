from __future__ import annotations

import json
from typing import Any

from exporter.simulator.messages import Answer
from exporter.simulator.server import Wire


class FakeWire(Wire):
    """A wire that keeps what was sent and how long it was waited for."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.written = b""
        self.waited = 0.0

    def send(self, answer: Answer) -> None:
        self.answer = answer

    def head(self, answer: Answer, length: int | None) -> bytes:
        return f"{answer.status} {length}\r\n\r\n".encode()

    def write(self, data: bytes) -> None:
        self.written += data

    def wait(self, seconds: float) -> None:
        self.waited += seconds

    def close(self) -> None:
        raise ConnectionAbortedError

    def reset(self) -> None:
        raise ConnectionResetError


def read(answer: Answer) -> Any:
    """Return the JSON of an answer."""
    return json.loads(answer.body)
