"""Print what Alertmanager sends to a Slack channel: `python messages.py HOST:PORT`."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Messages(BaseHTTPRequestHandler):
    """Accept messages in the format of Slack's incoming webhooks."""

    def do_POST(self) -> None:
        """Print a message's channel, title and text."""
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for attachment in message.get("attachments", ()):
            text = attachment.get("text", "").strip().replace("\n", "\n  ")
            sys.stdout.write(f"{message.get('channel', '')} {attachment.get('title', '')}\n  {text}\n")
        sys.stdout.flush()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Print messages only."""


if __name__ == "__main__":
    host, _, port = sys.argv[1].rpartition(":")
    with ThreadingHTTPServer((host, int(port)), Messages) as server:
        sys.stdout.write(f"listening on http://{host}:{server.server_port}/\n")
        sys.stdout.flush()
        server.serve_forever()
