"""TLS as the web configuration says, with real handshakes."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from cryptography import x509
from structlog.testing import capture_logs
from web_fakes import FakeChecks, FakeExposition, Serving, Site

from benchmarks.certificates import Authority, Pair
from exporter.web.connection import ConnectionLimits
from exporter.web.endpoints import create_app
from exporter.web.webconfig_file import WebConfigFile

TIMEOUT = 5
CBC = "ECDHE-ECDSA-AES128-SHA"


class Stage(NamedTuple):
    """A folder with certificates, and a web configuration in it that a test writes."""

    folder: Path
    authority: Authority
    server: Pair

    @property
    def file(self) -> Path:
        return self.folder / "web.yml"

    def write(self, *lines: str) -> None:
        tls = ["cert_file: server.pem", "key_file: server.key", *lines]
        self.file.write_text("\n  ".join(["tls_server_config:", *tls]))


class SteppingClock:
    """Let a test decide when the server looks at its files again."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def step(self) -> None:
        self.now += 10


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    authority = Authority(tmp_path)
    return Stage(tmp_path, authority, authority.issue("server"))


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def tls_site(
    stage: Stage, clock: SteppingClock, serving: Serving, exposition: FakeExposition, checks: FakeChecks
) -> Iterator[Site]:
    """Serve what the test has written, with a clock that stands still."""
    if not stage.file.exists():
        stage.write()
    with serving(create_app(exposition.scrape, checks.checks), web_config=WebConfigFile(stage.file, clock)) as site:
        yield site


def connect(
    site: Site, stage: Stage, client: Pair | None = None, ciphers: str = "", **versions: ssl.TLSVersion
) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(stage.authority.file))
    if ciphers:
        context.set_ciphers(ciphers)
    for name, version in versions.items():
        setattr(context, name, version)
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context.wrap_socket(socket.create_connection(("127.0.0.1", site.port), TIMEOUT), server_hostname="localhost")


def scrape(site: Site, stage: Stage, client: Pair | None = None) -> bytes:
    """Scrape once; an empty answer means that the server hung up."""
    with connect(site, stage, client) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def scrapes_again(connection: ssl.SSLSocket) -> bool:
    """Scrape once more over a connection that is kept."""
    connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while not answer.endswith(b"up 1\n"):
        piece = connection.recv(65536)
        if not piece:
            return False
        answer += piece
    return True


def is_refused(site: Site, stage: Stage, client: Pair | None = None) -> bool:
    try:
        return not scrape(site, stage, client)
    except OSError:
        return True


def test_metrics_are_served_over_tls(tls_site: Site, stage: Stage) -> None:
    assert tls_site.url.startswith("https://")
    answer = requests.get(f"{tls_site.url}/metrics", verify=str(stage.authority.file), timeout=TIMEOUT)
    assert answer.text == "up 1\n"


def test_a_client_that_speaks_plain_http_gets_a_sentence(tls_site: Site) -> None:
    answer = requests.get(f"http://127.0.0.1:{tls_site.port}/metrics", timeout=TIMEOUT)
    assert (answer.status_code, answer.text) == (400, "this port speaks TLS: use https:// instead of http://\n")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_tls_1_2_takes_authenticated_encryption_alone_unless_set_otherwise(
    stage: Stage, request: pytest.FixtureRequest
) -> None:
    site = request.getfixturevalue("tls_site")
    with connect(site, stage, maximum_version=ssl.TLSVersion.TLSv1_2) as connection:
        assert "GCM" in (connection.cipher() or [""])[0] or "CHACHA20" in (connection.cipher() or [""])[0]
    with pytest.raises(ssl.SSLError):
        connect(site, stage, maximum_version=ssl.TLSVersion.TLSv1_2, ciphers=CBC)


def test_other_suites_are_there_for_those_who_ask(stage: Stage, request: pytest.FixtureRequest) -> None:
    stage.write("cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA]")
    site = request.getfixturevalue("tls_site")
    with connect(site, stage, maximum_version=ssl.TLSVersion.TLSv1_2, ciphers=CBC) as connection:
        assert (connection.cipher() or [""])[0] == CBC


