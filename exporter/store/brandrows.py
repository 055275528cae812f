"""Rows of the database that belong to a brand, whichever process owns it: journal, cursors and deliveries."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from exporter.journal import Entry
from exporter.model import BrandState, Instant, VenueState
from exporter.outbox import Delivery
from exporter.store import rows
from exporter.store.database import DatabaseConnection
from exporter.store.memory import FORGET_SECONDS

REMOVED_CHANNEL_SECONDS = 86_400.0
"""Seconds for which deliveries to unknown channels are kept: another process may have a newer configuration."""

Key = tuple[str, int]
"""A row of the journal or the outbox: its brand, whose owner alone writes it, and its id."""


@dataclass(frozen=True, slots=True)
class StoredBrand:
    """What the database has of a brand: `pending` are the entries that its last owner stored and did not emit.

    `last_id` is the newest id of its entries and deliveries.
    """

    state: BrandState | None
    venues: list[VenueState]
    pending: list[Entry]
    deliveries: list[Delivery]
    last_id: int


def read_brand(connection: DatabaseConnection, brand: str, now: Instant, most_entries: int) -> StoredBrand:
    """Read what the next owner of a brand goes on from."""
    cursor = connection.execute("SELECT id FROM cursors WHERE brand = ? AND consumer = 'log'", (brand,)).fetchone()
    pending = connection.execute(
        "SELECT * FROM journal WHERE brand = ? AND id > ? ORDER BY id LIMIT ?",
        (brand, cursor[0] if cursor else 0, most_entries),
    )
    deliveries = connection.execute(
        "SELECT id, channel, change, created_at, state, accepted_at FROM deliveries WHERE brand = ? ORDER BY id",
        (brand,),
    )
    (last_id,) = connection.execute(
        "SELECT greatest((SELECT max(id) FROM journal WHERE brand = ?), "
        "(SELECT max(id) FROM deliveries WHERE brand = ?), 0)",
        (brand, brand),
    ).fetchone()
    return StoredBrand(
        next(rows.read_brands(connection, brand), None),
        list(rows.read_venues(connection, now, brand)),
        rows.entries(pending),
        rows.deliveries(deliveries),
        last_id,
    )


def read_changed(
    connection: DatabaseConnection, brands: Collection[str], since: int, now: Instant
) -> tuple[dict[str, tuple[BrandState, list[VenueState]]], int]:
    """Read those of some brands that were written since an earlier call; 0 reads all.

    Also returns what to pass the next time: the oldest transaction under way, as what it writes is not seen yet.
    """
    (horizon,) = connection.execute(
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint & 4294967295"
    ).fetchone()
    changed = connection.execute(
        "SELECT brand FROM brands WHERE brand = ANY(?) AND xmin::text::bigint >= ? UNION "
        "SELECT brand FROM venues WHERE brand = ANY(?) AND xmin::text::bigint >= ?",
        (list(brands), since, list(brands), since),
    ).fetchall()
    found = {
        brand: (
            next(rows.read_brands(connection, brand), BrandState(brand)),
            list(rows.read_venues(connection, now, brand)),
        )
        for (brand,) in changed
    }
    return found, horizon


def write_entries(connection: DatabaseConnection, entries: Iterable[tuple[int, Entry]]) -> None:
    """Append entries to the journal, each under the id that it is stored with."""
    connection.executemany(
        "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [rows.entry_row(replace(entry, id=id_)) for id_, entry in entries],
    )


def prune(connection: DatabaseConnection, retention: float, channels: Collection[str] | None) -> None:
    """Delete what is too old, by the database's clock: that of one process may be wrong, and the others lose it.

    `retention` is how long entries are kept, seconds. `channels` are those that are configured, None where not known.
    """
    (now,) = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    rows.prune_entries(connection, oldest=now - retention, last_gone=0)
    if channels is not None:
        connection.execute(
            "DELETE FROM deliveries WHERE channel <> ALL(?) AND created_at < ?",
            (list(channels), now - REMOVED_CHANNEL_SECONDS),
        )
    configured = {brand for (known,) in connection.execute("SELECT brands FROM members") for brand in json.loads(known)}
    forgotten = [
        brand
        for (brand,) in connection.execute(
            "SELECT brand FROM brands WHERE brand <> ALL(?) AND NOT EXISTS "
            "(SELECT FROM venues WHERE venues.brand = brands.brand AND last_success >= ?)",
            (list(configured), now - FORGET_SECONDS),
        )
    ]
    for table in ("brands", "venues", "stations", "transitions", "deliveries", "leases") if forgotten else ():
        connection.execute(f"DELETE FROM {table} WHERE brand = ANY(?)", (forgotten,))  # noqa: S608 - our own names
    # Kept as long as there are entries, which a brand that comes back would otherwise emit again.
    connection.execute(
        "DELETE FROM cursors WHERE brand <> ALL(?) AND NOT EXISTS "
        "(SELECT FROM journal WHERE journal.brand = cursors.brand)",
        (list(configured),),
    )
