"""Flags that several commands share, in the field's spelling; each can be given as an environment variable too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from exporter.config import Settings, load, owned, take_secrets
from exporter.config.values import seconds
from exporter.errors import ConfigError, ConfigProblem

Command = TypeVar("Command", bound=Callable[..., Any])
T = TypeVar("T")

LISTEN_ADDRESS = ":10110"

VARIABLES = ["CLOPOS_EXPORTER_REVISION"]
"""Environment variables that stand for flags, and the revision, which the container image sets."""


def flag(name: str, **attributes: Any) -> Callable[[Command], Command]:
    """Declare `--some.flag`, also read from CLOPOS_EXPORTER_SOME_FLAG, as the argument `some_flag`."""
    argument = name.replace(".", "_").replace("-", "_")
    variable = f"CLOPOS_EXPORTER_{argument.upper()}"
    VARIABLES.append(variable)
    return click.option(f"--{name}", argument, envvar=variable, show_envvar=True, **attributes)


def duration(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Parse a duration, None where none is given."""
    try:
        return None if value is None else float(str(seconds(value)))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _url(_ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Refuse what is not the start of an address."""
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise click.BadParameter("use an address such as https://example.com/clopos")
    return value.rstrip("/")


config_file = flag(
    "config.file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration in YAML; one brand needs none, see the CLOPOS_* variables in docs/configuration.md.",
)
auto_reload_interval = flag(
    "config.auto-reload-interval",
    metavar="DURATION",
    callback=duration,
    help="Check at this interval whether the configuration or one of its secret files has changed, and reload "
    "it.  [default: reload by SIGHUP and POST /-/reload only]",
)
log_level = flag(
    "log.level",
    type=click.Choice(["debug", "info", "warn", "warning", "error"]),
    default="info",
    show_default=True,
    help="Minimum severity; station events are warnings and infos.",
)
log_format = flag(
    "log.format",
    type=click.Choice(["json", "logfmt", "console"]),
    help="Log format.  [default: console on a terminal, else json]",
)
listen_address = flag(
    "web.listen-address",
    multiple=True,
    metavar="ADDRESS",
    help=f"Listen here: :10110, 127.0.0.1:10110, [::1]:10110; can be repeated.  [default: {LISTEN_ADDRESS}]",
)
web_config_file = flag(
    "web.config.file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TLS and authentication, in the format of the Prometheus exporter-toolkit.",
)
telemetry_path = flag(
    "web.telemetry-path", default="/metrics", show_default=True, metavar="PATH", help="Serve the metrics here."
)
external_url = flag(
    "web.external-url",
    default="",
    metavar="URL",
    callback=_url,
    help="Where people reach the exporter, if not at its own address, for example behind a reverse proxy.",
)
route_prefix = flag(
    "web.route-prefix",
    metavar="PATH",
    help="Serve everything below this path.  [default: the path of --web.external-url]",
)
allowed_host = flag(
    "web.allowed-host",
    multiple=True,
    metavar="NAME",
    help="Serve pages, JSON and reload under this host name too; can be repeated; * allows any.  "
    "[default: IP addresses, localhost, names that are listened on, the host of --web.external-url]",
)
shard = flag(
    "shard",
    type=click.IntRange(min=0),
    help="Watch only this part of the brands, from 0.  [default: the number at the end of the pod's name]",
)
total_shards = flag(
    "total-shards", type=click.IntRange(min=1), help="Number of processes that share the brands.  [default: 1]"
)


def settings(
    config_file: Path | None,
    environ: Mapping[str, str] | None = None,
    *,
    shard: int | None = None,
    total_shards: int | None = None,
    problem_of_channel: Callable[[str], str | None] = lambda _url: None,
    needs_brand: bool = True,
    on_warning: Callable[[ConfigProblem], None] = lambda _fault: None,
    on_file: Callable[[Path], None] = lambda _path: None,
) -> Settings:
    """Read the configuration and keep this shard's brands where any are needed. Raises ConfigError with every fault.

    Without `environ`, the environment of the process is read, and its secrets are removed.
    """
    whole = load(
        config_file,
        take_secrets(os.environ) if environ is None else environ,
        {"shard": shard, "total_shards": total_shards},
        flag_variables=VARIABLES,
        problem_of_channel=problem_of_channel,
        needs_brand=needs_brand,
        on_warning=on_warning,
        on_file=on_file,
    )
    if not needs_brand:
        return whole  # What is asked is the same in every shard, and this one may have no brand.
    ours = owned(whole.brands, whole.shard, whole.total_shards)
    return whole if len(ours) == len(whole.brands) else whole.model_copy(update={"brands": ours})


@contextmanager
def every_fault() -> Iterator[Callable[[Callable[[], T]], T | None]]:
    """Run several readers of configuration, and raise one ConfigError with the faults of all at the end."""
    faults: list[ConfigProblem] = []

    def collect(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except ConfigError as error:
            faults.extend(error.faults)
            return None

    yield collect
    if faults:
        raise ConfigError(faults)
