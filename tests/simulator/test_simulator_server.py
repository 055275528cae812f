from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from threading import Thread

import pytest
import requests
from requests.adapters import HTTPAdapter

from exporter.clock import Clock
from exporter.simulator import Simulator, World

BRAND = "openapitest"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(World.generate(venues=2, stations=40), tiers=None) as simulator:
        yield simulator


@pytest.fixture
def session(simulator: Simulator) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["x-token"] = requests.post(
            f"{simulator.url}/auth", json=simulator.credentials(BRAND), timeout=5
        ).json()["token"]
        yield session


def test_a_client_logs_in_and_reads_stations(simulator: Simulator, session: requests.Session) -> None:
    answer = session.get(f"{simulator.url}/stations", params={"limit": 200}, headers={"x-venue": "2"}, timeout=5)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.json()["data"]) == answer.json()["total"] == 40


def test_a_connection_is_kept_and_answers_at_once(simulator: Simulator, session: requests.Session) -> None:
    began = time.perf_counter()
    for _ in range(50):
        session.get(f"{simulator.url}/stations", timeout=5)
    assert time.perf_counter() - began < 1.0, "40 ms each would be Nagle's algorithm at work"
    adapter = session.adapters["http://"]
    assert isinstance(adapter, HTTPAdapter)
    (pool,) = adapter.poolmanager.pools._container.values()
    assert pool.num_connections == 1


def test_gzip_is_only_sent_to_who_asks(simulator: Simulator, session: requests.Session) -> None:
    answer = session.get(f"{simulator.url}/venues", headers={"Accept-Encoding": "identity"}, timeout=5)
    assert "Content-Encoding" not in answer.headers


def test_it_stops_and_starts_again_on_the_same_address(simulator: Simulator, session: requests.Session) -> None:
    url = simulator.url
    assert session.get(f"{url}/venues", timeout=5).status_code == 200
    simulator.stop()
    with pytest.raises(requests.ConnectionError):
        session.get(f"{url}/venues", timeout=5)
    simulator.start()
    assert simulator.url == url
    assert session.get(f"{url}/venues", timeout=5).status_code == 200


def test_stopping_cuts_what_hangs(simulator: Simulator, session: requests.Session) -> None:
    simulator.faults.add("hang")

    def stop_once_asked() -> None:
        while not simulator.traffic.entries(endpoint="venues"):
            time.sleep(0.01)
        simulator.stop()

    stopping = Thread(target=stop_once_asked)
    stopping.start()
    with pytest.raises(requests.ConnectionError, match="aborted"):
        session.get(f"{simulator.url}/venues", timeout=5)
    stopping.join()


def test_a_hanging_request_ends_when_its_client_leaves(simulator: Simulator) -> None:
    simulator.faults.add("hang")
    with socket.create_connection(simulator.address) as client:
        client.sendall(b"GET /open-api/v2/venues HTTP/1.1\r\nHost: a\r\n\r\n")
        while not simulator.traffic.entries():
            time.sleep(0.01)
        assert simulator._server is not None
        assert len(simulator._server._connections) == 1
    deadline = time.monotonic() + 5
    while simulator._server._connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not simulator._server._connections


def test_latency_passes_on_the_clock_of_the_world() -> None:
    with Simulator(World.generate(clock=Clock(speed=100))) as simulator:
        simulator.faults.add("latency", seconds=5)
        began = time.perf_counter()
        assert requests.get(f"{simulator.url}/venues", timeout=5).status_code == 401
        assert 0.05 <= time.perf_counter() - began < 1


@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        ("hang", {}, requests.ReadTimeout),
        ("reset", {}, requests.ConnectionError),
        ("disconnect", {}, requests.ConnectionError),
        ("truncated", {}, requests.exceptions.ChunkedEncodingError),
        ("broken_gzip", {}, requests.exceptions.ContentDecodingError),
        ("slow_headers", {"pause": 0.06}, requests.ReadTimeout),
        ("huge_headers", {}, requests.ConnectionError),
        ("many_headers", {}, requests.ConnectionError),
    ],
)
def test_bad_transport_reaches_the_client(
    simulator: Simulator, session: requests.Session, kind: str, options: dict[str, float], error: type[Exception]
) -> None:
    simulator.faults.add(kind, endpoint="stations", **options)
    with pytest.raises(error):
        # a trickle outlives a read timeout, which begins again with every byte: only the first may be late
        session.get(f"{simulator.url}/stations", timeout=0.05 if "pause" in options else 0.3)
    assert session.get(f"{simulator.url}/venues", timeout=5).status_code == 200


def test_a_trickled_body_outlives_the_read_timeout(simulator: Simulator, session: requests.Session) -> None:
    simulator.faults.add("slow_body", pause=0.05, endpoint="stations")
    answer = session.get(f"{simulator.url}/stations", stream=True, timeout=0.2)
    began = time.perf_counter()
    assert len(answer.raw.read(8, decode_content=False)) == 8
    assert time.perf_counter() - began > 0.2
    answer.close()


@pytest.mark.parametrize("kind", ["endless_body", "gzip_bomb"])
def test_a_body_without_an_end_is_bounded_by_its_reader_only(
    simulator: Simulator, session: requests.Session, kind: str
) -> None:
    simulator.faults.add(kind, endpoint="stations")
    answer = session.get(f"{simulator.url}/stations", stream=True, timeout=5)
    assert "Content-Length" not in answer.headers
    assert sum(len(chunk) for chunk, _ in zip(answer.iter_content(2**16), range(100), strict=False)) > 2**22
    answer.close()


def test_a_body_that_is_too_large_or_of_unknown_length_is_refused(simulator: Simulator) -> None:
    for headers in ({"Content-Length": "2000000"}, {"Transfer-Encoding": "chunked"}, {"Content-Length": "many"}):
        connection = http.client.HTTPConnection(*simulator.address, timeout=5)
        connection.request("POST", "/open-api/v2/auth", headers=headers)
        assert connection.getresponse().status == 413
        connection.close()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("::1", "http://[::1]:8080"),
        ("", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("shop", "http://shop:8080"),
    ],
)
def test_the_url_is_one_that_can_be_asked(host: str, url: str) -> None:
    assert Simulator(World(), listen=(host, 8080)).root_url == url


def test_the_world_changes_by_itself_at_the_rate_asked_for() -> None:
    world = World.generate(clock=Clock(speed=600))
    with Simulator(world, changes_per_minute=60):
        deadline = time.monotonic() + 5
        while len(world.mutations()) < 50 and time.monotonic() < deadline:
            time.sleep(0.01)
    changes = world.mutations()
    assert len(changes) >= 50
    # A machine that stands still for half a second lets 300 s of this clock pass.
    assert 20 < changes[49].at - changes[0].at < 400, "50 changes take about 50 simulated seconds"
    time.sleep(0.05)
    assert len(world.mutations()) == len(changes), "a stopped world rests"


def test_requests_keep_coming_fast_from_many_connections(simulator: Simulator) -> None:
    token = simulator.tokens.issue(BRAND)[0]

    def client() -> None:
        with requests.Session() as session:
            for _ in range(25):
                session.get(f"{simulator.url}/stations", headers={"x-token": token}, timeout=5)

    clients = [Thread(target=client) for _ in range(16)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    entries = simulator.traffic.entries(endpoint="stations")
    assert [entry.code for entry in entries] == [200] * 400


def test_a_reset_is_no_farewell(simulator: Simulator) -> None:
    simulator.faults.add("reset")
    with socket.create_connection(simulator.address) as client:
        client.sendall(b"GET /open-api/v2/venues HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
