"""`serve`: the daemon."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
import structlog

from exporter import log
from exporter.app.configwatch import ConfigWatch
from exporter.app.daemon import Daemon
from exporter.cli import options
from exporter.clock import Clock
from exporter.config import Settings, take_secrets
from exporter.errors import ConfigProblem
from exporter.notify.transport import problem_of
from exporter.scheduling.pool import raise_open_files_limit
from exporter.web.addresses import Address, listen, parse_address
from exporter.web.endpoints import create_app
from exporter.web.publicurl import PublicURL
from exporter.web.readers import reader_routes
from exporter.web.server import WebServer
from exporter.web.webconfig_file import WebConfigFile

_PR_SET_DUMPABLE = 4


@click.command(name="serve")
@options.config_file
@options.auto_reload_interval
@options.listen_address
@options.telemetry_path
@options.web_config_file
@options.external_url
@options.route_prefix
@options.allowed_host
@options.log_level
@options.log_format
@options.shard
@options.total_shards
def command(
    *,
    config_file: Path | None,
    config_auto_reload_interval: float | None,
    web_listen_address: Sequence[str],
    web_telemetry_path: str,
    web_config_file: Path | None,
    web_external_url: str,
    web_route_prefix: str | None,
    web_allowed_host: Sequence[str],
    log_level: str,
    log_format: str | None,
    shard: int | None,
    total_shards: int | None,
) -> None:
    """Poll Clopos, serve the metrics, and log what changes.

    SIGTERM and SIGINT stop it within 5 seconds. SIGHUP and POST /-/reload reload the configuration atomically.

    \b
    /metrics    for Prometheus           /-/healthy   the process works
    /           the page                 /-/ready     every brand has been tried once
    """  # noqa: D301 - click wants the character itself, which keeps lines as they are
    environ = take_secrets(os.environ)
    files: list[Path] = []

    def load(on_warning: Callable[[ConfigProblem], None] = log_warning) -> Settings:
        found: list[Path] = []
        try:
            return options.settings(
                config_file,
                environ,
                shard=shard,
                total_shards=total_shards,
                problem_of_channel=problem_of,
                on_warning=on_warning,
                on_file=found.append,
            )
        finally:
            files[:] = found

    warnings: list[ConfigProblem] = []
    with options.every_fault() as collect:
        settings = collect(lambda: load(warnings.append))  # before the log is set up
        addresses = [collect(partial(parse_address, text)) for text in web_listen_address or [options.LISTEN_ADDRESS]]
        public = collect(
            lambda: PublicURL.of(
                filter(None, addresses),
                external_url=web_external_url,
                route_prefix=web_route_prefix,
                allowed_hosts=web_allowed_host,
            )
        )
        web_config = collect(lambda: WebConfigFile(web_config_file) if web_config_file else None)
    forbid_dumps()
    output = log.configure(log_level, log_format)
    for warning in warnings:
        log_warning(warning)
    first = [settings]  # not read again: for 50 brands that takes a while
    daemon, server = prepare(
        lambda: (first.pop() if first else None) or load(),
        output,
        [address for address in addresses if address],
        telemetry_path=web_telemetry_path,
        public=public or PublicURL(),
        web_config=web_config,
    )
    if config_auto_reload_interval is not None:
        ConfigWatch(files.copy, config_auto_reload_interval, daemon.reload).start()
    daemon.serve(server)


def log_warning(fault: ConfigProblem) -> None:
    """Log what the configuration probably does not mean."""
    structlog.get_logger(__name__).warning("config.warning", place=fault.place, message=fault.message)


def forbid_dumps() -> None:
    """Let no other process of the user read this one's memory and environment, and write no core (prctl(2), Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def prepare(
    load: Callable[[], Settings],
    output: log.Output,
    addresses: Sequence[Address],
    *,
    telemetry_path: str = "/metrics",
    public: PublicURL = PublicURL(),  # noqa: B008 - frozen
    web_config: WebConfigFile | None = None,
) -> tuple[Daemon, WebServer]:
    """Return the daemon, ready to serve, and the server that it serves with, which listens already."""
    raise_open_files_limit()
    daemon = Daemon(load, output, Clock(), revision=os.environ.get("CLOPOS_EXPORTER_REVISION", ""))
    if web_config is not None:
        daemon.telemetry.serve_certificate(lambda: web_config.current.certificate_expires_at)
    app = create_app(
        daemon.source.scrape,
        daemon.checks,
        telemetry_path=telemetry_path,
        load_readers=partial(reader_routes, daemon.source, public, telemetry_path=telemetry_path),
        public=public,
        web_config=web_config,
        priority=daemon.priority,
    )
    return daemon, WebServer(app, listen(addresses), web_config)
