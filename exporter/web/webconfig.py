"""The web configuration file in exporter-toolkit's format, as far as Python's `ssl` can keep its word.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md

What cannot be honoured is a fault: a setting that is ignored would leave open what somebody believes closed.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import bcrypt
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

from exporter.clock import parse_duration
from exporter.document import Section, shown
from exporter.model import EMPTY

CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""Go's names of the suites up to TLS 1.2, as OpenSSL calls them."""

DEFAULT_CIPHERS = tuple(name for name in CIPHERS.values() if "GCM" in name or "CHACHA20" in name)
"""Those with authenticated encryption, where the file names none."""

ALWAYS_ON = frozenset({"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"})
"""The suites of TLS 1.3, which Go's server does not let one choose either."""

CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}

VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}

CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}

MAX_BCRYPT_COST = 16
"""About five seconds: with a higher one, the first scrape after a start is over before its password is checked."""

_HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
_GO_LONGEST = 2**63 / 1e9
"""Seconds of the longest duration that exporter-toolkit can read."""
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")

T = TypeVar("T")


def _known(kind: str, known: Collection[str], unsupported: Mapping[str, str] = EMPTY) -> AfterValidator:
    """Let one of the known names pass; `unsupported` says of others why they are not among them."""

    def check(name: str) -> str:
        if name not in known:
            fault = f"{name} {unsupported[name]}" if name in unsupported else f"{name!r} is not a {kind}"
            raise ValueError(f"{fault}: choose from {', '.join(known)}")
        return name

    return AfterValidator(check)


def _min_version(name: str, info: ValidationInfo) -> str:
    highest = info.data.get("max_version")
    if highest is not None and name > highest:
        raise ValueError(f"{name} is above max_version {highest}")
    return name


def _needs_client_auth(value: T, info: ValidationInfo) -> T:
    if value is not None and info.data.get("client_auth_type") == "NoClientCert":
        raise ValueError("is of no use without client_auth_type: RequireAndVerifyClientCert")
    return value


def _has_client_ca(path: Path | None, info: ValidationInfo) -> Path | None:
    wanted = info.data.get("client_auth_type", "NoClientCert")
    if wanted != "NoClientCert" and path is None and info.data.get("client_ca", "") is None:
        raise ValueError(f"is missing: client_auth_type {wanted} needs the CA of the clients")
    return path


def _one_curve(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) > 1:
        raise ValueError("Python's ssl takes one curve and no order of several: name one, or leave the key out")
    return names


def _ciphers(names: tuple[str, ...]) -> tuple[str, ...]:
    if names and ALWAYS_ON.issuperset(names):
        raise ValueError("names TLS 1.3 suites alone, and those are always on: write min_version: TLS13 instead")
    return names


def _http1(value: bool) -> bool:  # noqa: FBT001 - a pydantic validator
    if value:
        raise ValueError("HTTP/2 is not served here, HTTP/1.1 is: write false, or leave the key out")
    return value


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if name not in _HEADERS:
            raise ValueError(f"{name!r} cannot be set here: only {', '.join(_HEADERS)} can")
        if _HEADERS[name] and value not in _HEADERS[name]:
            raise ValueError(f"{name} can be {' or '.join(_HEADERS[name])}, not {value!r}")
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"{name} must be one line of ASCII")
    return {name: value for name, value in headers.items() if value}


def _interval(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value.strip()
    seconds = 0.0 if text == "0" else parse_duration(text)
    if seconds is None or seconds > _GO_LONGEST:
        raise ValueError(f"{shown(text)} is not a duration: use one such as 100ms, 1s or 1m30s")
    return seconds


def _burst(burst: int, info: ValidationInfo) -> int:
    if info.data.get("interval") and not burst:
        raise ValueError("must be 1 or more: a limit with burst 0 refuses every request")
    return burst


def _bcrypt_hash(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    match = _BCRYPT.fullmatch(text)
    if not match:
        raise ValueError("is not a bcrypt hash: make one with htpasswd -nBC 10 USER")
    if not 4 <= int(match[1]) <= MAX_BCRYPT_COST:  # noqa: PLR2004 - the least cost that bcrypt knows
        raise ValueError(f"has cost {match[1]}: use one from 4 to {MAX_BCRYPT_COST}, 10 to 12 is usual")
    try:
        # The format is the same at the least cost, where it takes a millisecond to try.
        bcrypt.checkpw(b"", f"{text[:4]}04{text[6:]}".encode())
    except ValueError:
        raise ValueError("is not a bcrypt hash: make one with htpasswd -nBC 10 USER") from None
    return secret


TLSVersion = Annotated[
    str,
    _known(
        "TLS version",
        VERSIONS,
        dict.fromkeys(("TLS10", "TLS11"), "is broken and OpenSSL does not offer it any more"),
    ),
]
ClientAuth = Annotated[
    str,
    _known(
        "client_auth_type",
        CLIENT_AUTH,
        dict.fromkeys(
            ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert"),
            "takes any certificate unchecked, which Python's ssl cannot do",
        ),
    ),
]
Cipher = Annotated[str, _known("cipher suite that can be used here", [*CIPHERS, *sorted(ALWAYS_ON)])]
Curve = Annotated[str, _known("curve that can be used here", CURVES)]
PasswordHash = Annotated[SecretStr, AfterValidator(_bcrypt_hash)]


class TLSServer(Section):
    """How TLS is served; nothing given means plain HTTP.

    Checks that concern two keys are with the later one: it sees the earlier.
    """

    cert: str | None = None
    key: SecretStr | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    client_auth_type: ClientAuth = "NoClientCert"
    client_ca: Annotated[str | None, AfterValidator(_needs_client_auth)] = None
    client_ca_file: Annotated[
        Path | None,
        Field(validate_default=True),
        AfterValidator(_needs_client_auth),
        AfterValidator(_has_client_ca),
    ] = None
    client_allowed_sans: Annotated[tuple[str, ...], AfterValidator(_needs_client_auth)] = ()
    max_version: TLSVersion = "TLS13"
    min_version: Annotated[TLSVersion, AfterValidator(_min_version)] = "TLS12"
    cipher_suites: Annotated[tuple[Cipher, ...], AfterValidator(_ciphers)] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: Annotated[tuple[Curve, ...], AfterValidator(_one_curve)] = ()


class HTTPServer(Section):
    """Headers that are added to every answer."""

    http2: Annotated[bool, AfterValidator(_http1)] = False
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(default_factory=dict)


class RateLimit(Section):
    """A token bucket over all requests but those to the health paths; `interval` in seconds, 0 for no limit."""

    interval: Annotated[float, BeforeValidator(_interval)] = 0.0
    burst: Annotated[int, Field(ge=0, validate_default=True), AfterValidator(_burst)] = 0


def _user_names(users: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name in users:
        if ":" in name:
            raise ValueError(f"{name!r} is no user name that basic authentication can carry: leave the colon out")
    return users


class WebConfig(Section):
    """The whole file."""

    tls_server_config: TLSServer = TLSServer()
    http_server_config: HTTPServer = HTTPServer()
    rate_limit: RateLimit = RateLimit()
    basic_auth_users: Annotated[dict[str, PasswordHash], AfterValidator(_user_names)] = Field(default_factory=dict)
    read_only_users: frozenset[str] = frozenset()
    """Users that may not reload: an extension, which exporter-toolkit's own format does not have."""
