"""`check`: is the configuration right, and does Clopos agree."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from exporter.app.notifications import check_channels
from exporter.cli import asking, options
from exporter.clopos.client import Client
from exporter.config import Brand
from exporter.errors import CloposError
from exporter.web.webconfig_file import load as load_web_config


@click.command(name="check")
@options.config_file
@options.web_config_file
@click.option("--offline", is_flag=True, help="Only read the files; do not ask Clopos.")
def command(*, config_file: Path | None, web_config_file: Path | None, offline: bool) -> None:
    """Check the configuration, then log in to each brand and read its venues and stations.

    Prints every fault of the files at once, each with its place. Exit code 0, or 1 with what failed.
    """
    with options.every_fault() as collect:
        settings = collect(lambda: options.settings(config_file))
        collect(lambda: load_web_config(web_config_file) if web_config_file else None)
        if settings:
            collect(lambda: check_channels(settings))
    brands = settings.brands if settings else ()
    click.echo(f"configuration  ok: {_count(len(brands), 'brand')}")
    if not offline and not _ask(brands):
        sys.exit(1)


def _ask(brands: Sequence[Brand]) -> bool:
    with asking.clients(brands) as clients:
        # All of them, even after one failed: a person wants to mend everything in one go.
        outcomes = [_ask_brand(client) for client in clients]
    return all(outcomes)


def _ask_brand(client: Client) -> bool:
    try:
        venues = client.venues(asking.SECONDS)
    except CloposError as error:
        click.echo(f"{client.brand}  failed: {asking.explain(error)}")
        return False
    click.echo(f"{client.brand}  login ok, {_count(len(venues), 'venue')}")
    good = True
    for venue, answer in asking.of_each(venues, lambda venue: client.stations(venue, asking.SECONDS), client.brand):
        name = f"{client.brand}  venue {venue.id} {venue.name!r}"
        if isinstance(answer, CloposError):
            good = False
            click.echo(f"{name}  failed: {asking.explain(answer)}")
        else:
            odd = f", {_count(len(answer.unusable), 'row')} without a usable id" if answer.unusable else ""
            click.echo(f"{name}  ok: {_count(len(answer.stations), 'station')}{odd}")
    return good


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
