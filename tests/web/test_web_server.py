"""The server against clients that are slow, silent or hostile, and how it starts and stops."""

from __future__ import annotations

import asyncio
import gc
import http.client
import logging
import os
import random
import re
import resource
import socket
import ssl
import struct
import threading
import time
import tomllib
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
import requests
from starlette.types import Receive, Scope, Send
from web_fakes import FakeExposition, Serving, Site

from benchmarks.certificates import Authority
from exporter.web.addresses import Address, listen
from exporter.web.connection import ClientConnection, ConnectionLimits
from exporter.web.endpoints import Management, create_app
from exporter.web.server import WebServer
from exporter.web.webconfig_file import WebConfigFile

TIMEOUT = 5
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
QUICK = ConnectionLimits(keep_alive=0.6, request=0.3, answer=0.6, grace=0.3, tick=0.05)


@contextmanager
def client(site: Site) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", site.port), TIMEOUT) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    """Read until the server hangs up."""
    answer = b""
    try:
        while piece := connection.recv(1 << 20):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


def read_scrape(connection: socket.socket) -> None:
    answer = b""
    while not answer.endswith(b"up 1\n"):
        piece = connection.recv(65536)
        assert piece, "the server hung up"
        answer += piece


def scrapes(site: Site) -> bool:
    return requests.get(f"{site.url}/metrics", timeout=TIMEOUT).status_code == 200


@pytest.fixture
def quick_site(serving: Serving, exposition: FakeExposition) -> Iterator[Site]:
    with serving(create_app(exposition.scrape, Management(list, lambda: None)), limits=QUICK) as site:
        yield site


def test_a_kept_alive_scrape_does_not_wait_for_acknowledgements(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=TIMEOUT)
    began = time.perf_counter()
    for _ in range(20):
        connection.request("GET", "/metrics")
        assert connection.getresponse().read() == b"up 1\n"
    connection.close()
    assert time.perf_counter() - began < 20 * 0.04


def test_every_listen_address_answers(exposition: FakeExposition) -> None:
    server = WebServer(
        create_app(exposition.scrape, Management(list, lambda: None)),
        listen([Address("127.0.0.1", 0), Address("127.0.0.1", 0)]),
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    assert len(set(server.urls)) == 2
    for url in server.urls:
        assert requests.get(f"{url}/metrics", timeout=TIMEOUT).status_code == 200
    server.stop()
    thread.join(TIMEOUT)


def test_a_server_stopped_before_it_runs_does_not_run(exposition: FakeExposition) -> None:
    server = WebServer(create_app(exposition.scrape, Management(list, lambda: None)), listen([Address("127.0.0.1", 0)]))
    [url] = server.urls
    server.stop()
    server.run()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/metrics", timeout=TIMEOUT)


def test_stopping_lets_an_answer_under_way_finish(serving: Serving) -> None:
    entered = threading.Event()

    async def slow(_: Scope, __: Receive, send: Send) -> None:
        entered.set()
        await asyncio.sleep(0.2)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

    with serving(slow) as site, client(site) as connection:
        connection.sendall(SCRAPE)
        entered.wait(TIMEOUT)
        site.server.stop()
        assert everything(connection).endswith(b"done")


def test_stopping_does_not_wait_for_clients_that_hang(serving: Serving, exposition: FakeExposition) -> None:
    exposition.answer = exposition.answer._replace(chunks=(b"x" * 20_000_000,))
    with serving(create_app(exposition.scrape, Management(list, lambda: None)), limits=QUICK) as site:
        hanging = [socket.create_connection(("127.0.0.1", site.port), TIMEOUT) for _ in range(6)]
        for connection in hanging[:3]:
            connection.sendall(SCRAPE)
        for connection in hanging[3:5]:
            connection.sendall(b"GET /met")
        assert requests.get(f"{site.url}/-/healthy", timeout=TIMEOUT).status_code == 200
        began = time.monotonic()
    assert time.monotonic() - began < 1.5
    for connection in hanging:
        connection.close()


def test_stopping_closes_idle_connections_at_once(serving: Serving, exposition: FakeExposition) -> None:
    with serving(create_app(exposition.scrape, Management(list, lambda: None))) as site, client(site) as connection:
        connection.sendall(SCRAPE)
        read_scrape(connection)
        began = time.monotonic()
        site.server.stop()
        assert everything(connection) == b""
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("begun", [b"G", b"GET /metrics HTTP/1.1\r\nHost: x\r\n", b"POST /-/reload HTTP/1.1\r\n"])
def test_a_request_that_does_not_end_is_cut_off(quick_site: Site, begun: bytes) -> None:
    with client(quick_site) as connection:
        connection.sendall(begun)
        began = time.monotonic()
        assert everything(connection) == b""
        assert 0.2 < time.monotonic() - began < 1.5


def test_a_request_that_trickles_in_is_cut_off(quick_site: Site) -> None:
    def trickle() -> None:
        for number in range(40):
            connection.sendall(b"X-%d: y\r\n" % number)
            time.sleep(0.05)

    with client(quick_site) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            trickle()


@pytest.mark.parametrize("said", [b"", SCRAPE, b"\r\n\r\n", SCRAPE + b"\r\n"])
def test_an_idle_connection_is_closed_in_the_end(quick_site: Site, said: bytes) -> None:
    with client(quick_site) as connection:
        connection.sendall(said)
        began = time.monotonic()
        assert everything(connection).count(b"up 1") == said.count(b"GET")
        assert 0.4 < time.monotonic() - began < 2


def test_an_idle_connection_is_kept_for_the_next_scrape(site: Site) -> None:
    with client(site) as connection:
        for _ in range(2):
            connection.sendall(SCRAPE)
            read_scrape(connection)
            time.sleep(1.2)


def test_a_reader_that_stops_reading_is_cut_off(serving: Serving, exposition: FakeExposition) -> None:
    exposition.answer = exposition.answer._replace(chunks=(b"x" * 20_000_000,))
    with (
        serving(create_app(exposition.scrape, Management(list, lambda: None)), limits=QUICK) as site,
        client(site) as connection,
    ):
        connection.sendall(SCRAPE)
        time.sleep(1.2)
        assert len(everything(connection)) < 20_000_000


def test_slow_readers_of_different_answers_do_not_pile_up(serving: Serving) -> None:
    """Each answer is another object, as after a poll, and the oldest reader goes when there are too many of them."""
    alive: list[int] = []

    class Body(bytes):
        def __del__(self) -> None:
            alive.pop()

    async def app(_: Scope, __: Receive, send: Send) -> None:
        body = Body(8_000_000)
        alive.append(1)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8000000")]})
        await send({"type": "http.response.body", "body": body})

    with serving(app, limits=ConnectionLimits(held=20_000_000)) as site:
        slow = []
        for _ in range(8):
            connection = socket.create_connection(("127.0.0.1", site.port), TIMEOUT)
            connection.sendall(SCRAPE)
            connection.recv(1000)
            slow.append(connection)
        assert len(requests.get(site.url, timeout=TIMEOUT).content) == 8_000_000
        gc.collect()
        assert 1 <= len(alive) <= 3
        for connection in slow:
            connection.close()


def test_slow_readers_of_one_answer_share_it(serving: Serving, exposition: FakeExposition) -> None:
    exposition.answer = exposition.answer._replace(chunks=(b"x" * 8_000_000,))
    with serving(
        create_app(exposition.scrape, Management(list, lambda: None)), limits=ConnectionLimits(held=9_000_000)
    ) as site:
        slow = [socket.create_connection(("127.0.0.1", site.port), TIMEOUT) for _ in range(8)]
        for connection in slow:
            connection.sendall(SCRAPE + b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert scrapes(site)
        assert all(len(everything(connection)) > 8_000_000 for connection in slow)
        for connection in slow:
            connection.close()


def test_when_there_are_too_many_the_longest_idle_goes_first(serving: Serving, exposition: FakeExposition) -> None:
    app = create_app(exposition.scrape, Management(list, lambda: None))
    with serving(app, limits=ConnectionLimits(connections=10)) as site, client(site) as regular:
        idle = [socket.create_connection(("127.0.0.1", site.port), TIMEOUT) for _ in range(9)]
        regular.sendall(SCRAPE)
        read_scrape(regular)
        for _ in range(5):
            assert scrapes(site)
        assert idle[0].recv(1) == b""
        regular.sendall(SCRAPE)
        read_scrape(regular)
        for connection in idle:
            connection.close()


def test_the_last_free_file_serves_a_client(serving: Serving, exposition: FakeExposition) -> None:
    """Once it is taken, nothing more can be accepted; nobody is sent away for that while nobody waits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(create_app(exposition.scrape, Management(list, lambda: None))) as site, socket.socket() as connection:
        assert scrapes(site)  # it has started
        connection.settimeout(TIMEOUT)
        free = os.dup(connection.fileno())
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, hard))
        try:
            connection.connect(("127.0.0.1", site.port))
            time.sleep(0.2)  # for the server to see that it has no file left
            connection.sendall(SCRAPE)
            read_scrape(connection)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_client_that_stops_talking_still_gets_its_answers(serving: Serving, exposition: FakeExposition) -> None:
    exposition.answer = exposition.answer._replace(chunks=(b"x" * 8_000_000,))
    with serving(create_app(exposition.scrape, Management(list, lambda: None))) as site, client(site) as connection:
        connection.sendall(SCRAPE * 2)
        connection.shutdown(socket.SHUT_WR)
        assert len(everything(connection)) > 16_000_000


