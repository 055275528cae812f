"""The names and the path under which the exporter is reached, from `--web.external-url` and related flags."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from socket import gethostname
from urllib.parse import urlsplit

from exporter.errors import ConfigError, ConfigProblem
from exporter.web.addresses import Address

ANY_HOST = "*"
"""The value of `--web.allowed-host` that switches the check off."""

_RESERVED = set(" ?#%\\")


@dataclass(frozen=True, slots=True)
class PublicURL:
    """How people reach the exporter.

    `external_url` is where, without a slash at its end; empty if at its own address. `route_prefix` begins every path
    that is served: empty, or `/` and a path without a slash at its end. `hosts` are the names, in lower case, that a
    Host header may bear besides IP addresses and `localhost`.
    """

    external_url: str = ""
    route_prefix: str = ""
    hosts: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        addresses: Iterable[Address] = (),
        *,
        external_url: str = "",
        route_prefix: str | None = None,
        allowed_hosts: Iterable[str] = (),
    ) -> PublicURL:
        """Return what the flags say. As in Prometheus, the path of the external URL is the default route prefix.

        Raises `ConfigError` with every fault.
        """
        parts = urlsplit(external_url)
        prefix = (parts.path if route_prefix is None else route_prefix).strip("/")
        faults = []
        if set(prefix) & _RESERVED or (any(part in ("", ".", "..") for part in prefix.split("/")) and prefix):
            flag = "--web.external-url" if route_prefix is None else "--web.route-prefix"
            faults.append(ConfigProblem(flag, f"{prefix!r} must be a plain path, such as /clopos"))
        # Who listens on all interfaces is reached by this machine's name too.
        hosts = {(address.host or gethostname()).lower() for address in addresses}
        if parts.hostname:
            hosts.add(parts.hostname)
        for name in allowed_hosts:
            if name != ANY_HOST and host_name(name) != name.lower():
                faults.append(ConfigProblem("--web.allowed-host", f"{name!r} must be a host name alone, or {ANY_HOST}"))
            hosts.add(name.lower())
        if faults:
            raise ConfigError(faults)
        return cls(external_url.rstrip("/"), f"/{prefix}" if prefix else "", frozenset(hosts))

    def accepts_host(self, header: str) -> bool:
        """Return whether a Host header names this exporter.

        A name that is not known may be one that somebody else's DNS server pointed here, so that a page of
        theirs may read ours (DNS rebinding). Addresses cannot be pointed anywhere; browsers always
        send the header.
        """
        name = host_name(header)
        if not header or name == "localhost" or name in self.hosts or ANY_HOST in self.hosts:
            return True
        try:
            ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def accepts_origin(self, origin: str, host: str) -> bool:
        """Return whether a page of this origin is one of ours, asked for at `host`."""
        parts = urlsplit(self.external_url)
        return origin.partition("://")[2] == host or (
            bool(self.external_url) and origin == f"{parts.scheme}://{parts.netloc}".lower()
        )


def host_name(header: str) -> str:
    """Return the name in a Host header, in lower case, without port and without the dot of the DNS root."""
    name, colon, port = header.rpartition(":")
    if not colon or "]" in port:
        name = header
    return name.lower().removesuffix(".")
