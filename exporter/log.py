"""Log setup: one pipeline from every logger of the process to one stream, one line per event whatever it says."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import select
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from io import StringIO
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter, add_logger_name
from structlog.typing import EventDict, Processor, WrappedLogger

from exporter.clock import format_duration, iso
from exporter.masking import UNSAFE, escape_controls

_NEEDS_QUOTES = re.compile(r'[\s"=\\]|^$')
_SHORTEST_SECRET = 6


_QUEUED_LINES = 10_000
_ATOMIC = 4096
"""Bytes that a pipe takes whole or not at all (PIPE_BUF, pipe(7)): what poll(2) promises room for."""

_BLOCKED_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_LOOK_SECONDS = 0.2


class Output:
    """Write whole lines to one stream, from any thread, none mixed with another's. Made by `configure`.

    From `start` on, nobody waits for the stream: lines are queued, up to a limit, and a thread writes them.
    """

    def __init__(self, stream: TextIO) -> None:
        stream.flush()
        self._stream = stream  # kept, because it closes its buffer when it goes
        try:
            self._fd: int | None = stream.fileno()
        except OSError:
            self._fd = None
        self._lock = threading.RLock()
        self._secrets: frozenset[str] = frozenset()
        self._masked: tuple[bytes, ...] = ()
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._stopping = threading.Event()
        self._dropped = 0
        self._failed = False
        self._waiting_since: float | None = None

    @property
    def up(self) -> bool:
        """Return whether the stream takes lines."""
        since = self._waiting_since
        return not self._failed and (since is None or time.monotonic() - since < _BLOCKED_SECONDS)

    def write(self, line: str) -> None:
        """Queue a line; drop and count it where too many wait, and write it at once before `start`."""
        if self._thread.ident is None:
            with suppress(OSError, ValueError):  # ValueError: the stream was closed
                self._write(f"{line}\n", retry=False)
        elif self._queue.qsize() < _QUEUED_LINES:
            self._queue.put(line)  # SimpleQueue is reentrant: a signal handler may log.
        else:
            self._dropped += 1

    debug = info = warning = error = critical = write  # what structlog calls

    def start(self) -> None:
        """Write from a thread of its own from now on."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Write what is queued, for so many seconds at the most; what the stream does not take is lost."""
        if self._thread.ident is not None:
            self._queue.put(None)
            self._thread.join(seconds)
        self._stopping.set()

    def emit(self, events: Iterable[tuple[int, dict[str, Any]]]) -> bool:
        """Log events (level, fields with `event`) completely, however long it takes; return False once stopped."""
        lines = StringIO()
        log = structlog.wrap_logger(structlog.WriteLogger(lines)).bind()
        for level, fields in events:
            log.log(level, **fields)
        return not lines.getvalue() or self._write(lines.getvalue(), retry=True)

    def mask(self, secrets: Iterable[str]) -> None:
        """Mask these strings too from now on, should one ever get into a line; those under six characters are left.

        A net below everything that keeps secrets out of messages. Those of an earlier configuration stay masked: a
        client that is being stopped may still use them.
        """
        self._secrets |= {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}
        spelt = self._secrets | {_encode(secret)[1:-1] for secret in self._secrets}
        self._masked = tuple(secret.encode(errors="replace") for secret in sorted(spelt, key=len, reverse=True))

    def _run(self) -> None:
        while True:
            line = self._queue.get()
            if line is not None:
                self._write(f"{line}\n", retry=True)
            if self._dropped and (line is None or self._queue.empty()):
                dropped, self._dropped = self._dropped, 0
                reason = "the log could not be written"
                self.emit([(logging.WARNING, {"event": "log.lines_dropped", "count": dropped, "reason": reason})])
            if line is None:
                return

    def _write(self, lines: str, *, retry: bool) -> bool:
        """Write lines completely; return False where that was given up because of `stop`.

        Raises OSError and ValueError unless `retry`.
        """
        data = lines.encode(errors="replace")
        for secret in self._masked:
            if secret in data:
                data = data.replace(secret, b"***")
        with self._lock:
            rest = memoryview(data)
            while rest:
                try:
                    rest = rest[self._write_some(_whole_lines(rest)) :]
                    self._failed = False
                except (OSError, ValueError):
                    if not retry:
                        raise
                    self._failed = True
                    self._stopping.wait(_RETRY_SECONDS)
                if rest and self._stopping.is_set():
                    return False
            self._waiting_since = None
        return True

    def _write_some(self, data: memoryview) -> int:
        """Write as much as the stream takes now, and return how many bytes that was."""
        if self._fd is None:
            self._stream.buffer.write(data)
            self._stream.buffer.flush()
            return len(data)
        ready = select.poll()
        ready.register(self._fd, select.POLLOUT)
        if not ready.poll(_LOOK_SECONDS * 1000):
            self._waiting_since = self._waiting_since or time.monotonic()
            return 0
        try:
            written = os.write(self._fd, data)
        except BlockingIOError:
            return 0
        self._waiting_since = None
        return written


def _whole_lines(data: memoryview) -> memoryview:
    """Return the first lines, as many as a pipe takes at once, so that none is torn where the process ends."""
    if len(data) <= _ATOMIC:
        return data
    return data[: bytes(data[:_ATOMIC]).rfind(b"\n") + 1 or _ATOMIC]


