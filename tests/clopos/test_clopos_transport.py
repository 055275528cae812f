from __future__ import annotations

import gzip
import io
import json
import socket
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from raw_server import RawServer, Say, Wire, answer, close
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

from exporter.clopos import transport as module
from exporter.clopos.transport import ApiResponse, StaleConnectionError, Transport
from exporter.errors import CloposError, Stopped
from exporter.model import Reason

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Make = Callable[..., Transport]


def reason(ask: Callable[[Say], ApiResponse], say: Say) -> Reason:
    with pytest.raises(CloposError) as caught:
        ask(say)
    assert "secret-token" not in str(caught.value)
    assert "://" not in str(caught.value)
    return caught.value.reason


# What is sent


def test_a_get_goes_to_the_endpoint_below_the_base_url_with_its_parameters_and_a_bare_token(make: Make) -> None:
    with RawServer(answer()) as server:
        got = make(f"{server.url}/open-api/v2/").get(
            "stations", {"limit": 200, "sort[0]": "id"}, {"x-token": "jwt", "x-venue": "7"}
        )
    assert got == ApiResponse(200, got.headers, {"success": True})
    line, *headers = server.requests[0].decode().split("\r\n")
    assert line == "GET /open-api/v2/stations?limit=200&sort%5B0%5D=id HTTP/1.1"
    assert {"x-token: jwt", "x-venue: 7", "Accept-Encoding: gzip", "Accept: application/json"} <= set(headers)
    assert not [header for header in headers if header.lower().startswith(("authorization", "cookie"))]


def test_time_that_is_given_to_a_scrape_is_not_time_that_clopos_took(monkeypatch: pytest.MonkeyPatch) -> None:
    read, given, took = time.perf_counter, [0.0], [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: read() + sum(given))
    with RawServer(answer()) as server:
        made = Transport(
            server.url,
            connections=1,
            observe=lambda _endpoint, _code, seconds: took.append(seconds),
            give_way=lambda: given.append(100.0),
        )
        made.get("stations", {}, {})
        made.close()
    assert len(given) == 2
    assert 0.0 < took[-1] < 100.0


def test_a_post_carries_json(make: Make) -> None:
    with RawServer(answer()) as server:
        make(server.url).post("auth", {"client_id": "ə"})
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /auth ")
    assert json.loads(body) == {"client_id": "ə"}


def test_one_connection_serves_many_requests(make: Make) -> None:
    with RawServer(answer()) as server:
        transport = make(server.url)
        for _ in range(5):
            transport.get("stations", {}, {})
        assert (len(server.requests), server.connections) == (5, 1)


def test_a_connection_that_the_server_let_go_is_replaced_without_a_failure(make: Make) -> None:
    def once(wire: Wire) -> None:
        answer()(wire)
        close(wire)

    with RawServer(once) as server:
        transport = make(server.url)
        for _ in range(3):
            assert transport.get("stations", {}, {}).status == 200
            time.sleep(0.02)


@pytest.mark.parametrize("send", ["get", "post"])
def test_a_kept_alive_connection_that_is_reset_is_replaced_at_once(
    make: Make, observed: list[tuple[str, str]], send: str
) -> None:
    served = Counter[Wire]()

    def reset_the_second(wire: Wire) -> None:
        served[wire] += 1
        if served[wire] == 2:
            wire.reset()
        answer()(wire)

    with RawServer(reset_the_second) as server:
        transport = make(server.url)

        def ask() -> ApiResponse:
            return transport.get("stations", {}, {}) if send == "get" else transport.post("auth", {})

        assert [ask().status for _ in range(3)] == [200] * 3
        assert server.connections == 3
    assert [code for _, code in observed] == ["200"] * 3


def test_a_new_connection_that_is_reset_is_a_failure(make: Make) -> None:
    with RawServer(Wire.reset) as server:
        with pytest.raises(CloposError) as caught:
            make(server.url).get("stations", {}, {})
        assert len(server.requests) == 1
    assert caught.value.reason is Reason.CONNECTION


@pytest.mark.parametrize("interim", ["103 Early Hints", "102 Processing", "100 Continue"])
def test_interim_responses_are_skipped(ask: Callable[[Say], ApiResponse], interim: str) -> None:
    def say(wire: Wire) -> None:
        for _ in range(3):
            wire.send(f"HTTP/1.1 {interim}\r\nLink: </style.css>; rel=preload\r\n\r\n".encode())
        answer(b'{"total": 7}')(wire)

    assert ask(say).document == {"total": 7}


def test_a_304_is_malformed_as_nothing_was_asked_conditionally(ask: Callable[[Say], ApiResponse]) -> None:
    assert reason(ask, answer(b"", "304 Not Modified")) is Reason.MALFORMED


def test_cookies_are_never_kept(make: Make) -> None:
    with RawServer(answer(Set_Cookie="session=1; Path=/")) as server:
        transport = make(server.url)
        for _ in range(2):
            transport.get("stations", {}, {})
    assert b"cookie" not in server.requests[1].lower()


