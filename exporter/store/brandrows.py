"""Rows of the database that belong to a brand, whichever process owns it: journal, cursors and deliveries."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field

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


@dataclass(slots=True)
class StoredBrand:
    """What the database has of a brand: `pending` are the entries that its last owner stored and did not emit.

    `last_id` is the newest id of its entries and deliveries.
    """

    state: BrandState | None = None
    venues: list[VenueState] = field(default_factory=list)
    pending: list[Entry] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    last_id: int = 0


def read_brands(
    connection: DatabaseConnection, brands: Collection[str], now: Instant, most_entries: int
) -> dict[str, StoredBrand]:
    """Read what the next owner of each brand goes on from: of all together, as round trips take most of the time."""
    found = {brand: StoredBrand() for brand in brands}
    if not found:
        return found
    for state in rows.read_brands(connection, *brands):
        found[state.brand].state = state
    for venue in rows.read_venues(connection, now, *brands):
        found[venue.venue.brand].venues.append(venue)
    pending = connection.execute(
        "SELECT entry.* FROM unnest(?::text[]) AS wanted (brand) "
        "LEFT JOIN cursors ON cursors.brand = wanted.brand AND cursors.consumer = 'log' CROSS JOIN LATERAL (SELECT * "
        "FROM journal WHERE journal.brand = wanted.brand AND journal.id > coalesce(cursors.id, 0) ORDER BY id LIMIT ?"
        ") AS entry ORDER BY entry.id",
        (list(brands), most_entries),
    )
    for entry in rows.entries(pending):
        found[entry.brand].pending.append(entry)
    stored = connection.execute(
        "SELECT brand, id, channel, change, created_at, state, accepted_at FROM deliveries WHERE brand = ANY(?) "
        "ORDER BY id",
        (list(brands),),
    )
    for brand, *delivery in stored:
        found[brand].deliveries += rows.deliveries([tuple(delivery)])
    last_ids = connection.execute(
        "SELECT brand, greatest((SELECT max(id) FROM journal WHERE journal.brand = wanted.brand), "
        "(SELECT max(id) FROM deliveries WHERE deliveries.brand = wanted.brand), 0) "
        "FROM unnest(?::text[]) AS wanted (brand)",
        (list(brands),),
    )
    for brand, last_id in last_ids:
        found[brand].last_id = last_id
    return found


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
    names = [brand for (brand,) in changed]
    if not names:
        return {}, horizon
    states = {state.brand: state for state in rows.read_brands(connection, *names)}
    found: dict[str, tuple[BrandState, list[VenueState]]] = {
        name: (states.get(name, BrandState(name)), []) for name in names
    }
    for venue in rows.read_venues(connection, now, *names):
        found[venue.venue.brand][1].append(venue)
    return found, horizon


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
