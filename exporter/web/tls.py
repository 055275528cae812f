"""The web configuration's TLS section as an `ssl.SSLContext`, and what a client's certificate must say."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from exporter.document import Stamps, stamps
from exporter.web.webconfig import ALWAYS_ON, CIPHERS, CLIENT_AUTH, CURVES, DEFAULT_CIPHERS, VERSIONS, TLSServer

Fault = Callable[[str, str], None]
"""Notes what is wrong with a key of the TLS section; the text never shows the content of a file."""

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_VALIDITY = re.compile(rb"(?:\x17\x0d\d{12}|\x18\x0f\d{14})Z(?:\x17\x0d(\d{12})|\x18\x0f(\d{14}))Z")
"""The validity of a certificate in DER: two times, each a UTCTime or, from 2050 on, a GeneralizedTime."""

_NO_CERTIFICATE = "holds no certificate in PEM form"
_NO_KEY = "holds no private key in PEM form without a pass phrase"


class Pem(NamedTuple):
    """A text in PEM form, and the key of the TLS section that gives it or names its file."""

    key: str
    text: str


def read_pems(given: Mapping[str, Any], folder: Path, fault: Fault) -> tuple[dict[str, Pem], Stamps]:
    """Read certificate, key and client CA, as far as the section has them, and return them by name.

    `given` is the section as it is written. Also returns what distinguishes the files that were read from newer ones.
    """
    pems: dict[str, Pem] = {}
    read_from: Stamps = {}
    for key in ("cert", "key", "client_ca"):
        inline, file_key = given.get(key), f"{key}_file"
        name = given.get(file_key)
        if inline is not None and name is not None:
            fault(key, f"and {file_key} are both given: keep one")
        elif isinstance(inline, str):
            pems[key] = Pem(key, inline)
        elif isinstance(name, str):
            path = folder / name
            try:
                read_from |= stamps([path])
                pems[key] = Pem(file_key, path.read_bytes().decode("ascii", "replace"))
            except OSError as error:
                fault(file_key, f"{path} cannot be read: {error.strerror}")
            except ValueError:
                fault(file_key, "must be the path of a file")
        elif given and key != "client_ca" and inline is name is None:
            fault(file_key, "is missing: TLS needs a certificate and its key")
    return pems, read_from


def load_pems(pems: Mapping[str, Pem], fault: Fault) -> ssl.SSLContext:
    """Return a context with certificate, key and client CA, as far as they are there and can be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key, client_ca = (pems.get(name) for name in ("cert", "key", "client_ca"))
    has_certificate = certificate is not None and _load_authorities(
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate.text
    )
    has_key = key is not None and "PRIVATE KEY-----" in key.text
    if certificate is not None and not has_certificate:
        fault(certificate.key, _NO_CERTIFICATE)
    if key is not None and not has_key:
        fault(key.key, _NO_KEY)
    if certificate is not None and has_certificate and key is not None and has_key:
        try:
            with _as_file(certificate.text) as certificate_path, _as_file(key.text) as key_path:
                # Without a password OpenSSL would ask for one on the terminal.
                context.load_cert_chain(certificate_path, key_path, password="")
        except ssl.SSLError as error:
            mismatch = error.reason == "KEY_VALUES_MISMATCH"
            fault(key.key, "does not belong to the certificate" if mismatch else _NO_KEY)
    if client_ca is not None and not _load_authorities(context, client_ca.text):
        fault(client_ca.key, _NO_CERTIFICATE)
    return context


def configure(context: ssl.SSLContext, tls: TLSServer) -> None:
    """Set what the section says of versions, ciphers and clients."""
    context.set_alpn_protocols(["http/1.1"])
    context.minimum_version = VERSIONS[tls.min_version]
    context.maximum_version = VERSIONS[tls.max_version]
    chosen = [CIPHERS[name] for name in tls.cipher_suites if name not in ALWAYS_ON]
    context.set_ciphers(":".join(chosen or DEFAULT_CIPHERS))
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    for curve in tls.curve_preferences:
        context.set_ecdh_curve(CURVES[curve])
    context.verify_mode = CLIENT_AUTH[tls.client_auth_type]


def certificate_expires_at(text: str) -> float | None:
    """Return when the first certificate of a text ends, epoch seconds, None where it cannot be read from it.

    That is the `notAfter` of the certificate (RFC 5280, 4.1.2.5), which `ssl` says only of a peer's.
    """
    pem = _PEM.search(text)
    validity = pem and _VALIDITY.search(ssl.PEM_cert_to_DER_cert(pem[0]))
    if not validity:
        return None
    short, long = validity.groups(b"")
    form = "%y%m%d%H%M%S" if short else "%Y%m%d%H%M%S"
    return datetime.strptime((short or long).decode(), form).replace(tzinfo=UTC).timestamp()


def is_allowed(certificate: Mapping[str, Any] | None, names: tuple[str, ...]) -> bool:
    """Return whether a client's certificate, as `getpeercert` gives it, bears one of the names, if any are asked for.

    A client without certificate passes: whether it needs one is decided by client_auth_type, as in Go.
    """
    if not names or not certificate:
        return True
    return any(_plain(kind, name) in names for kind, name in certificate.get("subjectAltName", ()))


def _plain(kind: str, name: str) -> str:
    return str(ip_address(name)) if kind == "IP Address" else name


def _load_authorities(context: ssl.SSLContext, text: str) -> bool:
    """Let a context trust the certificates of a text, and return whether there are any."""
    try:
        context.load_verify_locations(cadata=text.encode("ascii", "replace").decode())
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
