"""The web configuration's TLS section as an `ssl.SSLContext`, and what a client's certificate must say."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from exporter.errors import ExporterError
from exporter.web.webconfig import ALWAYS_ON, CIPHERS, CLIENT_AUTH, CURVES, DEFAULT_CIPHERS, TLSServer

_VERSION, _UTC_TIME, _LONG = 0xA0, 0x17, 0x80  # the tags of a certificate's version and times; long lengths of DER

_NO_KEY = "holds no private key in PEM form without a pass phrase"
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}


class UnusableError(ExporterError):
    """Say that the file or text behind a key of the TLS section cannot be used; the text never shows its content."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


def make_context(tls: TLSServer) -> ssl.SSLContext:
    """Return the context that serves what the section says; there has to be a certificate in it.

    Raises `UnusableError`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    chosen = [CIPHERS[name] for name in tls.cipher_suites if name not in ALWAYS_ON]
    context.set_ciphers(":".join(chosen or DEFAULT_CIPHERS))
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    for curve in tls.curve_preferences:
        context.set_ecdh_curve(CURVES[curve])
    _load_certificate(context, tls)
    _load_client_ca(context, tls)
    context.verify_mode = CLIENT_AUTH[tls.client_auth_type]
    return context


def problems(tls: TLSServer) -> Iterator[UnusableError]:
    """Yield why the files and texts that the section names cannot be used, as far as it names any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Where both are given, that is the fault.
    has_cert, has_key = (
        (tls.cert is None) is not (tls.cert_file is None),
        (tls.key is None) is not (tls.key_file is None),
    )
    alone = [*([_certificate] if has_cert else []), *([_private_key] if has_key else [])]
    found = list(_raised(alone, tls))
    yield from found
    if has_cert and has_key and not found:
        yield from _raised([partial(_load_certificate, context)], tls)
    if tls.client_ca is None or tls.client_ca_file is None:
        yield from _raised([partial(_load_client_ca, context)], tls)


def _raised(checks: Iterable[Callable[[TLSServer], object]], tls: TLSServer) -> Iterator[UnusableError]:
    for check in checks:
        try:
            check(tls)
        except UnusableError as error:
            yield error


def client_ca(tls: TLSServer) -> str:
    """Return the text of the authority that vouches for clients, empty where there is none.

    Raises `UnusableError`.
    """
    if tls.client_ca is None and tls.client_ca_file is None:
        return ""
    return _text("client_ca", tls.client_ca, tls.client_ca_file)


def certificate_expires_at(tls: TLSServer) -> float | None:
    """Return when the certificate that is served ends, epoch seconds, None where it cannot be read from it.

    That is the `notAfter` of the first certificate (RFC 5280, 4.1.2.5), which `ssl` says only of a peer's.
    """
    text = _text("cert", tls.cert, tls.cert_file)
    found = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)
    if found is None:
        return None
    [certificate, *_] = _elements(ssl.PEM_cert_to_DER_cert(found[0]))
    [signed, *_] = _elements(certificate.content)
    fields = [element for element in _elements(signed.content) if element.tag != _VERSION]
    _serial, _algorithm, _issuer, validity, *_ = fields
    _not_before, not_after = _elements(validity.content)
    form = "%y%m%d%H%M%SZ" if not_after.tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(not_after.content.decode("ascii"), form).replace(tzinfo=UTC).timestamp()


def files(tls: TLSServer) -> list[Path]:
    """Return the files whose content is in the context."""
    return [path for path in (tls.cert_file, tls.key_file, tls.client_ca_file) if path is not None]


def is_allowed(certificate: Mapping[str, Any] | None, names: tuple[str, ...]) -> bool:
    """Return whether a client's certificate, as `getpeercert` gives it, bears one of the names, if any are asked for.

    A client without certificate passes: whether it needs one is decided by client_auth_type, as in Go.
    """
    if not names or not certificate:
        return True
    return any(_plain(kind, name) in names for kind, name in certificate.get("subjectAltName", ()))


class _Element(NamedTuple):
    tag: int
    content: bytes


def _elements(der: bytes) -> Iterator[_Element]:
    """Yield the elements of DER (X.690) that stand one after another."""
    while der:
        tag, length, start = der[0], der[1], 2
        if length > _LONG:
            start += length - _LONG
            length = int.from_bytes(der[2:start], "big")
        yield _Element(tag, der[start : start + length])
        der = der[start + length :]


def _plain(kind: str, name: str) -> str:
    return str(ip_address(name)) if kind == "IP Address" else name


def _certificate(tls: TLSServer) -> str:
    text = _text("cert", tls.cert, tls.cert_file)
    if not _holds_certificate(text):
        raise UnusableError(_given("cert", tls.cert), "holds no certificate in PEM form")
    return text


def _private_key(tls: TLSServer) -> str:
    text = _text("key", None if tls.key is None else tls.key.get_secret_value(), tls.key_file)
    if "PRIVATE KEY-----" not in text:
        raise UnusableError(_given("key", tls.key), _NO_KEY)
    return text


def _load_certificate(context: ssl.SSLContext, tls: TLSServer) -> None:
    certificate, key = _certificate(tls), _private_key(tls)
    try:
        with _as_file(certificate) as certificate_path, _as_file(key) as key_path:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate_path, key_path, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UnusableError(_given("key", tls.key), "does not belong to the certificate") from None
        raise UnusableError(_given("key", tls.key), _NO_KEY) from None


def _load_client_ca(context: ssl.SSLContext, tls: TLSServer) -> None:
    if tls.client_ca is None and tls.client_ca_file is None:
        return
    text = client_ca(tls)
    if not _holds_certificate(text):
        raise UnusableError(_given("client_ca", tls.client_ca), "holds no certificate in PEM form")
    context.load_verify_locations(cadata=text)


def _given(key: str, inline: object) -> str:
    return f"{key}_file" if inline is None else key


def _text(key: str, inline: str | None, path: Path | None) -> str:
    if inline is not None:
        return inline
    if path is None:
        raise UnusableError(f"{key}_file", "is missing")
    try:
        return path.read_bytes().decode("ascii", "replace")
    except OSError as error:
        raise UnusableError(f"{key}_file", f"{path} cannot be read: {error.strerror}") from None


def _holds_certificate(text: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text.encode("ascii", "replace").decode())
    except (ssl.SSLError, ValueError):
        return False
    return True


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """Yield a path to what is in memory, since OpenSSL wants one; on Linux no key touches a disk by that."""
    with os.fdopen(os.memfd_create("pem"), "w+b") if hasattr(os, "memfd_create") else TemporaryFile() as file:
        file.write(text.encode("ascii", "replace"))
        file.seek(0)
        yield f"/dev/fd/{file.fileno()}"
