"""A real PostgreSQL for tests and benchmarks, from Debian's package, in a folder and on a port of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import psycopg

from exporter.store.database import SCHEMA

TIMEOUT = 60.0


def binaries() -> Path | None:
    """Return the newest folder with the server's programs, None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class PostgreSQL:
    """The server, which can be stopped, started again, and frozen."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="clopos-postgresql-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder.chmod(0o755)
        data = self._folder / "data"
        data.mkdir()
        if os.geteuid() == 0:
            shutil.chown(data, "postgres", "postgres")
        self._run("initdb", "-D", str(data), "-A", "trust", "-U", "postgres", "-N", "--locale=C", "-E", "UTF8")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = self._command(
            "postgres", "-D", str(self._folder / "data"), "-p", str(self.port), "-k", "", "-h", "127.0.0.1",
            "-c", "fsync=off", "-c", "max_connections=200",
        )  # fmt: skip
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)  # noqa: S603 - a known program
        until = time.monotonic() + TIMEOUT
        while subprocess.run(  # noqa: S603 - a known program
            [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        ).returncode:
            if time.monotonic() > until:
                raise TimeoutError((self._folder / "log").read_text())
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop at once, as a crash does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(TIMEOUT)
            self._process = None

    @property
    def url(self) -> str:
        """Return the URL of its only database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def empty(self) -> str:
        """Delete every row of ours, end the sessions that use them, and return the URL: faster than a new database."""
        self.end_sessions()
        tables = self.sql(f"SELECT tablename FROM pg_tables WHERE schemaname = '{SCHEMA}' AND tablename <> 'version'")  # noqa: S608
        self.sql("; ".join(f"DELETE FROM {SCHEMA}.{table}" for (table,) in tables))  # noqa: S608
        return self.url

    def end_sessions(self) -> None:
        """End all sessions but that which does it."""
        self.sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    def drop(self) -> str:
        """Drop our tables, and return the URL."""
        self.empty()
        self.sql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        return self.url

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser, and return its rows."""
        writing = "-c default_transaction_read_only=off"
        with psycopg.connect(self.url, autocommit=True, connect_timeout=int(TIMEOUT), options=writing) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's own programs."""
        subprocess.run(  # noqa: S603 - a known program
            [self._programs / program, *arguments], check=True, capture_output=True, timeout=TIMEOUT
        )

    def _run(self, *command: str) -> None:
        subprocess.run(  # noqa: S603 - a known program
            self._command(*command), check=True, capture_output=True, cwd="/", timeout=TIMEOUT
        )

    def _command(self, program: str, *arguments: str) -> Sequence[str]:
        # The server refuses to run as root.
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        return [*user, str(self._programs / program), *arguments]
