"""Turn `--web.listen-address` into listening sockets, all of them or none."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from ipaddress import ip_address
from typing import NamedTuple

from exporter.errors import ConfigError, ConfigProblem, ExporterError

FLAG = "--web.listen-address"
FORMS = "write it as :10110, 127.0.0.1:10110, [::1]:10110 or host:10110"

REMEDIES = {
    errno.EADDRINUSE: "the port is taken: stop the program that listens there, or choose another",
    errno.EADDRNOTAVAIL: "no network interface of this machine has that address",
    errno.EACCES: "ports below 1024 need a privilege: choose a higher one",
}


class Address(NamedTuple):
    """Where to listen. An empty `host` is every interface, by IPv6 and IPv4; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read an address as Go's `net.Listen` spells it.

    Raises `ConfigError` for anything else.
    """
    host, separator, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError([ConfigProblem(FLAG, f"{text!r}: an IPv6 address stands in brackets: {FORMS}")])
    if not separator or not (port.isascii() and port.isdigit()) or int(port) > 65535:  # noqa: PLR2004 - the last port
        raise ConfigError([ConfigProblem(FLAG, f"{text!r} is not an address with a port from 0 to 65535: {FORMS}")])
    return Address(host, int(port))


def listen(addresses: Iterable[Address]) -> list[socket.socket]:
    """Open a listening socket for every address, or none at all.

    Raises `ExporterError` that names the address and what to do.
    """
    with ExitStack() as opened:
        sockets = [opened.enter_context(_listen(address)) for address in addresses]
        opened.pop_all()
        return sockets


def url(listener: socket.socket, *, scheme: str = "http") -> str:
    """Return the URL of a listening socket, without a path: with this machine's name if it is on all interfaces."""
    host, port = listener.getsockname()[:2]
    if ip_address(host).is_unspecified:
        host = socket.gethostname()
    return f"{scheme}://{Address(host, port)}"


def _listen(address: Address) -> socket.socket:
    try:
        if not address.host and socket.has_dualstack_ipv6():
            listener = socket.create_server(("::", address.port), family=socket.AF_INET6, dualstack_ipv6=True)
        else:
            family, target = _resolve(address)
            listener = socket.create_server(target, family=family)
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, str(error.strerror or error))
        raise ExporterError(f"cannot listen on {address}: {remedy} ({FLAG})") from error
    listener.settimeout(0)
    return listener


def _resolve(address: Address) -> tuple[socket.AddressFamily, tuple[str, int]]:
    found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A name may stand for several addresses: like Go, listen on one and prefer IPv4.
    family, _, _, _, target = min(found, key=lambda row: row[0] != socket.AF_INET)
    return family, (str(target[0]), int(target[1]))