def test_credentials_of_a_netrc_are_not_looked_for(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with RawServer(answer()) as server:
        make(server.url).get("stations", {}, {})
    assert b"authorization" not in server.requests[0].lower()


# Redirects


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed_so_that_the_token_goes_nowhere_else(
    ask: Callable[[Say], ApiResponse], status: str
) -> None:
    with RawServer(answer()) as elsewhere:
        assert reason(ask, answer(b"", status, Location=f"{elsewhere.url}/stolen")) is Reason.REDIRECTED
        assert not elsewhere.requests
        assert not elsewhere.connections


def test_a_redirects_body_is_not_read_even_if_it_never_ends(ask: Callable[[Say], ApiResponse]) -> None:
    sent: list[int] = []

    def endless(wire: Wire) -> None:
        wire.send(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n")
        while True:
            wire.send(b" " * 2**16)
            sent.append(2**16)

    assert reason(ask, endless) is Reason.REDIRECTED
    assert sum(sent) < module.MAX_BYTES


# Bodies


def test_a_packed_body_is_unpacked(ask: Callable[[Say], ApiResponse]) -> None:
    assert ask(answer(gzip.compress(b'{"total": 7}'), Content_Encoding="gzip")).document == {"total": 7}


def test_a_body_without_a_length_ends_with_the_connection(ask: Callable[[Say], ApiResponse]) -> None:
    def say(wire: Wire) -> None:
        wire.send(HEAD + b"\r\n" + b'{"total": 7}')
        close(wire)

    assert ask(say).document == {"total": 7}


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"7", b'"text"', b"<html>", b'{"a":', b"\xff\xfe", b'{"a":"\xff"}', b"[" * 100_000],
)
def test_a_body_that_is_no_json_object_is_malformed(ask: Callable[[Say], ApiResponse], body: bytes) -> None:
    assert reason(ask, answer(body)) is Reason.MALFORMED


def test_an_integer_without_end_is_malformed(ask: Callable[[Say], ApiResponse]) -> None:
    assert reason(ask, answer(b'{"total": ' + b"9" * 10_000 + b"}")) is Reason.MALFORMED


def test_a_gateways_own_page_is_known_by_its_status(ask: Callable[[Say], ApiResponse]) -> None:
    got = ask(answer(b"<html>502</html>", "502 Bad Gateway"))
    assert (got.status, got.document) == (502, {})


def truncated(wire: Wire) -> None:
    wire.send(HEAD + b'Content-Length: 100\r\n\r\n{"total": 7')
    close(wire)


def truncated_chunk(wire: Wire) -> None:
    wire.send(HEAD + b'Transfer-Encoding: chunked\r\n\r\nff\r\n{"total": 7')
    close(wire)


def broken_chunk(wire: Wire) -> None:
    wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n{}\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "say",
    [
        truncated,
        truncated_chunk,
        broken_chunk,
        answer(b"not gzip", Content_Encoding="gzip"),
        answer(gzip.compress(b'{"total": 7}' * 100)[:40], Content_Encoding="gzip"),
        answer(b"not deflate", Content_Encoding="deflate"),
        answer(b"?", Content_Encoding=", ".join(["gzip"] * 20)),
    ],
    ids=["truncated", "truncated chunk", "broken chunk", "not gzip", "half gzip", "not deflate", "gzip in gzip"],
)
def test_an_answer_that_is_cut_short_or_cannot_be_unpacked_is_malformed(
    ask: Callable[[Say], ApiResponse], say: Say
) -> None:
    assert reason(ask, say) is Reason.MALFORMED


def endless(wire: Wire) -> None:
    wire.send(HEAD + b'\r\n{"data": [')
    while True:
        wire.send(b"1," * 2**15)


def bomb(wire: Wire) -> None:
    packed = zlib.compressobj(9, wbits=31)
    wire.send(HEAD + b"Content-Encoding: gzip\r\n\r\n")
    while True:
        wire.send(packed.compress(b" " * 2**22) + packed.flush(zlib.Z_SYNC_FLUSH))


@pytest.mark.parametrize("say", [endless, bomb])
def test_an_answer_without_end_is_too_large(ask: Callable[[Say], ApiResponse], say: Say) -> None:
    began = time.monotonic()
    assert reason(ask, say) is Reason.TOO_LARGE
    assert time.monotonic() - began < 5


ENCODINGS = st.sampled_from(["", "identity", "gzip", "deflate", "br", "zstd", "gzip, deflate", "x-gzip", "nonsense"])
BODIES = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=80).map(gzip.compress),
    st.binary(max_size=80).map(zlib.compress),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=3).map(lambda value: json.dumps(value).encode()),
)


@given(BODIES, ENCODINGS, st.integers(200, 599))
def test_any_body_is_an_answer_or_one_of_the_errors_that_are_translated(
    body: bytes, encoding: str, status: int
) -> None:
    response = requests.Response()
    response.status_code = status
    response.raw = HTTPResponse(
        io.BytesIO(body), {"Content-Encoding": encoding}, status=status, preload_content=False, decode_content=False
    )
    try:
        document = module._read(response)
    except (CloposError, HTTPError):
        return
    assert isinstance(document, dict)


# Time


