from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fakes import FakeClock
from simulator_fakes import FakeWire

from exporter.simulator import Simulator, World
from exporter.simulator.api import BASE_PATH
from exporter.simulator.messages import Answer, Request

Ask = Callable[..., Answer]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def world(clock: FakeClock) -> World:
    return World.generate(brands=2, venues=2, stations=5, seed=1, clock=clock)


@pytest.fixture
def simulator(world: World) -> Simulator:
    """A simulator that is not started: requests reach it without a socket."""
    return Simulator(world)


@pytest.fixture
def ask(simulator: Simulator) -> Ask:
    """Send a request past the socket, by default with a good token of the first brand."""
    token = simulator.tokens.issue("openapitest")[0]

    def send(path: str, *, method: str = "GET", body: Any = None, query: Any = None, **headers: str) -> Answer:
        wire = FakeWire()
        sent = {"x-token": token, **{name.replace("_", "-"): value for name, value in headers.items()}}
        content = b"" if body is None else json.dumps(body).encode()
        full = path if path.startswith("/") else f"{BASE_PATH}/{path}"
        simulator._serve(Request(method, full, query or {}, sent, content), wire)
        assert wire.answer is not None
        return wire.answer

    return send


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A server's context and the file a client trusts it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "simulator")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, str(folder / "cert.pem")
