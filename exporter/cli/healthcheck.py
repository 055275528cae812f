"""`healthcheck`: ask the running daemon whether it works, for container health checks."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from exporter.cli import options
from exporter.errors import ExporterError
from exporter.web.addresses import Address, parse_address
from exporter.web.endpoints import HEALTHY
from exporter.web.publicurl import PublicURL
from exporter.web.webconfig_file import load

_SECONDS = 4.0
_HINT = "; if it serves TLS, give --web.config.file"


@click.command(name="healthcheck")
@options.listen_address
@options.web_config_file
@options.external_url
@options.route_prefix
def command(
    *,
    web_listen_address: Sequence[str],
    web_config_file: Path | None,
    web_external_url: str,
    web_route_prefix: str | None,
) -> None:
    """Check that the running daemon answers. Use the same flags or environment as for `serve`.

    Exit code 0 if it answers, 1 if not. This checks the process, not Clopos. If the daemon requires client
    certificates, which this command does not have, it is enough that it accepts the connection.
    """
    address = parse_address((web_listen_address or [options.LISTEN_ADDRESS])[0])
    path = PublicURL.of(external_url=web_external_url, route_prefix=web_route_prefix).route_prefix + HEALTHY
    context = load(web_config_file).context if web_config_file else None
    try:
        if context is not None and context.verify_mode is not ssl.CERT_NONE:
            socket.create_connection((_host(address), address.port), _SECONDS).close()
        else:
            _ask(address, path, tls=context is not None)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, ConnectionRefusedError):
            remedy = "is `clopos-exporter serve` running, with the same --web.listen-address?"
            raise ExporterError(f"no answer from {address}: nothing listens there; {remedy}") from error
        hint = "" if web_config_file else _HINT
        raise ExporterError(f"no answer from {address}: {error}{hint}") from error
    click.echo("healthy")


def _ask(address: Address, path: str, *, tls: bool) -> None:
    connection = http.client.HTTPConnection(_host(address), address.port, timeout=_SECONDS)
    if tls:
        # The certificate is made for the name that Prometheus uses; here the process talks to itself.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(_host(address), address.port, timeout=_SECONDS, context=context)
    with closing(connection):
        connection.request("GET", path)
        status = connection.getresponse().status
    if status != http.client.OK:
        hint = _HINT if status == http.client.BAD_REQUEST and not tls else ""
        raise ExporterError(f"{address} answered HTTP {status}{hint}")


def _host(address: Address) -> str:
    """Return where this machine reaches an address; listening on all of them includes loopback."""
    return {"": "localhost", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 - not bound
