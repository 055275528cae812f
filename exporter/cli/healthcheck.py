"""`healthcheck`: ask the running daemon whether it works, for container health checks."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Sequence
from pathlib import Path

import click
import yaml

from exporter.cli import options
from exporter.errors import ExporterError
from exporter.web.addresses import Address, parse_address

_SECONDS = 4.0


@click.command(name="healthcheck")
@options.listen_address
@options.web_config_file
def command(*, web_listen_address: Sequence[str], web_config_file: Path | None) -> None:
    """Ask the running daemon whether it works; give the same flags or environment as to `serve`.

    Exit code 0 if it answers, 1 if not. It tells of the process, not of Clopos.
    """
    address = parse_address((web_listen_address or [options.LISTEN_ADDRESS])[0])
    try:
        status = _ask(address, tls=_is_tls(web_config_file))
    except (OSError, http.client.HTTPException) as error:
        raise ExporterError(f"no answer from {address}: {error}") from error
    if status != http.client.OK:
        raise ExporterError(f"{address} answered HTTP {status}")
    click.echo("healthy")


def _ask(address: Address, *, tls: bool) -> int:
    host = "127.0.0.1" if address.host in ("", "0.0.0.0") else "::1" if address.host == "::" else address.host  # noqa: S104 - compared, not bound
    if tls:
        # The certificate is made for the name that Prometheus uses; here we talk to ourselves.
        context = ssl._create_unverified_context()  # noqa: S323, SLF001
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, address.port, timeout=_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, address.port, timeout=_SECONDS)
    try:
        connection.request("GET", "/-/healthy")
        return connection.getresponse().status
    finally:
        connection.close()


def _is_tls(web_config_file: Path | None) -> bool:
    if web_config_file is None:
        return False
    try:
        return bool((yaml.safe_load(web_config_file.read_text()) or {}).get("tls_server_config"))
    except (OSError, ValueError, yaml.YAMLError, AttributeError) as error:
        raise ExporterError(f"{web_config_file} cannot be read") from error