def hang(wire: Wire) -> None:
    wire.wait(30)


def trickled_headers(wire: Wire) -> None:
    wire.trickle(HEAD * 1000, 0.02)


def endless_hints(wire: Wire) -> None:
    while True:
        wire.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        wire.wait(0.02)


def trickled_body(wire: Wire) -> None:
    wire.send(HEAD + b"Content-Length: 5000\r\n\r\n")
    wire.trickle(b" " * 5000, 0.02)


def trickled_to_the_end(wire: Wire) -> None:
    wire.send(HEAD + b"\r\n{}")
    wire.trickle(b" " * 5000, 0.02)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("say", [hang, trickled_headers, endless_hints, trickled_body, trickled_to_the_end])
def test_a_peer_that_is_silent_or_slow_is_cut_off(ask: Callable[[Say], ApiResponse], say: Say) -> None:
    began = time.monotonic()
    assert reason(ask, say) is Reason.TIMEOUT
    assert time.monotonic() - began < 3


@pytest.mark.usefixtures("impatient")
def test_a_response_in_time_leaves_the_connection_as_patient_as_before(make: Make) -> None:
    with RawServer(answer()) as server:
        transport = make(server.url)
        for _ in range(3):
            transport.get("stations", {}, {})
            time.sleep(0.3)
        assert server.connections == 1


def test_nothing_is_sent_without_the_right_to() -> None:
    with RawServer(lambda _wire: None) as server:
        transport = Transport(server.url, connections=1, observe=lambda *_: None, permitted=lambda: False)
        with pytest.raises(Stopped):
            transport.get("stations", {}, {})
        with pytest.raises(Stopped):
            transport.post("auth", {})
        assert not server.requests
        transport.close()


def test_closing_ends_what_hangs_at_once_and_nothing_is_sent_after(make: Make, observed: list[tuple[str, str]]) -> None:
    reached = Event()

    def say(wire: Wire) -> None:
        reached.set()
        wire.wait(30)

    with RawServer(say) as server:
        transport = make(server.url)
        ended: list[type[BaseException]] = []

        def run() -> None:
            try:
                transport.get("stations", {}, {})
            except Stopped:
                ended.append(Stopped)

        thread = Thread(target=run)
        thread.start()
        assert reached.wait(5)
        transport.close()
        thread.join(3)
        assert ended == [Stopped]
        with pytest.raises(Stopped):
            transport.get("stations", {}, {})
        assert len(server.requests) == 1
    assert observed == [("stations", "error")] * 2


# Who cannot be reached


def test_a_port_where_nobody_listens(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(CloposError) as caught:
        make(f"http://127.0.0.1:{port}").get("stations", {}, {})
    assert str(caught.value) == f"connection: 127.0.0.1:{port} cannot be reached: Connection refused"


def test_a_name_that_does_not_resolve(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", gone)
    with pytest.raises(CloposError) as caught:
        make("http://user:password@clopos.invalid/v2").get("stations", {}, {})
    assert (caught.value.reason, caught.value.message) == (
        Reason.CONNECTION,
        "clopos.invalid cannot be reached: Name or service not known",
    )


@pytest.mark.parametrize("url", ["http://.example.com", "http://*.example.com"])
def test_a_name_that_can_be_none(make: Make, url: str) -> None:
    asks: list[Callable[[Transport], ApiResponse]] = [
        lambda one: one.get("stations", {}, {}),
        lambda one: one.post("auth", {}),
    ]
    for ask in asks:
        with pytest.raises(CloposError) as caught:
            ask(make(url))
        assert caught.value.reason is Reason.CONNECTION


def test_a_connection_that_is_closed_without_an_answer(ask: Callable[[Say], ApiResponse]) -> None:
    assert reason(ask, close) is Reason.CONNECTION


def earlier_failure() -> None:
    raise CloposError(Reason.TOKEN, "Token expired") from StaleConnectionError()


def test_an_earlier_failure_is_not_the_cause_of_a_later_one(make: Make) -> None:
    with RawServer(close) as server:
        transport = make(server.url)
        try:
            earlier_failure()
        except CloposError:
            with pytest.raises(CloposError) as caught:
                transport.get("stations", {}, {})
        assert len(server.requests) == 1
    assert caught.value.message.endswith("cannot be reached: RemoteDisconnected")


def test_headers_without_end(ask: Callable[[Say], ApiResponse]) -> None:
    assert reason(ask, answer(X_Huge="x" * 10**6)) is Reason.CONNECTION


# What is counted


def test_every_request_is_observed_with_its_status_or_error(make: Make, observed: list[tuple[str, str]]) -> None:
    says = iter([answer(), answer(b"{}", "429 Too Many Requests"), answer(b"", "302 Found"), close])

    def say(wire: Wire) -> None:
        next(says)(wire)

    with RawServer(say) as server:
        transport = make(server.url)
        transport.get("stations", {}, {})
        transport.post("auth", {})
        for _ in range(2):
            with pytest.raises(CloposError):
                transport.get("venues", {}, {})
    assert observed == [("stations", "200"), ("auth", "429"), ("venues", "302"), ("venues", "error")]
