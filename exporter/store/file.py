"""The state file: one process writes it, anybody may read the journal from it meanwhile."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from exporter.errors import StoreError
from exporter.model import BrandState, Instant, VenueKey, VenueState
from exporter.store import rows, schema
from exporter.store.journal import Entry, JournalQuery

JOURNAL_ROWS = 500_000
"""Entries kept in the file, whatever their age: some 150 MB."""

BUSY_SECONDS = 2.0
"""How long somebody else's lock, a backup's for example, is waited for."""

Key = TypeVar("Key")
State = TypeVar("State")

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class InUseError(StoreError):
    """Say that another process writes this file."""


class DamagedError(StoreError):
    """Say that the content of the file cannot be what we wrote."""


class StateFile:
    """The open state file of this process, and what it holds: `venues`, `brands`, the `last_id` of the journal.

    With `set_aside`, or where the file turns out to be damaged, it is kept under another name (`kept`) and a new one is
    begun. `journal_retention` is in seconds. Everything raises StoreError; after one the file can only be closed.
    """

    def __init__(self, path: Path, now: Instant, journal_retention: float, *, set_aside: bool = False) -> None:
        self.venues: dict[VenueKey, VenueState] = {}
        self.brands: dict[str, BrandState] = {}
        self.last_id = 0
        self._path = path
        self._retention = journal_retention
        self.kept: Path | None = None
        with ExitStack() as stack, _translated():
            if not path.parent.is_dir():
                raise StoreError(f"the folder {path.parent} does not exist")
            stack.callback(os.close, _lock(path))
            # Asked before SQLite, which opens such a file all the same and leaves unwritable ones of its own beside it.
            if path.exists() and not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
                raise StoreError("the file is read-only")
            if set_aside:
                self.kept = _set_aside(path, now)
            try:
                self._connection = stack.enter_context(self._open(now))
            except DamagedError:
                self.kept = _set_aside(path, now)
                self._connection = stack.enter_context(self._open(now))
            self._resources = stack.pop_all()

    def holds(self, state: VenueState | BrandState) -> bool:
        """Tell whether the file has all of a state but how fresh it is."""
        if isinstance(state, BrandState):
            return state == self.brands.get(state.brand)
        saved = self.venues.get(state.venue.key)
        return (
            saved is not None
            and state.stations is saved.stations
            and state.transitions is saved.transitions
            and state.outage is saved.outage
        )

    def write(
        self,
        venues: Mapping[VenueKey, VenueState | None],
        brands: Mapping[str, BrandState | None],
        entries: Sequence[Entry],
        wall: float,
    ) -> None:
        """Write states (None: delete it) and entries in one transaction, and drop what the journal need not keep."""
        last_id = entries[-1].id if entries else self.last_id
        with _translated(), self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            for key, venue in venues.items():
                if venue is None:
                    rows.delete_venue(connection, key)
                elif venue is not self.venues.get(key):
                    rows.write_venue(connection, self.venues.get(key), venue)
            for name, brand in brands.items():
                if brand is None:
                    rows.delete_brand(connection, name)
                elif brand != self.brands.get(name):
                    rows.write_brand(connection, brand)
            rows.write_entries(connection, entries)
            rows.prune_entries(connection, oldest=wall - self._retention, last_gone=last_id - JOURNAL_ROWS)
        _merge(self.venues, venues)
        _merge(self.brands, brands)
        self.last_id = last_id

    def close(self) -> None:
        """Let go of the file; another process may have it then."""
        self._resources.close()

    @contextmanager
    def _open(self, now: Instant) -> Iterator[sqlite3.Connection]:
        connect = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        with closing(connect) as opened:
            with _translated(), _understood(), opened as connection:
                schema.version(connection)
                # WAL: readers and the writer do not wait for each other. NORMAL: what is committed is with the system
                # and outlives this process; a power cut may cost the last commits, whose changes are then told again.
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("BEGIN IMMEDIATE")
                schema.migrate(connection)
                self.venues = {state.venue.key: state for state in rows.read_venues(connection, now)}
                self.brands = {state.brand: state for state in rows.read_brands(connection)}
                self.last_id = rows.last_id(connection)
            yield opened


def read_journal(path: Path, query: JournalQuery) -> list[Entry]:
    """Read the journal of a state file, newest first, also while another process writes it. Raises StoreError."""
    if not path.is_file():
        raise StoreError(f"there is no state file {path}")
    with _translated():
        try:
            return _read_journal(f"{path.resolve().as_uri()}?mode=ro", query)
        except sqlite3.OperationalError as error:
            if _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY_DIRECTORY):
                raise
            # Nobody writes it, and we may not make the shared memory file that SQLite would read it with.
            return _read_journal(f"{path.resolve().as_uri()}?immutable=1", query)


def _read_journal(uri: str, query: JournalQuery) -> list[Entry]:
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
        if schema.version(connection) != schema.VERSION:
            raise StoreError("the file is older than this exporter, which brings it up to date when it next starts")
        try:
            return rows.read_entries(connection, query)
        except (TypeError, ValueError) as error:
            raise StoreError(f"an entry of the journal cannot be read: {error}") from error


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what SQLite and the system raise into our own errors, once."""
    try:
        yield
    except sqlite3.Error as error:
        raise (DamagedError if _code(error) & 0xFF in _DAMAGE else StoreError)(str(error)) from error
    except OSError as error:
        raise StoreError(": ".join(filter(None, (error.strerror, error.filename)))) from error


@contextmanager
def _understood() -> Iterator[None]:
    """Take content for damaged that is not what its schema version promises: a missing table, an unknown word."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise DamagedError(f"a value is not what it should be: {error}") from error
    except sqlite3.OperationalError as error:
        if _code(error) != sqlite3.SQLITE_ERROR:
            raise
        raise DamagedError(str(error)) from error


def _code(error: sqlite3.Error) -> int:
    """Give SQLite's extended result code; Python's own errors of this family have none."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE))


def _merge(held: dict[Key, State], written: Mapping[Key, State | None]) -> None:
    """Take over what was written: a state, or None for one that is gone."""
    for key, state in written.items():
        if state is None:
            held.pop(key, None)
        else:
            held[key] = state


def _lock(path: Path) -> int:
    """Lock a file beside the database, for the database's own locks end whenever any descriptor of it is closed.

    The system lets go of it when the process ends, however it ends.
    """
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise InUseError(f"{path} is in use by another clopos-exporter: give each its own state path") from error
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _set_aside(path: Path, now: Instant) -> Path:
    """Rename the file, with the date, to a name that is free."""
    stamp = datetime.fromtimestamp(now.wall, UTC).strftime("%Y%m%dT%H%M%SZ")
    kept = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    # The database goes last: a new one beside an old write-ahead log would be taken for the log's own.
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{kept}{suffix}")
    return kept
