"""Services on loopback that take messages or refuse them: any for `json://`, and Telegram's Bot API."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from threading import Event, Lock, Thread
from typing import Any, Self

Answer = tuple[int, dict[str, Any]] | str
"""Status and body, or "hang" or "close"."""

OK: Answer = (200, {"ok": True, "result": {"message_id": 1}})


class Service:
    """An HTTP service on loopback; a context manager. `answer` says what it does with the next message."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        """What was accepted, in order."""
        self.seen: list[dict[str, Any]] = []
        """Everything that arrived, accepted or not."""
        self.paths: list[str] = []
        self.answer: Callable[[], Answer] = lambda: OK
        self._released, self._lock = Event(), Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) == length:  # else the sender was killed meanwhile
                    service._serve(self, json.loads(body))

            def do_GET(self) -> None:
                service._serve(self, {})

            def log_message(self, *_: object) -> None:
                """Write nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def json_url(self) -> str:
        """Return the Apprise URL of this service."""
        return f"json://{self.address}/hooks/marked-secret-1234?redirect=no"

    def answer_with(self, *answers: Answer) -> None:
        """Return these answers in turn, for ever."""
        repeated: Iterator[Answer] = cycle(answers)
        self.answer = lambda: next(repeated)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def accept(self, path: str, body: dict[str, Any]) -> Answer:
        """Say what becomes of a message."""
        del path, body
        return self.answer()

    def _serve(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        with self._lock:
            self.paths.append(handler.path)
            self.seen.append(body)
            answer = self.accept(handler.path, body)
            if not isinstance(answer, str) and answer[0] < 300:
                self.received.append(body)
        if answer == "hang":
            self._released.wait(30.0)
        if isinstance(answer, str):
            handler.close_connection = True
            with suppress(OSError):
                handler.connection.shutdown(socket.SHUT_RDWR)
            return
        status, content = answer
        data = json.dumps(content).encode()
        with suppress(OSError):
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(data)))
            handler.send_header("Content-Type", "application/json")
            handler.end_headers()
            handler.wfile.write(data)


class Telegram(Service):
    """The sendMessage method of Telegram's Bot API with its own rules: token, chat, HTML, length."""

    TOKEN = "987654321:AAmarkedmarkedmarkedmarkedmarked123"
    CHAT = -1001234567890

    @property
    def url(self) -> str:
        return f"tgram://{self.TOKEN}/{self.CHAT}"

    @property
    def texts(self) -> list[str]:
        """Return the accepted messages as people see them."""
        return [shown(message["text"]) for message in self.received]

    def accept(self, path: str, body: dict[str, Any]) -> Answer:
        answer = self.answer()
        if answer != OK:
            return answer
        if path != f"/bot{self.TOKEN}/sendMessage":
            return error(404, "Not Found")
        if body["chat_id"] != self.CHAT:
            return error(400, "Bad Request: chat not found")
        if body["parse_mode"] == "HTML" and re.search(
            r"<(?!/?(b|i|u|s|code|pre)>)|&(?!(lt|gt|amp|quot|#\d+);)", body["text"]
        ):
            return error(400, "Bad Request: can't parse entities")
        if len(shown(body["text"]).encode("utf-16-le")) // 2 > 4096:
            return error(400, "Bad Request: message is too long")
        return OK


def error(status: int, description: str, **parameters: Any) -> Answer:
    """Return an error as Telegram words it."""
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    return status, body | ({"parameters": parameters} if parameters else {})


def shown(text: str) -> str:
    """Return HTML as people see it."""
    plain = re.sub(r"</?\w+>", "", text)
    for entity, letter in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#39;", "'"), ("&amp;", "&")):
        plain = plain.replace(entity, letter)
    return plain
