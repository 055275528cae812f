"""The tables of the PostgreSQL database, and how they are brought to the current version."""

from __future__ import annotations

from exporter.errors import StoreError
from exporter.store.database import SCHEMA, Database

_LOCK = 0x436C6F70

MIGRATIONS: dict[int, tuple[str, ...]] = {
    3: (
        """
        CREATE TABLE brands (
            brand TEXT PRIMARY KEY,
            venues TEXT,
            missing TEXT NOT NULL,
            login_since DOUBLE PRECISION, login_reason TEXT, login_message TEXT,
            outage_since DOUBLE PRECISION, outage_reason TEXT, outage_message TEXT,
            incidents TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE venues (
            brand TEXT, venue_id TEXT, name TEXT NOT NULL,
            last_success DOUBLE PRECISION,
            requests BIGINT NOT NULL,
            outage_since DOUBLE PRECISION, outage_reason TEXT, outage_message TEXT,
            incidents TEXT NOT NULL, records TEXT NOT NULL,
            open_seconds DOUBLE PRECISION NOT NULL, partial_since DOUBLE PRECISION,
            PRIMARY KEY (brand, venue_id)
        )
        """,
        """
        CREATE TABLE stations (
            brand TEXT, venue_id TEXT, station_id TEXT,
            name TEXT NOT NULL, kind TEXT NOT NULL,
            active BOOLEAN, printable BOOLEAN, created_at DOUBLE PRECISION, updated_at DOUBLE PRECISION,
            status BOOLEAN, printing BOOLEAN,
            since DOUBLE PRECISION NOT NULL, last_transition DOUBLE PRECISION, missing BIGINT NOT NULL,
            PRIMARY KEY (brand, venue_id, station_id)
        )
        """,
        """
        CREATE TABLE transitions (
            brand TEXT, venue_id TEXT, kind TEXT, active BOOLEAN,
            total BIGINT NOT NULL,
            PRIMARY KEY (brand, venue_id, kind, active)
        )
        """,
        """
        CREATE TABLE journal (
            id BIGINT,
            event TEXT NOT NULL, observed_at DOUBLE PRECISION NOT NULL,
            brand TEXT, venue_id TEXT, venue TEXT, station_id TEXT, station TEXT, kind TEXT,
            updated_at DOUBLE PRECISION,
            details TEXT NOT NULL,
            PRIMARY KEY (brand, id)
        )
        """,
        "CREATE INDEX journal_by_id ON journal (id)",
        "CREATE INDEX journal_by_time ON journal (observed_at)",
        """
        CREATE TABLE cursors (
            brand TEXT, consumer TEXT, id BIGINT NOT NULL,
            PRIMARY KEY (brand, consumer)
        )
        """,
        """
        CREATE TABLE deliveries (
            brand TEXT, id BIGINT,
            channel TEXT NOT NULL, change TEXT NOT NULL,
            created_at DOUBLE PRECISION NOT NULL, state TEXT NOT NULL, accepted_at DOUBLE PRECISION,
            PRIMARY KEY (brand, id)
        )
        """,
        """
        CREATE TABLE leases (
            brand TEXT PRIMARY KEY,
            owner TEXT NOT NULL, fence BIGINT NOT NULL, expires_at TIMESTAMPTZ NOT NULL
        )
        """,
        "CREATE TABLE members (member TEXT PRIMARY KEY, brands TEXT NOT NULL, seen_at TIMESTAMPTZ NOT NULL)",
    ),
    4: ("ALTER TABLE stations ADD COLUMN unedited BOOLEAN NOT NULL DEFAULT FALSE",),
}
"""What each schema version adds; the numbers are those of the state file, which had older ones."""

VERSION = max(MIGRATIONS)


def migrate(database: Database) -> None:
    """Create the tables, or bring them to the current version. Raises StoreError also for those of a newer exporter."""
    with database.transaction(10.0) as connection:
        # Several processes may start at once.
        connection.execute("SELECT pg_advisory_xact_lock(?)", (_LOCK,))
        (exists,) = connection.execute("SELECT to_regclass(?) IS NOT NULL", (f"{SCHEMA}.version",)).fetchone()
        if not exists:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            connection.execute("CREATE TABLE version (version INTEGER NOT NULL)")
            connection.execute("INSERT INTO version VALUES (0)")
        (found,) = connection.execute("SELECT version FROM version").fetchone()
        if found > VERSION:
            raise StoreError(
                f"the database has schema version {found}, this exporter knows versions up to {VERSION}: "
                "install the newer release"
            )
        for number in sorted(MIGRATIONS):
            if number > found:
                for statement in MIGRATIONS[number]:
                    connection.execute(statement)
        if found != VERSION:
            connection.execute("UPDATE version SET version = ?", (VERSION,))