def test_a_client_that_goes_away_in_the_middle_is_not_worth_a_word(
    serving: Serving, exposition: FakeExposition, caplog: pytest.LogCaptureFixture
) -> None:
    exposition.answer = exposition.answer._replace(chunks=(b"x" * 20_000_000,))
    with serving(create_app(exposition.scrape, Management(list, lambda: None))) as site:
        for _ in range(20):
            with client(site) as connection:
                connection.sendall(SCRAPE)
                connection.recv(1000)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert requests.get(f"{site.url}/-/healthy", timeout=TIMEOUT).status_code == 200
    assert not [record for record in caplog.records if record.name.startswith(("asyncio", "uvicorn"))]


def test_a_head_that_is_too_large_is_refused(site: Site) -> None:
    with client(site) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n" + b"X: " + b"y" * 100_000)
        assert everything(connection).startswith(b"HTTP/1.1 431 ")
    assert scrapes(site)


def test_more_headers_than_anybody_sends_are_refused(site: Site) -> None:
    with client(site) as connection:
        connection.sendall(SCRAPE[:-2] + b"".join(b"X-%d: y\r\n" % number for number in range(5_000)) + b"\r\n")
        assert everything(connection).startswith(b"HTTP/1.1 400 ")
    assert scrapes(site)


