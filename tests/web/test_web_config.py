from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO, TextIOWrapper
from pathlib import Path
from textwrap import dedent

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.certificates import Authority, Pair, pem
from exporter import log
from exporter.cli import serve
from exporter.config import Settings
from exporter.errors import ConfigError
from exporter.web.addresses import Address
from exporter.web.webconfig_file import LoadedWebConfig, WebConfigFile, load

HASH = "$2y$04$zmNSrIu6xsvxzvyOQzcLHuVK3X9ZKi4b8yDTBcAwQe2kEPQ4tTnZu"

TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key, "
MTLS = TLS + "client_auth_type: RequireAndVerifyClientCert, client_ca_file: test-authority.pem, "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    authority = Authority(folder)
    authority.issue("server")
    authority.issue("other")
    (folder / "junk.pem").write_text("not a certificate")
    (folder / "locked.key").write_bytes(pem(ec.generate_private_key(ec.SECP256R1()), b"pass phrase"))
    return folder


def read(folder: Path, text: str) -> LoadedWebConfig:
    (folder / "web.yml").write_text(dedent(text))
    return load(folder / "web.yml")


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    return [str(fault).removeprefix(f"{folder}/web.yml") for fault in caught.value.faults]


@pytest.mark.parametrize("text", ["", "tls_server_config:\n", "{}", "basic_auth_users: {}\nrate_limit: {interval: 0}"])
def test_an_empty_file_or_section_asks_for_nothing(folder: Path, text: str) -> None:
    loaded = read(folder, text)
    assert loaded.context is None
    assert not loaded.config.basic_auth_users


def test_the_sample_of_exporter_toolkit_is_understood(folder: Path) -> None:
    loaded = read(
        folder,
        f"""
        tls_server_config:
          cert_file: server.pem
          key_file: server.key
        basic_auth_users:
          alice: {HASH}
          bob: {HASH}
        rate_limit:
          interval: "1s"
          burst: 20
        """,
    )
    assert loaded.context is not None
    assert sorted(loaded.config.basic_auth_users) == ["alice", "bob"]
    assert loaded.config.rate_limit.interval == 1.0


@pytest.mark.parametrize("year", [2026, 2049, 2060])
def test_the_end_of_the_certificate_is_read_from_it(folder: Path, year: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x" * 60)])
    ends = datetime(year, 12, 31, 23, 59, 58, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(datetime(2020, 1, 1, tzinfo=UTC)).not_valid_after(ends)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "ends.pem").write_bytes(b"a comment\n" + certificate + certificate)
    (folder / "ends.key").write_bytes(pem(key))
    (folder / "web.yml").write_text("tls_server_config: {cert_file: ends.pem, key_file: ends.key}")
    assert WebConfigFile(folder / "web.yml").current.certificate_expires_at == ends.timestamp()


def test_the_process_serves_when_its_certificate_ends(folder: Path) -> None:
    name = "clopos_exporter_web_certificate_expiry_timestamp_seconds"
    (folder / "web.yml").write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}")
    config = WebConfigFile(folder / "web.yml")
    settings = Settings.model_validate({"brands": [{"brand": "tandir-group", "token": "a-token"}]})
    output = log.Output(TextIOWrapper(BytesIO()))
    daemon, server = serve.prepare(lambda: settings, output, [Address("127.0.0.1", 0)], web_config=config)
    for listener in server._listeners:
        listener.close()
    scraped = daemon.source.scrape("", "", frozenset({name})).body.decode()
    sample = scraped.splitlines()[-1].split()
    assert (sample[0], float(sample[1])) == (name, config.current.certificate_expires_at)


def test_plain_http_has_no_certificate_that_ends(folder: Path) -> None:
    (folder / "web.yml").write_text("http_server_config: {http2: false}")
    assert WebConfigFile(folder / "web.yml").current.certificate_expires_at is None


