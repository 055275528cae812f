"""`notify`: send a test message through the configured channels."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import click

from exporter.app.notifications import channel_settings
from exporter.cli import options
from exporter.errors import ExporterError
from exporter.model import Topic
from exporter.notify.channel import ChannelSettings
from exporter.notify.transport import AppriseTransport, Outcome
from exporter.store import MemoryStore


@click.command(name="notify")
@options.config_file
@click.option("--channel", "names", multiple=True, metavar="NAME", help="Only this channel; can be repeated.")
@click.option("--resolved", is_flag=True, help="Send the message for the end of an incident.")
def command(*, config_file: Path | None, names: Sequence[str], resolved: bool) -> None:
    """Send a test message through every configured channel, and print the results.

    The message is rendered and sent like that of an incident. Exit code 0, or 1 if a channel did not accept it.
    """
    settings = options.settings(config_file, needs_brand=False)
    channels = channel_settings(settings, MemoryStore())
    if not channels:
        raise ExporterError("no channel is configured: set CLOPOS_NOTIFY_URL, or notifications.channels in a file")
    known = {channel.name for channel in channels}
    if unknown := [name for name in names if name not in known]:
        raise ExporterError(f"there is no channel {', '.join(unknown)}, only {', '.join(sorted(known))}")
    accepted = True
    for channel, configured in zip(channels, settings.notifications.channels, strict=True):
        if not names or channel.name in names:
            outcome = _send(channel, configured.topics, settings.brands[0].brand, resolved=resolved)
            accepted &= outcome.accepted
            click.echo(f"{channel.name}  {'ok: accepted' if outcome.accepted else f'failed: {outcome.problem}'}")
    if not accepted:
        sys.exit(1)


def _send(channel: ChannelSettings, topics: Collection[Topic], brand: str, *, resolved: bool) -> Outcome:
    try:
        transport = AppriseTransport(channel.url)
    except ValueError as error:
        return Outcome(accepted=False, problem=str(error))
    return transport.send(channel.renderer.test(channel.name, brand, time.time(), topics, resolved=resolved))
