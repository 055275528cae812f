"""`stations`: one poll, for people and for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from exporter.cli import fetch, options
from exporter.cli.localtime import LocalTimes
from exporter.clock import iso
from exporter.clopos.client import Client
from exporter.errors import CloposError
from exporter.masking import escape_controls
from exporter.model import Kind, Reason, Snapshot, Station, Venue

Found = tuple[Venue, Station]
Failed = tuple[str, CloposError]
Fetch = Callable[[Client, Venue], Snapshot]

_FLAG = {True: "yes", False: "no", None: "?"}
_INACTIVE_FIRST = {False: 0, None: 1, True: 2}
_STATUS = {True: "active", False: "INACTIVE", None: "?"}


@click.command(name="stations")
@options.config_file
@click.option("--brand", "brands", multiple=True, help="Only this brand; can be repeated.")
@click.option("--venue", "venues", multiple=True, metavar="ID", help="Only this venue (x-venue); can be repeated.")
@click.option("--status", type=click.Choice(["1", "0", "active", "inactive"]), help="Only stations of this status.")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only stations of this kind.")
@click.option("--can-print", type=bool, metavar="BOOL", help="Only stations that can print, or cannot.")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(
    *,
    config_file: Path | None,
    brands: Sequence[str],
    venues: Sequence[str],
    status: str | None,
    kind: str | None,
    can_print: bool | None,
    output: str,
) -> None:
    """Read the stations of all venues once and print them, inactive ones first.

    --status and --can-print go to the API as its own parameters. JSON is one object with `stations` and `failures`.
    Exit code 1 if a brand or venue could not be read; the others are still printed.
    """
    settings = options.settings(config_file)
    chosen = [brand for brand in settings.brands if not brands or brand.brand in brands]
    unknown = set(brands) - {brand.brand for brand in chosen}
    if unknown:
        raise click.BadParameter(f"not configured: {', '.join(sorted(unknown))}", param_hint="--brand")
    wanted = None if status is None else int(status in ("1", "active"))
    with fetch.clients(chosen) as clients:
        found, failures = _read(
            clients, venues, lambda one, of: one.stations(of, fetch.SECONDS, status=wanted, can_print=can_print)
        )
    found = [row for row in found if kind in (None, row[1].kind.value)]
    found.sort(key=lambda row: _INACTIVE_FIRST[row[1].active])  # stable: by brand, venue and station otherwise
    if output == "json":
        failed = [{"place": place, "reason": e.reason.value, "message": e.message} for place, e in failures]
        click.echo(json.dumps({"stations": [_record(*row) for row in found], "failures": failed}, ensure_ascii=False))
    else:
        if found or not failures:
            click.echo(_table(found, LocalTimes(chosen, {venue.key for venue, _ in found})))
        for place, failure in failures:
            click.echo(f"{escape_controls(place)}  failed: {fetch.explain(failure)}", err=True)
    if failures:
        sys.exit(1)


def _read(clients: Sequence[Client], wanted: Sequence[str], fetch_one: Fetch) -> tuple[list[Found], list[Failed]]:
    """Read the wanted venues of all brands, every venue where none is named."""
    found: list[Found] = []
    failures: list[Failed] = []
    unseen = set(wanted)
    for client in clients:
        try:
            venues = [venue for venue in client.venues(fetch.SECONDS) if not wanted or venue.id in wanted]
        except CloposError as error:
            failures.append((client.brand, error))
            continue
        unseen -= {venue.id for venue in venues}
        for venue, answer in fetch.fetch_each(venues, partial(fetch_one, client), client.brand):
            if isinstance(answer, CloposError):
                failures.append((f"{client.brand} venue {venue.id}", answer))
            else:
                found += [(venue, station) for station in answer.stations]
    if not failures:
        nowhere = CloposError(Reason.NOT_FOUND, "no brand has such a venue")
        failures = [(f"venue {id_}", nowhere) for id_ in sorted(unseen)]
    return found, failures


def _record(venue: Venue, station: Station) -> dict[str, Any]:
    return {
        "brand": venue.brand,
        "venue_id": venue.id,
        "venue": venue.name,
        "station_id": station.id,
        "station": station.name,
        "kind": station.kind.value,
        "active": station.active,
        "printable": station.printable,
        "created_at": None if station.created_at is None else iso(station.created_at),
        "updated_at": None if station.updated_at is None else iso(station.updated_at),
    }


def _table(found: Sequence[Found], times: LocalTimes) -> str:
    headers = ("BRAND", "VENUE", "STATION", "KIND", "STATUS", "PRINTS", times.heading("UPDATED"))
    return tabulate([_row(venue, station, times) for venue, station in found], headers, "plain", disable_numparse=True)


def _row(venue: Venue, station: Station, times: LocalTimes) -> Iterator[str]:
    yield escape_controls(venue.brand)
    yield escape_controls(f"{venue.id} {venue.name}")
    yield escape_controls(f"{station.id} {station.name}")
    yield station.kind.value
    yield _STATUS[station.active]
    yield _FLAG[station.printable]
    yield "" if station.updated_at is None else times.write(station.updated_at, venue.key)