def test_certificates_may_stand_in_the_file(folder: Path) -> None:
    pair = Pair(folder / "server.pem", folder / "server.key")
    indented = {
        "cert": pair.certificate.read_text(),
        "key": pair.key.read_text(),
        "client_ca": (folder / "test-authority.pem").read_text(),
    }
    text = "tls_server_config:\n  client_auth_type: RequireAndVerifyClientCert\n"
    for key, value in indented.items():
        lines = "\n".join(f"    {line}" for line in value.splitlines())
        text += f"  {key}: |\n{lines}\n"
    (folder / "web.yml").write_text(text)
    context = load(folder / "web.yml").context
    assert context is not None
    assert context.cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize(
    "text",
    [
        TLS + "min_version: TLS13, max_version: TLS13}",
        TLS + "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256]}",
        TLS + "prefer_server_cipher_suites: false, curve_preferences: [X25519]}",
        TLS + "client_auth_type: NoClientCert}",
        TLS + "client_auth_type: VerifyClientCertIfGiven, client_ca_file: test-authority.pem}",
        MTLS + "client_allowed_sans: [one, two]}",
        "http_server_config: {http2: false, headers: {X-Frame-Options: sameorigin, X-XSS-Protection: 1}}",
        "rate_limit: {interval: 1m30.5s, burst: 3}",
    ],
)
def test_what_can_be_honoured_is_accepted(folder: Path, text: str) -> None:
    read(folder, text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("tls: {}", ":1: tls: is not a known key: the keys are tls_server_config, "),
        ("basic_auth_user: {}", ":1: basic_auth_user: is not a known key: did you mean basic_auth_users?"),
        (
            "\ntls_server_config:\n  certfile: a",
            ":3: tls_server_config.certfile: is not a known key: did you mean cert",
        ),
        ("junk", ": must hold keys and values"),
        ("tls_server_config: [1]", ":1: tls_server_config: must hold keys and values"),
        ("a: [", ":1: is not YAML"),
        (
            f"basic_auth_users: {{a: {HASH}, a: {HASH}}}",
            ":1: basic_auth_users.a: line 1 says it again: keep one of the two",
        ),
        ("tls_server_config: {key_file: server.key}", ":1: tls_server_config.cert_file: is missing"),
        ("tls_server_config: {cert_file: server.pem}", ":1: tls_server_config.key_file: is missing"),
        (TLS + "cert: x}", ":1: tls_server_config.cert: and cert_file are both given: keep one"),
        (
            TLS.replace("server.pem", "none.pem") + "}",
            ":1: tls_server_config.cert_file: {folder}/none.pem cannot be re",
        ),
        (TLS.replace("server.pem", "junk.pem") + "}", ":1: tls_server_config.cert_file: holds no certificate in PEM"),
        (TLS.replace("server.key", "none.key") + "}", ":1: tls_server_config.key_file: {folder}/none.key cannot be re"),
        (TLS.replace("server.key", "junk.pem") + "}", ":1: tls_server_config.key_file: holds no private key in PEM"),
        (TLS.replace("server.key", "locked.key") + "}", ":1: tls_server_config.key_file: holds no private key in PEM"),
        (TLS.replace("server.key", "other.key") + "}", ":1: tls_server_config.key_file: does not belong to the cert"),
        (MTLS.replace("test-authority", "junk") + "}", ":1: tls_server_config.client_ca_file: holds no certificate"),
        (
            MTLS.replace("test-authority", "none") + "}",
            ":1: tls_server_config.client_ca_file: {folder}/none.pem cannot",
        ),
        (TLS + "client_ca_file: test-authority.pem}", ":1: tls_server_config.client_ca_file: is of no use without"),
        (TLS + "client_allowed_sans: [a]}", ":1: tls_server_config.client_allowed_sans: is of no use without"),
        (
            TLS + "client_auth_type: RequireAndVerifyClientCert}",
            ":1: tls_server_config.client_ca_file: is missing: client_auth_type RequireAndVerifyClientCert ",
        ),
        (TLS + "client_auth_type: RequestClientCert}", ":1: tls_server_config.client_auth_type: RequestClientCert tak"),
        (TLS + "client_auth_type: RequireAnyClientCert}", ":1: tls_server_config.client_auth_type: RequireAnyClientCe"),
        (TLS + "client_auth_type: maybe}", ":1: tls_server_config.client_auth_type: 'maybe' is not a client_auth_type"),
        (TLS + "min_version: TLS11}", ":1: tls_server_config.min_version: TLS11 is broken"),
        (TLS + "max_version: SSL3}", ":1: tls_server_config.max_version: 'SSL3' is not a TLS version"),
        (TLS + "min_version: TLS13, max_version: TLS12}", ":1: tls_server_config.min_version: TLS13 is above max_vers"),
        (TLS + "cipher_suites: [RC4]}", ":1: tls_server_config.cipher_suites[0]: 'RC4' is not a cipher suite that"),
        (TLS + "cipher_suites: [TLS_AES_128_GCM_SHA256]}", ":1: tls_server_config.cipher_suites: names TLS 1.3 suites"),
        (TLS + "cipher_suites: RC4}", ":1: tls_server_config.cipher_suites: must be a list"),
        (TLS + "curve_preferences: [X448]}", ":1: tls_server_config.curve_preferences[0]: 'X448' is not a curve"),
        (TLS + "curve_preferences: [X25519, CurveP256]}", ":1: tls_server_config.curve_preferences: Python's ssl take"),
        (TLS + "prefer_server_cipher_suites: perhaps}", ":1: tls_server_config.prefer_server_cipher_suites: must be t"),
        ("http_server_config: {http2: true}", ":1: http_server_config.http2: HTTP/2 is not served here"),
        ("http_server_config: {headers: {Server: x}}", ":1: http_server_config.headers: 'Server' cannot be set here"),
        ("http_server_config: {headers: {X-Frame-Options: no}}", ":1: http_server_config.headers: X-Frame-Options can"),
        (
            'http_server_config: {headers: {Content-Security-Policy: "a\\r\\nSet-Cookie: b"}}',
            ":1: http_server_config.headers: Content-Security-Policy must be one line",
        ),
        ("basic_auth_users: {alice: secret-1}", ":1: basic_auth_users.alice: is not a bcrypt hash: make one with htpa"),
        (f"basic_auth_users: {{alice: {HASH[:-1]}}}", ":1: basic_auth_users.alice: is not a bcrypt hash"),
        (f"basic_auth_users: {{alice: $2y$31{HASH[6:]}}}", ":1: basic_auth_users.alice: has cost 31"),
        (f"basic_auth_users: {{alice: $2y$04${'.' * 21}z{'.' * 31}}}", ":1: basic_auth_users.alice: is not a bcrypt"),
        (f'basic_auth_users: {{"a:b": {HASH}}}', ":1: basic_auth_users: 'a:b' is no user name"),
        (f"basic_auth_users: {{a: {HASH}}}\nread_only_users: [b]", ":2: read_only_users[0]: 'b' is not one of basic_"),
        ("rate_limit: {interval: fast, burst: 1}", ":1: rate_limit.interval: 'fast' is not a duration"),
        ("rate_limit: {interval: 1s}", ":1: rate_limit.burst: must be 1 or more"),
        ("rate_limit: {interval: 1s, burst: many}", ":1: rate_limit.burst: must be a whole number"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_the_remedy(folder: Path, text: str, fault: str) -> None:
    [found] = faults(folder, text)
    assert found.startswith(fault.format(folder=folder)), found


def test_every_mistake_is_named_at_once(folder: Path) -> None:
    text = """\
        tls_server_config:
          cert_file: server.pem
          key_file: server.key
          min_version: SSL3
          surprise: 1
        http_server_config:
          http2: true
        basic_auth_users:
          alice: secret-1
        """
    assert [fault.split(": ")[0] for fault in faults(folder, text)] == [":4", ":5", ":7", ":9"]


def test_faults_of_values_users_and_files_are_named_at_once_in_the_order_of_the_file(folder: Path) -> None:
    text = """\
        tls_server_config:
          cert_file: none.pem
          key_file: none.key
          client_ca_file: none-ca.pem
          client_auth_type: RequireAndVerifyClientCert
          min_version: TLS11
        basic_auth_users:
          alice: secret-1
          alice: secret-2
        read_only_users:
          - zoe
          - alice
          - adam
        """
    assert [fault.partition(": ")[2].partition(" ")[0] for fault in faults(folder, text)] == [
        "tls_server_config.cert_file:",
        "tls_server_config.key_file:",
        "tls_server_config.client_ca_file:",
        "tls_server_config.min_version:",
        "basic_auth_users.alice:",
        "basic_auth_users.alice:",
        "read_only_users[0]:",
        "read_only_users[2]:",
    ]


def test_a_key_that_does_not_fit_is_named_beside_a_value_that_is_wrong(folder: Path) -> None:
    text = "tls_server_config: {cert_file: server.pem, key_file: junk.pem, min_version: TLS11, client_ca: x}"
    named = [fault.split(": ")[1] for fault in faults(folder, text)]
    assert named == [f"tls_server_config.{key}" for key in ("client_ca", "client_ca", "key_file", "min_version")]


def test_a_file_that_is_not_there_is_one_line(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yml: cannot be read: No such file or directory$"):
        load(folder / "none.yml")


def test_no_secret_is_ever_shown(folder: Path) -> None:
    marked = "marked-secret-value"
    text = f"tls_server_config: {{cert_file: server.pem, key: {marked}}}\nbasic_auth_users: {{alice: {marked}}}"
    assert marked not in "".join(faults(folder, text))
    loaded = read(folder, f"basic_auth_users: {{alice: {HASH}}}")
    assert HASH[7:] not in repr(loaded)
