"""`history`: the journal of events."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from exporter.app.notifications import TimeZones
from exporter.cli import options
from exporter.cli.localtime import LocalTimes
from exporter.clock import format_duration, in_utc
from exporter.config import Brand, Settings
from exporter.config.settings import State
from exporter.config.values import seconds
from exporter.errors import ConfigError, ExporterError, StoreError
from exporter.journal import Entry, JournalQuery
from exporter.masking import escape_controls
from exporter.model import Event

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


def _moment(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    """Parse how long ago, or when, in what time zone is known later."""
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        pass
    try:
        return in_utc(time.time() - float(str(seconds(value))))
    except ValueError as error:
        raise click.BadParameter("use a duration such as 12h or 7d, or a time such as 2026-11-20T19:30") from error


@click.command(name="history")
@options.config_file
@click.option(
    "--state.path",
    "state_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read this state file instead of the configured one.",
)
@click.option("--brand", help="Only this brand.")
@click.option("--venue", metavar="ID", help="Only this venue.")
@click.option("--station", metavar="ID", help="Only this station.")
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice([event.value for event in Event]),
    metavar="NAME",
    help="Only events of this name, such as station.deactivated; can be repeated.",
)
@click.option(
    "--since",
    callback=_moment,
    metavar="WHEN",
    help="Only from then on: 12h, 7d, or 2026-11-20T19:30 in the time zone of the brand.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="Print only the newest ones."
)
@click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table, or one JSON object a line.",
)
def command(
    *,
    config_file: Path | None,
    state_path: Path | None,
    brand: str | None,
    venue: str | None,
    station: str | None,
    events: Sequence[str],
    since: datetime | None,
    limit: int,
    output: str,
) -> None:
    """Print what changed, newest last, from the journal in the state file or database; the daemon may run meanwhile.

    Times are in the time zone of the venue or brand, which the table names; in JSON, they are in UTC.
    """
    settings = _settings(config_file, is_needed=state_path is None or config_file is not None)
    brands = settings.brands if settings else ()
    state = settings.state if settings and not state_path else State()
    path = state_path or state.path
    url = state.url.get_secret_value() if state.url else None
    if path is None and not url:
        raise ExporterError(
            "no state path or URL is configured, so nothing is kept: set state.path, or give --state.path"
        )
    query = JournalQuery(
        brand=brand,
        venue_id=venue,
        station_id=station,
        events=frozenset(map(Event, events)),
        since=None if since is None else _in_zone_of(since, brands, brand, venue),
        limit=limit,
    )
    try:
        entries = _read(path, url, query)[::-1]
    except StoreError as error:
        raise ExporterError(f"{path or 'the database'}: {error}") from error
    if brand is not None and not entries and not _read(path, url, JournalQuery(brand=brand, limit=1)):
        raise click.BadParameter(f"the journal holds no event of {escape_controls(brand)!r}", param_hint="--brand")
    if output == "json":
        for entry in entries:
            click.echo(json.dumps(entry.fields(), ensure_ascii=False))
    elif not entries:
        click.echo("no event matches", err=True)
    else:
        times = LocalTimes(brands, map(_place, entries))
        headers = (times.heading("TIME"), "EVENT", "BRAND", "VENUE", "STATION", "DETAILS")
        click.echo(tabulate([_row(entry, times) for entry in entries], headers, "plain", disable_numparse=True))


def _settings(config_file: Path | None, *, is_needed: bool) -> Settings | None:
    """Read the configuration; only for its time zones where that is not needed for the state."""
    try:
        return options.settings(config_file)
    except ConfigError:
        if is_needed:
            raise
        return None


def _in_zone_of(moment: datetime, brands: Sequence[Brand], brand: str | None, venue: str | None) -> float:
    zone = moment.tzinfo or TimeZones(tuple(brands)).of(brand or "", venue or "") or UTC
    return moment.replace(tzinfo=zone).timestamp()


def _place(entry: Entry) -> tuple[str, str]:
    return entry.brand, entry.venue_id or ""


def _read(path: Path | None, url: str | None, query: JournalQuery) -> list[Entry]:
    if path:
        from exporter.store import file  # noqa: PLC0415 - one of the two: each has a driver to load

        return file.read_journal(path, query)
    from exporter.store import postgresql  # noqa: PLC0415

    return postgresql.read_journal(url or "", query)


def _row(entry: Entry, times: LocalTimes) -> tuple[str, ...]:
    cells = (
        times.write(entry.observed_at, _place(entry)),
        entry.event.value,
        entry.brand,
        " ".join(filter(None, (entry.venue_id, entry.venue))),
        " ".join(filter(None, (entry.station_id, entry.station))),
        ", ".join(
            _detail(key, value, lambda at: times.write(at, _place(entry))) for key, value in entry.details.items()
        ),
    )
    return tuple(escape_controls(cell) for cell in cells)


def _detail(key: str, value: Any, write: Callable[[float], str]) -> str:
    if key.endswith("_seconds") and isinstance(value, int | float) and math.isfinite(value):
        return f"{key.removesuffix('_seconds').replace('_', ' ')} {format_duration(value)}"
    return f"{key.replace('_', ' ')} {_local(value, write)}"


def _local(value: Any, write: Callable[[float], str]) -> Any:
    """Replace times as the journal has them, in UTC, by those of the table."""
    if isinstance(value, Mapping):  # by the ids of stations
        return {key: _local(one, write) for key, one in value.items()}
    if isinstance(value, str) and _TIME.fullmatch(value):
        return write(datetime.fromisoformat(value).timestamp())
    return value
