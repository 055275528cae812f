"""What is remembered: in memory, in a SQLite file, or in a PostgreSQL database that several processes share."""

from __future__ import annotations

from pathlib import Path

from exporter.clock import Clock
from exporter.store.memory import FORGET_SECONDS, MemoryStore

__all__ = ["FORGET_SECONDS", "MemoryStore", "Store", "open_store"]

Store = MemoryStore
"""What every store can do; those that write elsewhere extend the one in memory."""


def open_store(path: Path | None, clock: Clock, journal_retention: float, url: str | None = None) -> Store:
    """Open the store at a path or URL, or one in memory where there is neither; `journal_retention` is in seconds.

    A file that cannot be used costs a log line, not the start; only one that another process writes raises StoreError.
    """
    # Each imported only where it is used: the driver of PostgreSQL alone takes 7 MB and a quarter of a start's time.
    if url is not None:
        from exporter.store.postgresql import PostgreSQLStore  # noqa: PLC0415

        return PostgreSQLStore(url, clock, journal_retention)
    if path is not None:
        from exporter.store.sqlite import SQLiteStore  # noqa: PLC0415

        return SQLiteStore(path, clock, journal_retention)
    return MemoryStore()
