"""The web configuration file: read at the start, and again when one of its files has changed."""

from __future__ import annotations

import difflib
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import structlog
from pydantic import BaseModel, ValidationError

from exporter.document import SENTENCES, Document, Keys, Stamps, read, reading_order, shown, stamps
from exporter.errors import ConfigError, ConfigProblem
from exporter.web import tls
from exporter.web.webconfig import CLIENT_AUTH, HTTPServer, RateLimit, TLSServer, WebConfig

CHECK_INTERVAL = 1.0
"""Seconds between two looks at the files. A change is taken over when a second look finds the file as the first did."""

_KNOWN: dict[Keys, type[BaseModel]] = {
    (): WebConfig,
    ("tls_server_config",): TLSServer,
    ("http_server_config",): HTTPServer,
    ("rate_limit",): RateLimit,
}
_log = structlog.get_logger(__name__)


class LoadedWebConfig(NamedTuple):
    """A web configuration, the TLS context made of it, None for plain HTTP, and what was read for it.

    `client_ca` is the text of the authority that vouches for clients, empty where there is none.
    `certificate_expires_at` is when the certificate ends, epoch seconds, None for plain HTTP.
    """

    config: WebConfig
    context: ssl.SSLContext | None
    client_ca: str
    stamps: Stamps
    certificate_expires_at: float | None = None

    @property
    def trust(self) -> tuple[TLSServer, str]:
        """Return all that decides who may connect; a renewed certificate of the server is not part of it."""
        return self.config.tls_server_config, self.client_ca


def load(path: Path) -> LoadedWebConfig:
    """Read a web configuration file and the certificates it names.

    Raises `ConfigError` with every fault.
    """
    read_from = stamps([path])
    document = read(path)
    _check_read_only_users(document)
    section = document.data.get("tls_server_config")
    written = section.items() if isinstance(section, dict) else ()
    given = {key: value for key, value in written if key in TLSServer.model_fields and value is not None}

    def fault(key: str, message: str) -> None:
        document.fault(("tls_server_config", key), message)

    pems, more = tls.read_pems(given, path.parent, fault)
    context = tls.load_pems(pems, fault)
    try:
        config = WebConfig.model_validate(document.data)
    except ValidationError as error:
        _explain(error, document)
    if document.faults:
        raise ConfigError(sorted(set(document.faults), key=reading_order))
    if not given:
        return LoadedWebConfig(config, None, "", read_from)
    tls.configure(context, config.tls_server_config)
    client_ca = pems["client_ca"].text if "client_ca" in pems else ""
    return LoadedWebConfig(config, context, client_ca, read_from | more, tls.certificate_expires_at(pems["cert"].text))


class WebConfigFile:
    """Hold the web configuration in force.

    A file that has become faulty, or weaker, is logged once and changes nothing. `clock` returns monotonic seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._loaded = load(path)
        self._seen = self._loaded.stamps
        self._rejected: tuple[ConfigProblem, ...] = ()
        self._next_look = clock() + CHECK_INTERVAL

    @property
    def current(self) -> LoadedWebConfig:
        """Return what is in force, after a look at the files if the last one is a while ago."""
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + CHECK_INTERVAL
            self._look()
        return self._loaded

    def _look(self) -> None:
        now = stamps(self._loaded.stamps)
        if now != self._seen:
            # Perhaps somebody is writing it right now, and half a file may lack the half that protects.
            self._seen = now
        elif now != self._loaded.stamps or self._rejected:
            self._replace()

    def _replace(self) -> None:
        try:
            loaded = load(self._path)
            _refuse_weaker(self._path, self._loaded, loaded)
        except ConfigError as error:
            if error.faults != self._rejected:
                self._rejected = error.faults
                _log.error("web_config.rejected", faults=[str(fault) for fault in error.faults])
            return
        self._loaded, self._seen, self._rejected = loaded, loaded.stamps, ()
        _log.info("web_config.reloaded", path=str(self._path))


def _refuse_weaker(path: Path, old: LoadedWebConfig, new: LoadedWebConfig) -> None:
    if faults := [ConfigProblem(f"{path}: {place}", fault) for place, fault in _weaker(old, new)]:
        raise ConfigError(faults)


def _weaker(old: LoadedWebConfig, new: LoadedWebConfig) -> Iterator[tuple[str, str]]:
    """Return where a new configuration protects less: perhaps the rest of the file is still to be written."""
    was, now = old.config.tls_server_config, new.config.tls_server_config
    if (new.context is None) != (old.context is None):
        yield "tls_server_config", "TLS is switched on or off by a restart only"
    elif CLIENT_AUTH[now.client_auth_type] < CLIENT_AUTH[was.client_auth_type]:
        yield (
            "tls_server_config.client_auth_type",
            f"{now.client_auth_type} is weaker than {was.client_auth_type}, which is in force: restart to weaken it",
        )
    elif was.client_allowed_sans and not now.client_allowed_sans:
        yield "tls_server_config.client_allowed_sans", "clients with any name are let in by a restart only"
    elif now.min_version < was.min_version:
        yield "tls_server_config.min_version", f"{now.min_version} is allowed by a restart only"
    if old.config.basic_auth_users and not new.config.basic_auth_users:
        yield "basic_auth_users", "authentication is switched off by a restart only"
    if freed := (old.config.read_only_users - new.config.read_only_users) & new.config.basic_auth_users.keys():
        yield "read_only_users", f"{', '.join(sorted(freed))} may reload after a restart only"
    if old.config.rate_limit.interval and not new.config.rate_limit.interval:
        yield "rate_limit", "the limit is removed by a restart only"


def _check_read_only_users(document: Document) -> None:
    users, readers = (document.data.get(key) for key in ("basic_auth_users", "read_only_users"))
    for index, name in enumerate(readers if isinstance(readers, list) else ()):
        if isinstance(name, str) and not (isinstance(users, dict) and name in users):
            document.fault(("read_only_users", index), f"{shown(name)} is not one of basic_auth_users")


def _explain(error: ValidationError, document: Document) -> None:
    """Note each fault."""
    for problem in error.errors(include_url=False, include_input=False):
        keys: Keys = problem["loc"]
        if problem["type"] == "extra_forbidden":
            document.fault(keys, _unknown(str(keys[-1]), list(_KNOWN[keys[:-1]].model_fields)))
        else:
            context = problem.get("ctx", {})
            message = str(context["error"]) if "error" in context else problem["msg"]
            document.fault(keys, SENTENCES.get(problem["type"], message))


def _unknown(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the keys are {', '.join(known)}"
    return f"is not a known key: {hint}"
