"""What an audit tried against the real process: floods, abandoned requests, foreign names, a half-written file."""

from __future__ import annotations

import base64
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt
import pytest
from harness import Exporter, Start

FLOOD = "&".join(map(str, range(13_000)))[:60_000]
QUICK = 2.0
"""Seconds in which an answer counts as prompt on a busy machine; the flood used to cost 2.7 s a request."""


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def seconds(exporter: Exporter, path: str, method: str = "GET", **headers: str) -> tuple[int, float]:
    began = time.perf_counter()
    status = exporter.get(path, method=method, **headers).status
    return status, time.perf_counter() - began


@pytest.mark.slow
def test_floods_of_parameters_and_abandoned_requests_cost_nobody_seconds(start: Start) -> None:
    exporter = start()
    exporter.until_ready()
    status, taken = seconds(exporter, f"/api/v1/stations?{FLOOD}")
    assert status == 400
    assert taken < QUICK
    port = urlsplit(exporter.url).port
    for _ in range(40):
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(f"GET /api/v1/stations?{FLOOD} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    for path, method in (("/-/reload", "POST"), ("/api/v1/venues", "GET"), ("/", "GET"), ("/metrics", "GET")):
        status, taken = seconds(exporter, path, method)
        assert (status, taken < QUICK) == (200, True), path


@pytest.mark.slow
def test_a_process_behind_a_proxy_answers_below_its_prefix_to_its_names_and_users(start: Start, tmp_path: Path) -> None:
    hashes = {user: bcrypt.hashpw(user.encode(), bcrypt.gensalt(4)).decode() for user in ("operator", "prometheus")}
    users = "".join(f"  {user}: {hashed}\n" for user, hashed in hashes.items())
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users:\n{users}read_only_users: [prometheus]\n")
    flags = [
        f"--web.config.file={web}",
        "--web.external-url=https://status.example.com/clopos",
        "--web.allowed-host=monitor",
    ]
    exporter = start(of={"flags": flags})
    reader, operator = basic("prometheus", "prometheus"), basic("operator", "operator")
    assert exporter.get("/clopos/-/healthy").status == 200
    assert exporter.get("/clopos/metrics").status == 401
    assert exporter.get("/clopos/metrics", **reader).status == 200
    assert exporter.get("/metrics", **reader).status == 404
    for host, status in {"status.example.com": 200, "monitor:1": 200, "evil.example": 403}.items():
        assert exporter.get("/clopos/api/v1/stations", Host=host, **reader).status == status
    assert exporter.get("/clopos/-/reload", method="POST", **reader).status == 403
    assert exporter.get("/clopos/-/reload", method="POST", **operator).status == 200
    # A writer that stalls after the users: the rest of the file does not yet say who may only read.
    web.write_text(f"basic_auth_users:\n{users}")
    exporter.until_event("web_config.rejected")
    assert exporter.get("/clopos/-/reload", method="POST", **reader).status == 403
