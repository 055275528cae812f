"""The state file: one process writes it, anybody may read the journal from it meanwhile."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from exporter.errors import StoreError
from exporter.journal import Entry, JournalQuery
from exporter.model import BrandState, Instant, VenueKey, VenueState
from exporter.outbox import Delivery
from exporter.store import file_schema, rows
from exporter.store.durable import merge

JOURNAL_ROWS = 500_000
"""Entries kept in the file, whatever their age: some 150 MB."""

BUSY_SECONDS = 2.0
"""How long somebody else's lock, a backup's for example, is waited for."""

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class InUseError(StoreError):
    """Say that another process writes this file."""


class DamagedError(StoreError):
    """Say that the content of the file cannot be what we wrote."""


class StateFile:
    """The open state file of this process, and what it holds: `venues`, `brands`, the `last_id` of the journal.

    The venues of a brand are only known after `read_venues`; `unread` are the brands for which that is to come.

    With `set_aside`, or where the file is damaged, it is kept under another name (`kept`) and a new one is
    begun. `journal_retention` is in seconds. Everything raises StoreError; after one the file can only be closed.
    """

    def __init__(self, path: Path, now: Instant, journal_retention: float, *, set_aside: bool = False) -> None:
        self.venues: dict[VenueKey, VenueState] = {}
        self.unread: set[str] = set()
        self.brands: dict[str, BrandState] = {}
        self.deliveries: dict[int, Delivery] = {}
        self.last_delivery = 0
        self.last_id = 0
        self.cursor = 0
        self._path, self._opened = path, now
        self._retention = journal_retention
        self.kept: Path | None = None
        with ExitStack() as stack, _translated():
            if not path.parent.is_dir():
                raise StoreError(f"the folder {path.parent} does not exist")
            # Asked before SQLite, which opens such a file all the same and leaves unwritable ones of its own beside it.
            if path.exists() and not _may(path, os.W_OK):
                mine = path.stat().st_uid == os.geteuid()
                raise StoreError("the file is read-only" if mine else "the file belongs to another user")
            self._identity = stack.enter_context(_locked(path))
            if set_aside:
                self.kept = _set_aside(path, now)
                self._identity = stack.enter_context(_locked(path))
            try:
                self._connection = stack.enter_context(self._open())
            except DamagedError:
                self.kept = _set_aside(path, now)
                self._identity = stack.enter_context(_locked(path))
                self._connection = stack.enter_context(self._open())
            self._size = path.stat().st_size
            self._wal_identity = _identity(Path(f"{path}-wal"))
            self._resources = stack.pop_all()

    def read_venues(self, brand: str, now: Instant) -> Sequence[VenueState]:
        """Read the states of a brand's venues as an earlier process left them; nothing the second time."""
        if brand not in self.unread:
            return ()
        with _translated(), _understood():
            found = list(rows.read_venues(self._connection, now, brand))
        self.venues.update((state.venue.key, state) for state in found)
        self.unread.discard(brand)
        return found

    def write(
        self,
        venues: Mapping[VenueKey, VenueState | None],
        brands: Mapping[str, BrandState | None],
        *,
        entries: Sequence[Entry],
        cursor: int | None,
        deliveries: Mapping[int, Delivery | None],
        now: Instant,
    ) -> None:
        """Write states and deliveries (None: delete it), entries and cursor in one transaction; prune the journal."""
        last_id = entries[-1].id if entries else self.last_id
        with _translated(), self._connection as connection:
            self._check_in_place()
            connection.execute("BEGIN IMMEDIATE")
            new = {name: brand for name, brand in brands.items() if brand is None or brand != self.brands.get(name)}
            rows.write_states(connection, venues, new, stored=self.venues)
            rows.write_entries(connection, entries)
            rows.write_cursors(connection, "consumer", {} if cursor is None else {(rows.CONSUMER,): cursor})
            rows.write_deliveries(connection, "id", {(id_,): delivery for id_, delivery in deliveries.items()})
            # By the time since the file was opened: a clock that is set forward by mistake must not cost the journal.
            wall = min(now.wall, self._opened.wall + now.monotonic - self._opened.monotonic)
            rows.prune_entries(connection, oldest=wall - self._retention, last_gone=last_id - JOURNAL_ROWS)
        merge(self.venues, venues)
        merge(self.brands, brands)
        self.last_id = last_id

    def close(self) -> None:
        """Close the file; another process may have it then."""
        self._resources.close()
        wal = Path(f"{self._path}-wal")
        if _identity(self._path) != self._identity and _identity(wal) == self._wal_identity is not None:
            # The next file of this name would take our write-ahead log for its own.
            for left in (wal, Path(f"{self._path}-shm")):
                left.unlink(missing_ok=True)

    def _check_in_place(self) -> None:
        """Raise StoreError where the file is no longer the one that was opened: SQLite would write into the void."""
        found = _identity(self._path)
        if found != self._identity:
            raise StoreError(f"the file was {'replaced' if found else 'deleted'} while it was open")
        size = self._path.stat().st_size
        if size < self._size:
            raise DamagedError("the file was truncated while it was open")
        self._size = size

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connect = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        with closing(connect) as opened:
            with _translated(), _understood(), opened as connection:
                file_schema.version(connection)
                # WAL: readers and the writer do not wait for each other. NORMAL: what is committed is with the system
                # and outlives this process; a power cut may cost the last commits, whose changes are then found again.
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("BEGIN IMMEDIATE")
                file_schema.migrate(connection)
                self.unread = {brand for (brand,) in connection.execute("SELECT DISTINCT brand FROM venues")}
                self.brands = {state.brand: state for state in rows.read_brands(connection)}
                deliveries = rows.deliveries(connection.execute("SELECT * FROM deliveries"))
                self.deliveries = {delivery.id: delivery for delivery in deliveries}
                self.last_delivery, self.last_id, self.cursor = connection.execute(
                    "SELECT coalesce((SELECT max(id) FROM deliveries), 0), coalesce((SELECT max(id) FROM journal), 0), "
                    "coalesce((SELECT id FROM cursors WHERE consumer = 'log'), 0)"
                ).fetchone()
            yield opened


