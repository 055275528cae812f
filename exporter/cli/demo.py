"""`demo`: the daemon against the built-in simulator, its notifications printed."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from zoneinfo import ZoneInfo

import click

from exporter import log
from exporter.cli import options
from exporter.cli.serve import prepare
from exporter.config import Settings
from exporter.errors import ExporterError
from exporter.masking import escape_controls
from exporter.simulator import SCENARIOS, simulate
from exporter.web.addresses import Address, listen, parse_address

TIME_ZONE = "Asia/Baku"
_INDENT = " " * 13


@click.command(name="demo")
@options.flag(
    "web.listen-address",
    multiple=True,
    metavar="ADDRESS",
    help="Listen here; can be repeated.  [default: 127.0.0.1:10110, or a free port if that one is taken]",
)
@options.log_level
@options.log_format
@click.option(
    "--scenario", type=click.Choice(list(SCENARIOS)), default="demo", show_default=True, help="How Clopos behaves."
)
@click.option("--seed", default=1, show_default=True, help="Seed of the random changes; the same seed repeats them.")
def command(
    *, web_listen_address: Sequence[str], log_level: str, log_format: str | None, scenario: str, seed: int
) -> None:
    """Run the real exporter against a simulated Clopos; no credentials needed.

    The simulator is a real HTTP server on loopback whose stations change by themselves. Notifications are printed here.
    """
    addresses = [parse_address(text) for text in web_listen_address] or [_free_address()]
    with simulate(SCENARIOS[scenario], seed=seed) as simulator, _inbox() as channel:
        settings = Settings.model_validate(
            {
                "poll_interval": 2.0,
                "stale_after": 60.0,
                "discovery_interval": 30.0,
                "brands": [
                    {
                        **simulator.credentials(brand),
                        "base_url": simulator.url,
                        "opening_hours": opening_hours(datetime.now(ZoneInfo(TIME_ZONE))),
                        "time_zone": TIME_ZONE,
                    }
                    for brand in simulator.world.brands
                ],
                "incidents": {"delay": 5.0},
                "notifications": {"group_wait": 2.0, "channels": [{"name": "terminal", "url": channel}]},
            }
        )
        daemon, server = prepare(lambda: settings, log.configure(log_level, log_format), addresses)
        for url in server.urls:
            click.echo(f"  metrics    {url}/metrics", err=True)
            click.echo(f"  page       {url}/", err=True)
        click.echo(f"  simulator  {simulator.control_url}", err=True)
        click.echo("Stations change by themselves; their events follow. Ctrl-C ends the demo.", err=True)
        daemon.serve(server)


def opening_hours(now: datetime) -> str:
    """Return opening hours that began up to an hour ago and last for sixteen: a demo at night shows open venues too."""
    return f"Mo-Su {now:%H}:00-{now + timedelta(hours=16):%H}:00"


def _free_address() -> Address:
    """Return the usual address on loopback, or any free port where something listens there already."""
    usual = parse_address(f"127.0.0.1{options.LISTEN_ADDRESS}")
    try:
        listen([usual])[0].close()
    except ExporterError:
        return Address(usual.host, 0)
    return usual


@contextmanager
def _inbox() -> Iterator[str]:
    """Listen on a free port of loopback in place of a phone: yield the Apprise URL that prints what is sent to it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Inbox) as server:
        Thread(target=server.serve_forever, name="inbox", daemon=True).start()
        try:
            yield f"json://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


class _Inbox(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        lines = [message["title"], *message["message"].splitlines()]
        text = "\n".join(textwrap.indent(escape_controls(line), _INDENT) for line in lines)
        click.echo(f"  message    {text.lstrip()}", err=True)
        self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing of the requests themselves."""