def test_a_body_without_end_is_not_read(site: Site) -> None:
    with client(site) as connection:
        connection.sendall(b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.sendall(bytes(100_000_000))
    assert scrapes(site)


def test_a_small_body_is_passed_over_and_the_connection_goes_on(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=TIMEOUT)
    for _ in range(3):
        connection.request("POST", "/-/reload", body=b"x" * 1000)
        assert connection.getresponse().read() == b"reloaded\n"
    connection.close()


def test_pipelined_requests_are_answered_in_order_up_to_a_limit(site: Site, exposition: FakeExposition) -> None:
    with client(site) as connection:
        connection.sendall(SCRAPE * 5 + b"GET /-/healthy HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer = everything(connection)
        assert answer.count(b"up 1\n") == 5
        assert answer.endswith(b"healthy\n")
    with client(site) as connection:
        connection.sendall(SCRAPE * 5000)
        everything(connection)
    assert len(exposition.asked) < 100
    assert scrapes(site)


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /metrics HTTP/9.9",
        b"GET http://[::1 HTTP/1.1",
        b"GET /\xff\xfe HTTP/1.1",
        b"GET /%ff%00%zz HTTP/1.1",
        b"GET /..%2f..%2fetc/passwd HTTP/1.1",
        b"GET /" + b"a" * 50_000 + b" HTTP/1.1",
        b"GET /metrics?" + b"name[]=a&" * 5_000 + b" HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT example.org:443 HTTP/1.1",
        b"BREW /metrics HTTP/1.1",
        b"GET /metrics HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade",
        b"GET /metrics HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"GET /metrics HTTP/1.1\r\nContent-Length: -1",
        b"GET /metrics HTTP/1.1\r\nAccept: \xff\xff;q=\xfe\r\nAccept-Encoding: \x00gzip",
        b"POST /-/reload HTTP/1.1\r\nOrigin: http://[\r\nContent-Length: 0",
    ],
)
def test_absurd_requests_harm_nobody(site: Site, request_line: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with client(site) as connection, caplog.at_level(logging.INFO):
        connection.sendall(request_line + b"\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        everything(connection)
    assert scrapes(site)
    assert not [record for record in caplog.records if record.name.startswith(("asyncio", "uvicorn"))]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [(b"nonsense\r\n\r\n", b"400 Bad Request"), (SCRAPE[:-2] + b"X: " + b"y" * 100_000, b"431 Request Header")],
)
def test_what_is_not_http_gets_an_answer_that_keeps_browsers_safe(
    site: Site, request_bytes: bytes, status: bytes
) -> None:
    with client(site) as connection:
        connection.sendall(request_bytes)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 " + status)
    for header in (b"x-content-type-options: nosniff", b"cache-control: no-store", b"default-src 'none'"):
        assert header in answer


def test_random_bytes_harm_nobody(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(7)  # noqa: S311 - repeatable noise
    with caplog.at_level(logging.INFO):
        for _ in range(200):
            with client(site) as connection:
                noise = bytearray(SCRAPE * 3)
                for _ in range(chance.randrange(1, 6)):
                    noise[chance.randrange(len(noise))] = chance.randrange(256)
                connection.sendall(noise)
                connection.shutdown(socket.SHUT_WR)
                everything(connection)
    assert scrapes(site)
    assert not [record for record in caplog.records if record.name.startswith(("asyncio", "uvicorn"))]


@pytest.mark.parametrize("said", [None, b"", b"GET /met", b"GET /-/healthy HTTP/1.1\r\n\r\n", SCRAPE])
@pytest.mark.parametrize("tls", [False, True])
def test_a_client_that_left_is_forgotten_without_the_garbage_collector(
    serving: Serving, exposition: FakeExposition, tmp_path: Path, said: bytes | None, *, tls: bool
) -> None:
    def kept() -> int:
        return sum(isinstance(thing, ClientConnection | SSLProtocol) for thing in gc.get_objects())

    exposition.answer = exposition.answer._replace(chunks=(b"x" * 8_000_000,))
    authority = Authority(tmp_path)
    authority.issue("server")
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}")
    web_config = WebConfigFile(tmp_path / "web.yml") if tls else None
    trust = ssl.create_default_context(cafile=str(authority.file))
    with serving(create_app(exposition.scrape, Management(list, lambda: None)), web_config=web_config) as site:
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                with client(site) as raw:
                    if said is None:
                        continue
                    connection = trust.wrap_socket(raw, server_hostname="localhost") if tls else raw
                    connection.sendall(said)
                    if said.endswith(b"\r\n\r\n"):
                        connection.recv(1000)
                    connection.close()
            wait_until(lambda: kept() == 0)
        finally:
            gc.enable()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.slow
def test_clients_leave_nothing_behind(site: Site) -> None:
    for _ in range(2):
        before = open_files()
        for number in range(300):
            with client(site) as connection:
                if number % 3:
                    connection.sendall(SCRAPE[: number % len(SCRAPE)])
        assert scrapes(site)
        time.sleep(0.1)
    assert open_files() <= before + 1


def test_uvicorn_is_bounded_to_versions_whose_protocol_was_tried() -> None:
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())
    [requirement] = [one for one in project["project"]["dependencies"] if one.startswith("uvicorn")]
    oldest, newest = re.fullmatch(r"uvicorn>=0\.(\d+),<0\.(\d+)", requirement).groups()  # type: ignore[union-attr]
    tried = int(version("uvicorn").split(".")[1])
    assert int(oldest) <= tried < int(newest)
