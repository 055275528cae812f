"""Connections to PostgreSQL whose every use ends within seconds."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from threading import RLock, Timer
from typing import Any
from urllib.parse import unquote, urlsplit

from exporter.errors import StoreError
from exporter.masking import MASK

try:
    import psycopg
except ImportError:  # pragma: no cover - the extra is not installed
    psycopg = None  # type: ignore[assignment]

OPERATION_SECONDS = 3.0
"""How long a transaction may take, whatever the network or the server does."""

APPLICATION = "clopos-exporter"
WRITER = "clopos-exporter writer"
"""The names of our sessions in PostgreSQL: transactions of the writer end within OPERATION_SECONDS."""

SCHEMA = "clopos_exporter"
"""The schema of our tables, so that nothing else in the database is ever touched."""


class DatabaseConnection:
    """A connection within a transaction: statements as SQLite takes them, values as PostgreSQL does."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Iterable[Any] = (), /) -> Any:
        """Run one statement, and return its rows."""
        return self._connection.execute(sql.replace("?", "%s"), _values(parameters))

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> None:
        """Run one statement for each set of parameters, in one round trip."""
        rows = [_values(row) for row in parameters]
        if rows:
            with self._connection.cursor() as cursor:
                cursor.executemany(sql.replace("?", "%s"), rows)


class Database:
    """One connection, opened when it is needed and dropped after any fault.

    A session may hang with the server, the network or this very process. So the server ends what takes too long, this
    side cuts what does not answer, and nothing relies on the end of a session: locks last as long as a transaction.
    """

    def __init__(self, url: str, application: str = APPLICATION) -> None:
        self._url, self._application = url, application
        self._lock = RLock()
        self._connection: Any = None

    @contextmanager
    def transaction(self, seconds: float = OPERATION_SECONDS) -> Iterator[DatabaseConnection]:
        """Connect where necessary, and run a transaction of so many seconds at the most. Raises StoreError."""
        if psycopg is None:
            raise StoreError("psycopg is not installed: pip install 'clopos-exporter[postgresql]'")
        with self._lock:
            try:
                connection = self._connection or self._connect()
                with _cut_after(connection, seconds), connection.transaction():
                    connection.execute(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
                    yield DatabaseConnection(connection)
            except psycopg.Error as error:
                self.close()
                raise StoreError(_text(error)) from error
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        with self._lock:
            if self._connection is not None:
                with suppress(psycopg.Error):
                    self._connection.close()
                self._connection = None

    def _connect(self) -> Any:
        connection = psycopg.connect(
            self._url,
            autocommit=True,
            connect_timeout=2,
            tcp_user_timeout=int(OPERATION_SECONDS * 1000),
            application_name=self._application,
        )
        with _cut_after(connection, OPERATION_SECONDS):
            connection.execute(
                f"SET lock_timeout = 1500; SET idle_in_transaction_session_timeout = 3000; SET search_path = {SCHEMA}"
            )
        self._connection = connection
        return connection


def check_connection(url: str) -> None:
    """Connect once, and change nothing. Raises StoreError with the remedy, and without the password."""
    try:
        with closing(Database(url)) as database, database.transaction():
            pass
    except StoreError as error:
        if psycopg is None:
            raise
        reason = _without_password(str(error), url)
        message = f"{reason}: check that PostgreSQL runs there, and the user, password and database in the URL"
        raise StoreError(message) from None


def _without_password(text: str, url: str) -> str:
    """Mask what libpq quotes of a URL that it does not understand: the password, or what follows an @ in it."""
    password = urlsplit(url).password
    for secret in {password, unquote(password)} if password else ():
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    return re.sub(r"[^\s'\"]+@", f"{MASK}@", text)


@contextmanager
def _cut_after(connection: Any, seconds: float) -> Iterator[None]:
    """Shut the socket down where the server does not answer in time: whoever waits for it sees the end at once."""
    timer = Timer(seconds + 0.5, _shut_down, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut_down(connection: Any) -> None:
    with suppress(OSError, psycopg.Error):
        duplicate = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        with duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)


def _values(parameters: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(_text_value(value) if isinstance(value, str) else value for value in parameters)


def _text_value(value: str) -> str:
    """Replace what PostgreSQL's text cannot hold: zero characters and halves of surrogate pairs."""
    return value.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _text(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
