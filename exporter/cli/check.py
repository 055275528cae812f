"""`check`: is the configuration right, and does Clopos agree."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import click

from exporter.cli import fetch, options
from exporter.clock import format_duration
from exporter.clopos.client import Client
from exporter.config import Brand, Ignored, Settings
from exporter.errors import CloposError, ConfigError, ConfigProblem, StoreError
from exporter.masking import escape_controls
from exporter.model import Snapshot
from exporter.notify.transport import problem_of
from exporter.web.webconfig_file import load as load_web_config


@click.command(name="check")
@options.config_file
@options.web_config_file
@click.option("--offline", is_flag=True, help="Only read the files; connect to nothing.")
def command(*, config_file: Path | None, web_config_file: Path | None, offline: bool) -> None:
    """Check the configuration and the database of `state.url`, then log in to each brand and read venues and stations.

    Prints all errors in the files, each with its place, and warnings about probable mistakes. Exit code 0, or 1 if
    anything failed.
    """
    with options.every_fault() as collect:
        settings = collect(lambda: options.settings(config_file, problem_of_channel=problem_of, on_warning=_warn))
        collect(lambda: load_web_config(web_config_file) if web_config_file else None)
        if settings:
            collect(lambda: _check_state(settings.state.path))
            if settings.state.url and not offline:
                collect(partial(_check_database, settings.state.url.get_secret_value()))
    assert settings is not None  # noqa: S101 - or every_fault would have raised
    click.echo(f"configuration  ok: {_count(len(settings.brands), 'brand')}")
    if not offline and not _check_brands(settings):
        sys.exit(1)


def _warn(fault: ConfigProblem) -> None:
    click.echo(f"warning: {escape_controls(str(fault))}", err=True)


def _check_state(path: Path | None) -> None:
    """Raise ConfigError where the state could not be written."""
    if path is None:
        return
    folder = path.parent
    # First what raises nothing where a folder is closed to this user.
    if not os.access(folder, os.F_OK) or not folder.is_dir():
        raise ConfigError([ConfigProblem("state.path", f"the folder {folder} does not exist for this user: create it")])
    for target, mode in ((folder, os.W_OK | os.X_OK), (path, os.W_OK)):
        if os.access(target, os.F_OK) and not os.access(target, mode):
            raise ConfigError([ConfigProblem("state.path", f"{target} is not writable: change its owner or mode")])
    if path.is_dir():
        raise ConfigError([ConfigProblem("state.path", f"{path} is a folder: name a file in it")])


def _check_database(url: str) -> None:
    """Raise ConfigError where the database cannot be reached."""
    from exporter.store.database import check_connection  # noqa: PLC0415 - the driver of PostgreSQL takes 7 MB

    try:
        check_connection(url)
    except StoreError as error:
        raise ConfigError([ConfigProblem("state.url", escape_controls(str(error)))]) from None


def _check_brands(settings: Settings) -> bool:
    with fetch.clients(settings.brands) as clients:
        # All of them, even after one failed: a person wants to fix everything in one go.
        outcomes = [_check_brand(*pair, settings) for pair in zip(clients, settings.brands, strict=True)]
    return all(outcomes)


def _check_brand(client: Client, brand: Brand, settings: Settings) -> bool:
    try:
        venues = client.venues(fetch.SECONDS)
    except CloposError as error:
        click.echo(f"{client.brand}  failed: {fetch.explain(error)}")
        return False
    click.echo(f"{client.brand}  login ok, {_count(len(venues), 'venue')}")
    listings: dict[str, Snapshot] = {}
    for venue, outcome in fetch.fetch_each(venues, lambda one: client.stations(one, fetch.SECONDS), client.brand):
        name = f"{client.brand}  venue {escape_controls(f'{venue.id} {venue.name!r}')}"
        if isinstance(outcome, CloposError):
            click.echo(f"{name}  failed: {fetch.explain(outcome)}")
        else:
            odd = f", {_count(len(outcome.unusable), 'row')} without a usable id" if outcome.unusable else ""
            click.echo(f"{name}  ok: {_count(len(outcome.stations), 'station')}{odd}")
            listings[venue.id] = outcome
    complete = len(listings) == len(venues)
    for message in (*_unmatched(brand, listings, complete=complete), *_too_short(brand, settings, listings)):
        _warn(ConfigProblem(client.brand, message))
    return complete


def _unmatched(brand: Brand, listings: Mapping[str, Snapshot], *, complete: bool) -> Iterator[str]:
    """Yield what the configuration says of venues and stations that there are not, as far as all could be read."""
    for id_, override in brand.venue_overrides.items():
        if id_ in listings:
            for rule in override.ignore_stations:
                if not _matches(rule, [listings[id_]]):
                    yield f"venue_overrides.{id_}.ignore_stations: no station {rule.station!r} in this venue"
        elif complete:
            yield f"venue_overrides.{id_}: the brand has no such venue"
    for rule in brand.ignore_stations if complete else ():
        if not _matches(rule, listings.values()):
            yield f"ignore_stations: no station {rule.station!r} in any venue"


def _matches(rule: Ignored, listings: Iterable[Snapshot]) -> bool:
    return any(rule.station in (station.id, station.name) for listing in listings for station in listing.stations)


def _too_short(brand: Brand, settings: Settings, listings: Mapping[str, Snapshot]) -> Iterator[str]:
    requests = sum(listing.requests for listing in listings.values())
    interval = max(settings.poll_interval, 60.0 * requests / brand.requests_per_minute)
    if settings.stale_after < 2 * interval:
        yield (
            f"stale_after, {format_duration(settings.stale_after)}, is less than two intervals in force, which are "
            f"{format_duration(interval)} with {_count(len(listings), 'venue')}: two intervals are used instead"
        )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
