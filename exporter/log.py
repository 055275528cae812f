"""Log setup: one pipeline from every logger of the process to one stream, one line per event whatever it says."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

import structlog
from structlog.stdlib import ProcessorFormatter, add_logger_name
from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
FORMATS = ("json", "logfmt", "console")

# What may end a line, steer a terminal or turn the reading direction around, and half characters, which no UTF-8 has.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NEEDS_QUOTES = re.compile(r'[\s"=\\]|^$')
_SHORTEST_SECRET = 6


class Output:
    """Write whole lines to one stream, from any thread, none mixed with another's. Made by `configure`."""

    def __init__(self, stream: TextIO) -> None:
        stream.flush()
        self._stream = stream  # kept, because it closes its buffer when it goes
        self._bytes = stream.buffer  # always UTF-8, whatever the locale says
        self._lock = threading.RLock()  # reentrant: a signal handler may log in the middle of a write
        self._mine = threading.local()
        self._secrets: tuple[bytes, ...] = ()

    def write(self, line: str) -> None:
        """Write a line, or keep it for the end of this thread's batch.

        Outside of a batch, a line that cannot be written is lost: there is nowhere left to say so.
        """
        batch = getattr(self._mine, "batch", None)
        if batch is not None:
            batch.append(line)
        else:
            with suppress(OSError, ValueError):  # ValueError: the stream was closed
                self._put([line])

    debug = info = warning = error = critical = write  # what structlog calls

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Collect the lines of this thread and write them at once at the end; raise OSError where that fails."""
        lines = self._mine.batch = []
        try:
            yield
        finally:
            self._mine.batch = None
            if lines:
                self._put(lines)

    def hide(self, secrets: Iterable[str]) -> None:
        """Mask these strings from now on, should one ever get into a line; those under six characters are left.

        A net below everything that keeps secrets out of messages, replacing the one of an earlier call.
        """
        long = {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}
        spelt = long | {_encode(secret)[1:-1] for secret in long}
        self._secrets = tuple(secret.encode(errors="replace") for secret in sorted(spelt, key=len, reverse=True))

    def _put(self, lines: list[str]) -> None:
        data = "".join(f"{line}\n" for line in lines).encode(errors="replace")
        for secret in self._secrets:
            if secret in data:
                data = data.replace(secret, b"***")
        with self._lock:
            self._bytes.write(data)
            self._bytes.flush()


def default_format(stream: TextIO) -> str:
    """Give `console` for a terminal and `json` for anything else."""
    return "console" if stream.isatty() else "json"


def configure(level: str = "info", fmt: str | None = None, stream: TextIO | None = None) -> Output:
    """Send the log of the whole process to a stream, standard output where none is given.

    `level` is a key of LEVELS and `fmt` one of FORMATS. Warnings, uncaught exceptions and foreign loggers go the same
    way; the information of foreign loggers is heard with `debug` only.
    """
    stream = stream or sys.stdout
    lowest = LEVELS[level]
    output = Output(stream)
    render: tuple[Processor, ...] = (_head, structlog.processors.format_exc_info, *_renderers(fmt, stream))
    structlog.configure(
        processors=render,
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


def _renderers(fmt: str | None, stream: TextIO) -> tuple[Processor, ...]:
    match fmt or default_format(stream):
        case "json":
            return (_json,)
        case "logfmt":
            return (_logfmt,)
        case "console":
            colors = stream.isatty() and not os.environ.get("NO_COLOR")
            return (
                _harmless,
                structlog.dev.ConsoleRenderer(
                    colors=colors,
                    repr_native_str=True,
                    sort_keys=False,
                    exception_formatter=structlog.dev.plain_traceback,
                ),
            )
        case unknown:
            raise ValueError(f"{unknown!r} is not a log format: choose one of {', '.join(FORMATS)}")


def _head(_: WrappedLogger, method: str, fields: EventDict) -> EventDict:
    """Begin with the time (UTC, ISO 8601), the level and the event."""
    time = datetime.now(UTC).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"
    return {"timestamp": time, "level": method, "event": fields.pop("event"), **fields}


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _json(_: WrappedLogger, __: str, fields: EventDict) -> str:
    try:
        line = _encode(fields)
    except (TypeError, ValueError, RecursionError):
        line = _encode({key: _plain(value) for key, value in fields.items()})
    return _UNSAFE.sub(_escape, line)


def _plain(value: object) -> object:
    """Give what JSON can say of a value: null for NaN and infinity, `repr` for what it cannot hold at all."""
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
    if _NEEDS_QUOTES.search(text) or _UNSAFE.search(text):
        return _UNSAFE.sub(_escape, _encode(text))
    return text


def _escape(match: re.Match[str]) -> str:
    if "\ud800" <= match[0] <= "\udfff":
        return "\N{REPLACEMENT CHARACTER}"
    return f"\\u{ord(match[0]):04x}"


def _harmless(_: WrappedLogger, __: str, fields: EventDict) -> EventDict:
    """Make visible what would steer a terminal; all other fields are written by `repr`, which does the same."""
    for key in ("event", "logger", "level"):
        if key in fields:
            fields[key] = _visible(str(fields[key]))
    if "exception" in fields:
        fields["exception"] = "\n".join(map(_visible, fields["exception"].split("\n")))
    return fields


def _visible(text: str) -> str:
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
