"""The tables of the state file, and how older files are brought to the current version."""

from __future__ import annotations

import sqlite3

from exporter.errors import StoreError

APPLICATION_ID = 0x436C6F70
"""Says in the file's header whose it is ("Clop"), so that nobody else's database is ever touched."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE brands (
            brand TEXT NOT NULL PRIMARY KEY,
            venues TEXT,
            missing TEXT NOT NULL,
            login_since REAL, login_reason TEXT, login_message TEXT,
            outage_since REAL, outage_reason TEXT, outage_message TEXT
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE venues (
            brand TEXT NOT NULL, venue_id TEXT NOT NULL, name TEXT NOT NULL,
            last_success REAL,
            requests INTEGER NOT NULL,
            outage_since REAL, outage_reason TEXT, outage_message TEXT,
            PRIMARY KEY (brand, venue_id)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE stations (
            brand TEXT NOT NULL, venue_id TEXT NOT NULL, station_id TEXT NOT NULL,
            name TEXT NOT NULL, kind TEXT NOT NULL,
            active INTEGER, printable INTEGER, created_at REAL, updated_at REAL,
            status INTEGER, printing INTEGER,
            since REAL NOT NULL, last_transition REAL, missing INTEGER NOT NULL,
            PRIMARY KEY (brand, venue_id, station_id)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE transitions (
            brand TEXT NOT NULL, venue_id TEXT NOT NULL, kind TEXT NOT NULL, active INTEGER NOT NULL,
            total INTEGER NOT NULL,
            PRIMARY KEY (brand, venue_id, kind, active)
        ) WITHOUT ROWID
        """,
    ),
    (
        """
        CREATE TABLE journal (
            id INTEGER PRIMARY KEY,
            event TEXT NOT NULL, observed_at REAL NOT NULL,
            brand TEXT NOT NULL, venue_id TEXT, venue TEXT, station_id TEXT, station TEXT, kind TEXT,
            updated_at REAL,
            details TEXT NOT NULL
        )
        """,
        "CREATE INDEX journal_by_venue ON journal (brand, venue_id, id)",
        "CREATE INDEX journal_by_time ON journal (observed_at)",
    ),
    (
        "CREATE TABLE cursors (consumer TEXT NOT NULL PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID",
        """
        CREATE TABLE deliveries (
            id INTEGER PRIMARY KEY,
            channel TEXT NOT NULL, change TEXT NOT NULL,
            created_at REAL NOT NULL, state TEXT NOT NULL, accepted_at REAL
        )
        """,
        "ALTER TABLE venues ADD COLUMN incidents TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE venues ADD COLUMN records TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE venues ADD COLUMN open_seconds REAL NOT NULL DEFAULT 0",
        "ALTER TABLE venues ADD COLUMN partial_since REAL",
        "ALTER TABLE brands ADD COLUMN incidents TEXT NOT NULL DEFAULT '{}'",
        # Earlier versions emitted a change before they stored it.
        "INSERT INTO cursors SELECT 'log', coalesce(max(id), 0) FROM journal",
    ),
    ("ALTER TABLE stations ADD COLUMN unedited INTEGER NOT NULL DEFAULT 0",),
)
"""What each version adds to the one before; the version of a file is how many of them it has behind it."""

VERSION = len(MIGRATIONS)


def version(connection: sqlite3.Connection) -> int:
    """Return the schema version of a file, 0 for an empty one.

    Raises StoreError for a file of another program or a newer exporter, sqlite3.DatabaseError for a damaged one.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or found or tables):
        raise StoreError("the file is a database of another program")
    if found > VERSION:
        raise StoreError(f"the file has schema version {found}, this exporter knows versions up to {VERSION}")
    return int(found)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file to the current version, within the caller's transaction. Raises as `version` does."""
    for statements in MIGRATIONS[version(connection) :]:
        for statement in statements:
            connection.execute(statement)
    # Written even where nothing is new: a disk that cannot be written shows at once, not with the first change.
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
