"""Stand in for somebody's phone: print the notifications of the demo."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import click

from exporter.masking import escape_controls

_INDENT = " " * 13


@contextmanager
def inbox() -> Iterator[str]:
    """Listen on a free port of loopback, and yield the Apprise URL that prints what is sent to it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Inbox) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, name="inbox", daemon=True).start()
        try:
            yield f"json://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


class _Inbox(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        lines = [message["title"], *message["message"].splitlines()]
        text = "\n".join(textwrap.indent(escape_controls(line), _INDENT) for line in lines)
        click.echo(f"  message    {text.lstrip()}", err=True)
        self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing of the requests themselves."""
