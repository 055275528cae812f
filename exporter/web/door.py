"""The web configuration in force: read at the start, and again when one of its files has changed."""

from __future__ import annotations

import difflib
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from pydantic import BaseModel, ValidationError

from exporter.document import Document, Keys, read
from exporter.errors import ConfigError, Fault
from exporter.web import tls
from exporter.web.webconfig import HTTPServer, RateLimit, TLSServer, WebConfig

CHECK_INTERVAL = 1.0
"""Seconds between two looks at the files. A change is taken over when a second look finds the file as the first did."""

_KNOWN: dict[Keys, type[BaseModel]] = {
    (): WebConfig,
    ("tls_server_config",): TLSServer,
    ("http_server_config",): HTTPServer,
    ("rate_limit",): RateLimit,
}
_SENTENCES = {
    "bool_parsing": "must be true or false",
    "dict_type": "must hold keys and values",
    "int_parsing": "must be a whole number",
    "model_type": "must hold keys and values",
    "string_type": "must be text",
    "tuple_type": "must be a list",
}

_log = structlog.get_logger(__name__)


Stamps = dict[Path, tuple[int, int, int] | None]
"""What tells a file from a newer one in its place, None where there is none."""


class Loaded(NamedTuple):
    """A web configuration, the TLS context made of it, None for plain HTTP, and what was read for it."""

    config: WebConfig
    context: ssl.SSLContext | None
    stamps: Stamps


def load(path: Path) -> Loaded:
    """Read a web configuration file and the certificates it names.

    Raises `ConfigError` with every fault.
    """
    stamps = _stamps([path])
    document = read(path)
    if document.faults:
        raise ConfigError(document.faults)
    try:
        config = WebConfig.model_validate(document.data, context={"folder": path.parent})
    except ValidationError as error:
        _explain(error, document)
        raise ConfigError(sorted(document.faults)) from None
    section = config.tls_server_config
    stamps |= _stamps(tls.files(section))
    try:
        context = tls.make_context(section) if section.is_enabled else None
    except tls.UnusableError as error:
        document.fault(("tls_server_config", error.key), str(error))
        raise ConfigError(document.faults) from None
    return Loaded(config, context, stamps)


class Door:
    """Hold the web configuration in force for whoever lets a client in.

    A file that has become faulty is told once in the log and leaves what was in force. `clock` gives monotonic seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._loaded = load(path)
        self._seen = self._loaded.stamps
        self._rejected: tuple[Fault, ...] = ()
        self._next_look = clock() + CHECK_INTERVAL

    @property
    def config(self) -> WebConfig:
        """Give the configuration, after a look at the files if the last one is a while ago."""
        return self._current().config

    def context(self) -> ssl.SSLContext | None:
        """Give the TLS context for a new connection, None for plain HTTP."""
        return self._current().context

    def admits(self, certificate: Mapping[str, Any] | None) -> bool:
        """Tell whether a client with this certificate may stay."""
        return tls.is_allowed(certificate, self._current().config.tls_server_config.client_allowed_sans)

    def _current(self) -> Loaded:
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + CHECK_INTERVAL
            self._look()
        return self._loaded

    def _look(self) -> None:
        stamps = _stamps(self._loaded.stamps)
        if stamps != self._seen:
            # Perhaps somebody is writing it right now, and half a file may lack the half that shuts the door.
            self._seen = stamps
        elif stamps != self._loaded.stamps or self._rejected:
            self._take_over()

    def _take_over(self) -> None:
        try:
            loaded = load(self._path)
            self._refuse_to_open(loaded)
        except ConfigError as error:
            if error.faults != self._rejected:
                self._rejected = error.faults
                _log.error("web_config.rejected", faults=[str(fault) for fault in error.faults])
            return
        self._loaded, self._seen, self._rejected = loaded, loaded.stamps, ()
        _log.info("web_config.reloaded", path=str(self._path))

    def _refuse_to_open(self, loaded: Loaded) -> None:
        faults = []
        if (loaded.context is None) != (self._loaded.context is None):
            faults.append(Fault(f"{self._path}: tls_server_config", "TLS is switched on or off by a restart only"))
        if self._loaded.config.basic_auth_users and not loaded.config.basic_auth_users:
            faults.append(Fault(f"{self._path}: basic_auth_users", "authentication is switched off by a restart only"))
        if faults:
            raise ConfigError(faults)


def _stamps(files: Iterable[Path]) -> Stamps:
    return {path: _stamp(path) for path in files}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _explain(error: ValidationError, document: Document) -> None:
    for problem in error.errors(include_url=False, include_input=False):
        keys: Keys = problem["loc"]
        context = problem.get("ctx", {})
        if problem["type"] == "together":
            for key, message in context["faults"].items():
                document.fault((*keys, key), message)
        elif problem["type"] == "extra_forbidden":
            document.fault(keys, _unknown(str(keys[-1]), list(_KNOWN[keys[:-1]].model_fields)))
        else:
            message = str(context["error"]) if "error" in context else problem["msg"]
            document.fault(keys, _SENTENCES.get(problem["type"], message))


def _unknown(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the keys are {', '.join(known)}"
    return f"is not a known key: {hint}"
