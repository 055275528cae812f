"""What is remembered: in memory, and in a SQLite file that survives restarts."""

from __future__ import annotations

from exporter.store.journal import Entry, JournalQuery
from exporter.store.memory import MemoryStore
from exporter.store.protocol import Store

__all__ = ["Entry", "JournalQuery", "MemoryStore", "Store"]
