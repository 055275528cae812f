from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from raw_server import RawServer, Wire, answer

from exporter.clopos import transport as module
from exporter.clopos.transport import Transport
from exporter.errors import CloposError
from exporter.model import Reason

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Make = Callable[..., Transport]


def trickled_to_the_end(wire: Wire) -> None:
    wire.send(HEAD + b"\r\n{}")
    wire.trickle(b" " * 5000, 0.02)


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a certificate for 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "clopos")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[RawServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with RawServer(answer(), context) as server:
        yield server


def tls_message(make: Make, url: str) -> str:
    with pytest.raises(CloposError) as caught:
        make(url).get("stations", {}, {})
    assert caught.value.reason is Reason.TLS
    return caught.value.message


def test_a_certificate_that_nobody_vouches_for_is_refused(make: Make, secure: RawServer) -> None:
    assert tls_message(make, secure.url).startswith("TLS with 127.0.0.1:")
    assert not secure.requests


@pytest.mark.parametrize("variable", module._CA_VARIABLES)
def test_authorities_are_those_that_the_environment_names(
    make: Make, secure: RawServer, certificate: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(certificate))
    assert make(secure.url).get("stations", {}, {}).status == 200


def test_authorities_that_are_not_there_are_named(
    make: Make, secure: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    assert "/nowhere/ca.pem" in tls_message(make, secure.url)


def test_authorities_that_are_nonsense_are_a_fault_of_tls(
    make: Make, secure: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert tls_message(make, secure.url)


def test_a_server_that_speaks_no_tls(make: Make) -> None:
    with RawServer(answer(), greeting=b"SSH-2.0-nothing-for-you\r\n") as server:
        assert tls_message(make, server.url.replace("http:", "https:")).startswith("TLS with 127.0.0.1:")


@pytest.mark.usefixtures("impatient")
def test_a_secure_peer_that_trickles_is_cut_off_too(
    make: Make, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with RawServer(trickled_to_the_end, context) as server, pytest.raises(CloposError) as caught:
        make(server.url).get("stations", {}, {})
    assert caught.value.reason is Reason.TIMEOUT


# Proxies


def test_a_proxy_of_the_environment_is_used(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(answer()) as proxy:
        monkeypatch.setenv("http_proxy", f"http://someone:pass@{proxy.address}")
        make("http://clopos.example/v2").get("stations", {}, {})
    assert proxy.requests[0].startswith(b"GET http://clopos.example/v2/stations HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic " in proxy.requests[0]


def test_a_host_that_needs_no_proxy_is_asked_directly(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with RawServer(answer()) as server:
        assert make(server.url).get("stations", {}, {}).status == 200


def test_a_proxy_that_cannot_be_used_is_said_to_be_so_without_its_password(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(answer(b"no", "403 Forbidden")) as proxy:
        monkeypatch.setenv("https_proxy", f"http://someone:pass-of-the-proxy@{proxy.address}")
        with pytest.raises(CloposError) as caught:
            make("https://clopos.example").get("stations", {}, {"x-token": "secret-token"})
    assert caught.value.reason is Reason.CONNECTION
    assert caught.value.message.startswith("the proxy 127.0.0.1:")
    assert "pass-of-the-proxy" not in str(caught.value)
    assert b"secret-token" not in proxy.requests[0]