def configure(level: str = "info", fmt: str | None = None, stream: TextIO | None = None) -> Output:
    """Send the log of the whole process to a stream: standard output, or standard error where that is closed.

    `level` is one of `logging`, in lower case; `fmt` is `json`, `logfmt` or `console`, by default `console` on a
    terminal and else `json`. Warnings, uncaught exceptions and foreign loggers go the same way; the information of
    foreign loggers is heard with `debug` only.
    """
    # Where both are closed, nobody wants to know.
    stream = stream or sys.stdout or sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - stays
    lowest = logging.getLevelNamesMapping()[level.upper()]
    output = Output(stream)
    renderers: dict[str, Processor] = {
        "json": _json,
        "logfmt": _logfmt,
        "console": partial(_console, colors=stream.isatty() and not os.environ.get("NO_COLOR")),
    }
    renderer = renderers[fmt or ("console" if stream.isatty() else "json")]
    render: tuple[Processor, ...] = (_head, structlog.processors.format_exc_info, renderer)
    structlog.configure(
        processors=list(render),
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=lambda *_: output,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.terminator = ""
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[add_logger_name], processors=[ProcessorFormatter.remove_processors_meta, *render]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(lowest if lowest == logging.DEBUG else max(lowest, logging.WARNING))
    logging.getLogger("uvicorn.access").disabled = True
    # It runs on monotonic time, so that the moments in its debug messages lie decades back.
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    # It warns of connections that break, which we log ourselves.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    return output


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        structlog.get_logger().critical("process.crashed", exc_info=(kind, error, trace))


def _uncaught_in_thread(crash: threading.ExceptHookArgs) -> None:
    if not issubclass(crash.exc_type, SystemExit):
        name = crash.thread.name if crash.thread else None
        info = (crash.exc_type, crash.exc_value, crash.exc_traceback)
        structlog.get_logger().critical("thread.crashed", thread=name, exc_info=info)


def _head(_: WrappedLogger, method: str, fields: EventDict) -> EventDict:
    """Begin with the time (UTC, ISO 8601), the level and the event."""
    return {"timestamp": iso(time.time()), "level": method, "event": fields.pop("event"), **fields}


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _json(_: WrappedLogger, __: str, fields: EventDict) -> str:
    try:
        line = _encode(fields)
    except (TypeError, ValueError, RecursionError):
        line = _encode({key: _plain(value) for key, value in fields.items()})
    return UNSAFE.sub(_escape, line)


def _plain(value: object) -> object:
    """Return what JSON can say of a value: null for NaN and infinity, `repr` for what it cannot hold at all."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    try:
        _encode(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
    return value


def _logfmt(_: WrappedLogger, __: str, fields: EventDict) -> str:
    return " ".join(f"{key}={_logfmt_value(value)}" for key, value in fields.items())


def _logfmt_value(value: object) -> str:
    """Write a value bare where it may stand so, else quoted with JSON's escapes, as the readers of logfmt expect."""
    plain = _plain(value)
    text = plain if isinstance(plain, str) else _encode(plain)
    if _NEEDS_QUOTES.search(text) or UNSAFE.search(text):
        return UNSAFE.sub(_escape, _encode(text))
    return text


def _escape(match: re.Match[str]) -> str:
    if "\ud800" <= match[0] <= "\udfff":
        return "\N{REPLACEMENT CHARACTER}"
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


_NAMES = ("venue", "station", "brand")
_IDS = {"venue": "venue_id", "station": "station_id"}
# What a person at a terminal does without: a line is about 120 characters.
_NOT_ON_CONSOLE = {"timestamp", "level", "event", "exception", "observed_at", "updated_at", *_NAMES, *_IDS.values()}
_COLORS = {"debug": 90, "info": 32, "warning": 33, "error": 31, "critical": 31}


def _console(_: WrappedLogger, __: str, fields: EventDict, *, colors: bool) -> str:
    """Write a line for people: local time, level, event, names, and what else there is; nothing steers the terminal."""
    local = datetime.fromisoformat(str(fields["timestamp"])).astimezone()
    level = escape_controls(str(fields["level"]))
    named = [str(fields.get(key) or fields.get(_IDS.get(key, ""), "")) for key in _NAMES]
    rest = [_for_people(key, fields[key]) for key in fields if key not in _NOT_ON_CONSOLE and fields[key] is not None]
    shown = f"{level:<7}"
    if colors:
        shown = f"\x1b[{_COLORS.get(level, 0)}m{shown}\x1b[0m"
    texts = [
        escape_controls(text) for text in (str(fields["event"]), ", ".join(filter(None, named)), " ".join(rest)) if text
    ]
    trace = ["", *map(escape_controls, str(fields["exception"]).split("\n"))] if "exception" in fields else []
    return f"{local:%Y-%m-%d %H:%M:%S} {shown} {'  '.join(texts)}" + "\n".join(trace)


def _for_people(key: str, value: object) -> str:
    if key.endswith("_seconds") and isinstance(value, int | float) and math.isfinite(value):
        return f"{key.removesuffix('_seconds')}={format_duration(value)}"
    if isinstance(value, list | tuple):
        return f"{key}={', '.join(map(str, value))}"
    return f"{key}={value}"