def test_http_1_1_is_agreed_on(tls_site: Site, stage: Stage) -> None:
    context = ssl.create_default_context(cafile=str(stage.authority.file))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", tls_site.port), TIMEOUT) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        assert connection.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("lines", [("min_version: TLS13",), ("max_version: TLS12",)])
def test_the_tls_versions_are_kept_to(stage: Stage, lines: tuple[str], request: pytest.FixtureRequest) -> None:
    stage.write(*lines)
    site = request.getfixturevalue("tls_site")
    newer_only = lines[0] == "min_version: TLS13"
    with connect(site, stage) as connection:
        assert connection.version() == ("TLSv1.3" if newer_only else "TLSv1.2")
    name = "maximum_version" if newer_only else "minimum_version"
    versions: dict[str, Any] = {name: ssl.TLSVersion.TLSv1_2 if newer_only else ssl.TLSVersion.TLSv1_3}
    with pytest.raises(ssl.SSLError):
        connect(site, stage, **versions)


def test_the_cipher_suite_is_the_configured_one(stage: Stage, request: pytest.FixtureRequest) -> None:
    stage.write("max_version: TLS12", "cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]")
    with connect(request.getfixturevalue("tls_site"), stage) as connection:
        assert (connection.cipher() or [""])[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"


MTLS = ("client_auth_type: RequireAndVerifyClientCert", "client_ca_file: test-authority.pem")


def test_mutual_tls_lets_in_whom_the_authority_vouches_for(
    stage: Stage, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    stage.write(*MTLS)
    site = request.getfixturevalue("tls_site")
    assert b"up 1" in scrape(site, stage, stage.authority.issue("prometheus"))
    assert is_refused(site, stage)
    assert is_refused(site, stage, Authority(tmp_path, "stranger").issue("prometheus", file="stranger-client"))


def test_a_certificate_may_be_optional_but_not_wrong(
    stage: Stage, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    stage.write("client_auth_type: VerifyClientCertIfGiven", "client_ca_file: test-authority.pem")
    site = request.getfixturevalue("tls_site")
    assert b"up 1" in scrape(site, stage)
    assert b"up 1" in scrape(site, stage, stage.authority.issue("prometheus"))
    assert is_refused(site, stage, Authority(tmp_path, "stranger").issue("prometheus", file="stranger-client"))


@pytest.mark.parametrize(
    ("allowed", "name"),
    [
        ("prometheus.example", x509.DNSName("prometheus.example")),
        ("2001:db8::1", x509.IPAddress(ipaddress.ip_address("2001:db8::1"))),
        ("ops@example.org", x509.RFC822Name("ops@example.org")),
        ("spiffe://example/prometheus", x509.UniformResourceIdentifier("spiffe://example/prometheus")),
    ],
)
def test_only_clients_with_an_allowed_name_stay(
    stage: Stage, allowed: str, name: x509.GeneralName, request: pytest.FixtureRequest
) -> None:
    stage.write(*MTLS, f'client_allowed_sans: ["{allowed}", "other"]')
    site = request.getfixturevalue("tls_site")
    assert b"up 1" in scrape(site, stage, stage.authority.issue("named", name))
    assert is_refused(site, stage, stage.authority.issue("nameless"))


def test_a_renewed_certificate_is_served_without_a_restart(tls_site: Site, stage: Stage, clock: SteppingClock) -> None:
    first = serial(tls_site, stage)
    stage.authority.issue("server")
    assert serial(tls_site, stage) == first, "nobody has looked yet"
    clock.step()
    assert serial(tls_site, stage) == first, "the file may still be written"
    clock.step()
    assert serial(tls_site, stage) != first


def test_a_broken_certificate_leaves_the_one_in_force_and_is_reported_once(
    tls_site: Site, stage: Stage, clock: SteppingClock
) -> None:
    first = serial(tls_site, stage)
    stage.server.certificate.write_text("half a certifi")
    with capture_logs() as logged:
        for _ in range(4):
            clock.step()
            assert serial(tls_site, stage) == first
    assert [entry["event"] for entry in logged] == ["web_config.rejected"]
    stage.authority.issue("server")
    for _ in range(2):
        clock.step()
        serial(tls_site, stage)
    assert serial(tls_site, stage) != first


def test_a_running_server_takes_over_a_new_client_authority(
    stage: Stage, tmp_path: Path, clock: SteppingClock, request: pytest.FixtureRequest
) -> None:
    stage.write(*MTLS)
    site = request.getfixturevalue("tls_site")
    old, other = stage.authority.issue("old"), Authority(tmp_path, "other")
    new = other.issue("new")
    assert not is_refused(site, stage, old)
    stage.write(MTLS[0], "client_ca_file: other.pem")
    for _ in range(2):
        clock.step()
        is_refused(site, stage, old)
    assert is_refused(site, stage, old)
    assert not is_refused(site, stage, new)


def test_tls_is_not_switched_off_by_an_emptied_file(tls_site: Site, stage: Stage, clock: SteppingClock) -> None:
    stage.file.write_text("")
    with capture_logs() as logged:
        for _ in range(3):
            clock.step()
            assert b"up 1" in scrape(tls_site, stage)
    assert "switched on or off by a restart only" in str(logged)


WEAKER = {
    "a file that ends before the authority": (),
    "certificates that are optional": (
        "client_auth_type: VerifyClientCertIfGiven",
        "client_ca_file: test-authority.pem",
    ),
    "clients of any name": MTLS,
    "an older TLS": (*MTLS, "client_allowed_sans: [127.0.0.1]"),
}


@pytest.mark.parametrize("lines", WEAKER.values(), ids=WEAKER)
def test_what_protects_is_weakened_by_a_restart_only(
    stage: Stage, clock: SteppingClock, lines: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    stage.write(*MTLS, "client_allowed_sans: [127.0.0.1]", "min_version: TLS13")
    site = request.getfixturevalue("tls_site")
    client = stage.authority.issue("prometheus")
    stage.write(*lines)
    with capture_logs() as log:
        for _ in range(4):
            clock.step()
            assert not is_refused(site, stage, client)
    assert [entry["event"] for entry in log] == ["web_config.rejected"]
    assert is_refused(site, stage)
    with pytest.raises(ssl.SSLError):
        connect(site, stage, client, maximum_version=ssl.TLSVersion.TLSv1_2)


def test_connections_end_when_their_authority_is_no_longer_trusted(
    stage: Stage, tmp_path: Path, clock: SteppingClock, request: pytest.FixtureRequest
) -> None:
    stage.write(*MTLS)
    site = request.getfixturevalue("tls_site")
    old, other = stage.authority.issue("old"), Authority(tmp_path, "other")
    new = other.issue("new")
    with connect(site, stage, old) as kept:
        assert scrapes_again(kept)
        stage.write(MTLS[0], "client_ca_file: other.pem")
        for _ in range(2):
            clock.step()
            is_refused(site, stage, new)
        assert kept.recv(1) == b"", "an older connection went on"
    assert not is_refused(site, stage, new)


def test_connections_outlast_a_renewed_certificate(tls_site: Site, stage: Stage, clock: SteppingClock) -> None:
    with connect(tls_site, stage) as kept:
        assert scrapes_again(kept)
        first = serial(tls_site, stage)
        stage.authority.issue("server")
        for _ in range(2):
            clock.step()
            serial(tls_site, stage)
        assert serial(tls_site, stage) != first
        time.sleep(1.5)  # the server looks after its connections every second
        assert scrapes_again(kept)


def test_silent_clients_hold_up_nobody_and_are_sent_away(
    stage: Stage, serving: Serving, exposition: FakeExposition, checks: FakeChecks
) -> None:
    stage.write()
    app = create_app(exposition.scrape, checks.checks)
    with serving(app, web_config=WebConfigFile(stage.file), limits=ConnectionLimits(handshake=0.5)) as site:
        silent = [socket.create_connection(("127.0.0.1", site.port), TIMEOUT) for _ in range(30)]
        began = time.monotonic()
        assert b"up 1" in scrape(site, stage)
        assert time.monotonic() - began < 0.4
        assert {client.recv(1) for client in silent} == {b""}
        for client in silent:
            client.close()


def serial(site: Site, stage: Stage) -> str:
    with connect(site, stage) as connection:
        certificate = connection.getpeercert()
        assert certificate
        return str(certificate["serialNumber"])
