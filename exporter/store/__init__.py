"""What is remembered: in memory, in a SQLite file, or in a PostgreSQL database that several processes share."""

from __future__ import annotations

from pathlib import Path

from exporter.clock import Clock
from exporter.store.file import read_journal
from exporter.store.memory import MemoryStore
from exporter.store.postgresql import PostgreSQLStore
from exporter.store.postgresql import read_journal as read_shared_journal
from exporter.store.sqlite import SQLiteStore

__all__ = [
    "MemoryStore",
    "PostgreSQLStore",
    "SQLiteStore",
    "Store",
    "open_store",
    "read_journal",
    "read_shared_journal",
]

Store = MemoryStore
"""What every store can do; those that write elsewhere extend the one in memory."""


def open_store(path: Path | None, clock: Clock, journal_retention: float, url: str | None = None) -> Store:
    """Open the store at a path or URL, or one in memory where there is neither; `journal_retention` is in seconds.

    A file that cannot be used costs a log line, not the start; only one that another process writes raises StoreError.
    """
    if url is not None:
        return PostgreSQLStore(url, clock, journal_retention)
    return MemoryStore() if path is None else SQLiteStore(path, clock, journal_retention)
