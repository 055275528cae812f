from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cli_fakes import run

from exporter.web.responses import raw_error


class Handler(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.status, server.asked = 200, []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_daemon_that_answers_is_healthy(server: HTTPServer) -> None:
    result = run("healthcheck", "--web.listen-address", f"127.0.0.1:{server.server_port}")
    assert (result.exit_code, result.output) == (0, "healthy\n")
    assert server.asked == ["/-/healthy"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("flag", ["--web.external-url=https://example.com/clopos", "--web.route-prefix=/clopos"])
def test_a_daemon_below_a_path_is_asked_there(server: HTTPServer, flag: str) -> None:
    assert run("healthcheck", "--web.listen-address", f"127.0.0.1:{server.server_port}", flag).exit_code == 0
    assert server.asked == ["/clopos/-/healthy"]  # type: ignore[attr-defined]


def test_a_daemon_that_is_not_there_is_said_to_be_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = run("healthcheck", "--web.listen-address", f"127.0.0.1:{unused.getsockname()[1]}")
    assert result.exit_code == 1
    assert "nothing listens there; is `clopos-exporter serve` running" in result.output


@pytest.mark.parametrize("host", ["", "0.0.0.0"])  # noqa: S104 - asked, not bound
def test_a_daemon_on_every_interface_is_asked_on_loopback(server: HTTPServer, host: str) -> None:
    assert run("healthcheck", "--web.listen-address", f"{host}:{server.server_port}").exit_code == 0


def test_the_address_may_come_from_the_environment_as_for_serve(server: HTTPServer) -> None:
    address = f"127.0.0.1:{server.server_port}"
    assert run("healthcheck", env={"CLOPOS_EXPORTER_WEB_LISTEN_ADDRESS": address}).exit_code == 0


def test_a_daemon_that_says_otherwise_is_not(server: HTTPServer) -> None:
    server.status = 500  # type: ignore[attr-defined]
    result = run("healthcheck", "--web.listen-address", f"127.0.0.1:{server.server_port}")
    assert result.exit_code == 1
    assert result.output == f"error: 127.0.0.1:{server.server_port} answered HTTP 500\n"


def test_a_daemon_that_is_not_there_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = run("healthcheck", "--web.listen-address", f"127.0.0.1:{port}")
    assert result.exit_code == 1
    assert result.output.startswith(f"error: no answer from 127.0.0.1:{port}")


def test_a_daemon_that_serves_tls_is_not_asked_without_saying_what_is_missing() -> None:
    """Our server says in plain HTTP that it does not speak it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(raw_error(400, "this port speaks TLS: use https:// instead of http://"))
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        result = run("healthcheck", "--web.listen-address", address)
    assert result.exit_code == 1
    assert result.output == f"error: {address} answered HTTP 400; if it serves TLS, give --web.config.file\n"


def test_something_else_on_the_port_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.cli.healthcheck._SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            connection.sendall(b"SSH-2.0-nope\r\n")
            connection.close()

        threading.Thread(target=greet, daemon=True).start()
        result = run("healthcheck", "--web.listen-address", f"127.0.0.1:{listener.getsockname()[1]}")
    assert result.exit_code == 1
    assert "if it serves TLS, give --web.config.file" in result.output


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1", "::1:10110", ":99999"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    result = run("healthcheck", "--web.listen-address", address)
    assert result.exit_code == 1
    assert "--web.listen-address" in result.output


def test_a_web_configuration_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    result = run("healthcheck", "--web.config.file", str(tmp_path / "nowhere.yml"))
    assert result.exit_code == 1
    assert "nowhere.yml" in result.output