def read_journal(path: Path, query: JournalQuery) -> list[Entry]:
    """Read the journal of a state file, newest first, also while another process writes it. Raises StoreError."""
    return _read(path, lambda connection: rows.read_entries(connection, query))


def read_entries_after(path: Path, id_: int, limit: int) -> list[Entry]:
    """Read the entries of a state file that follow an id, oldest first. Raises StoreError."""
    return _read(path, lambda connection: rows.read_entries_after(connection, id_, limit))


def _read(path: Path, query: Callable[[sqlite3.Connection], list[Entry]]) -> list[Entry]:
    # Asked in this order: `is_file` raises where the folder is closed to this user.
    if not _may(path, os.R_OK) or not path.is_file():
        raise StoreError(
            "there is no state file that this user may read: `serve` makes it, for the user that it runs as, "
            "when it runs with this state.path"
        )
    with _translated():
        try:
            return _read_from(f"{path.resolve().as_uri()}?mode=ro", query)
        except sqlite3.OperationalError as error:
            if _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY_DIRECTORY):
                raise
            # Nobody writes it, and we may not make the shared memory file that SQLite would read it with.
            return _read_from(f"{path.resolve().as_uri()}?immutable=1", query)


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _read_from(uri: str, query: Callable[[sqlite3.Connection], list[Entry]]) -> list[Entry]:
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
        version = file_schema.version(connection)
        if not version:
            raise StoreError("the file is empty: no exporter has written to it yet")
        if version != file_schema.VERSION:
            raise StoreError("the file is older than this exporter, which brings it up to date when it next starts")
        try:
            return query(connection)
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
    """Return SQLite's extended result code; Python's own errors of this family have none."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE))


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file, None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def _locked(path: Path) -> Iterator[tuple[int, int]]:
    """Create the file where it is absent, lock it, and return its identity: device and inode.

    flock(2) is independent of the locks that SQLite itself takes (fcntl), and ends with the process, however it ends.
    The lock is on the file itself: one beside it could be deleted and let a second writer in.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUseError(f"{path} is in use by another clopos-exporter: give each its own state path") from error
        if os.fstat(descriptor).st_uid == os.geteuid():
            os.fchmod(descriptor, 0o600)  # SQLite gives its other files the same mode.
        found = os.fstat(descriptor)
        yield found.st_dev, found.st_ino
    finally:
        os.close(descriptor)


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
