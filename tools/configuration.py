"""Write docs/configuration.md and docs/configuration.schema.json from the settings, the variables and the flags.

`python -m tools.configuration`, `--check` to compare.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from exporter.cli import COMMANDS
from exporter.cli import main as cli
from exporter.clock import format_duration
from exporter.config.environment import BRAND, CHANNEL, SETTINGS
from exporter.config.load import SECTIONS, from_file
from exporter.i18n import LANGUAGES
from exporter.model import Topic

DOCS = Path(__file__).parent.parent / "docs"
PAGE, SCHEMA = DOCS / "configuration.md", DOCS / "configuration.schema.json"

RULE = "| --- | --- | --- | --- | --- |"
HEADINGS = {
    "": "Top level",
    "brands": "`brands`: a list, one entry a brand",
    "venues": "`venues` of a brand: ids, or entries with a name",
    "ignore_stations": "`ignore_stations`: ids or exact names, or entries with a last day",
    "venue_overrides": "`venue_overrides`: by venue id, what replaces the brand's own values",
    "state": "`state`",
    "incidents": "`incidents`",
    "notifications": "`notifications`",
    "channels": "`notifications.channels`: a list",
    "heartbeat": "`heartbeat`",
}
INTRODUCTION = (
    "A flag wins over the environment, the environment over the file, the file over the default. Durations are written",
    "as `30s`, `5m` or `1h30m`, from 1 s on. `clopos-exporter check` names every mistake with its place. Editors with",
    "yaml-language-server complete and check the file if it begins with",
    "`# yaml-language-server: $schema=configuration.schema.json` ([the schema](configuration.schema.json)).",
)
# For each key what it means, and an example.
KEYS: dict[str, tuple[str, str]] = {
    "poll_interval": ("The shortest interval between polls of a venue; lengthened to keep within the quota.", "30s"),
    "stale_after": ("How long last values are served while polls fail; at least two intervals in force.", "5m"),
    "discovery_interval": ("How often the venues of a brand are listed.", "15m"),
    "ready_venues_percent": ("`/-/ready` waits until so many of a hundred venues were polled once.", "90"),
    "shard": ("The number of this process among those that divide the brands, from 0.", "1"),
    "total_shards": ("Among how many processes the brands are divided.", "3"),
    "brands": ("The brands to watch.", "see below"),
    "brands.brand": ("The brand's name in Clopos.", "tandir-group"),
    "brands.client_id": ("Client id of the Open API.", "my-client"),
    "brands.client_secret": ("Client secret. Required unless there is a token.", "..."),
    "brands.integrator_id": ("Id of the integrator.", "my-integrator"),
    "brands.token": ("A ready JWT, used as it is instead of a login.", "eyJ..."),
    "brands.base_url": (
        "Address of the API. Nothing else knows the host: where Clopos moves it, change it here.",
        "https://integrations.clopos.com/open-api/v2",
    ),
    "brands.allow_insecure_base_url": ("Allow `http://` to another machine, which sends secrets in clear.", "true"),
    "brands.back_office_url": (
        "Where people edit the stations of the brand: the page links there.",
        "https://tandir.clopos.com",
    ),
    "brands.requests_per_minute": ("Our share of the 300 requests a minute that Clopos allows a brand.", "240"),
    "brands.venues": ("`all`, `default` (the token's own venue), or a list.", "[1, 7]"),
    "brands.time_zone": ("IANA time zone of the venues.", "Asia/Baku"),
    "brands.opening_hours": ("Opening hours in OpenStreetMap's syntax; needs `time_zone`.", '"Mo-Su 10:00-02:00"'),
    "brands.ignore_stations": ("Stations that are left out of the alerts.", '["Test printer"]'),
    "brands.venue_overrides": ("Values for single venues.", '{"7": {opening_hours: "24/7"}}'),
    "venues.id": ("Id of the venue.", "7"),
    "venues.name": ("Its name, where it is not to come from Clopos.", "Centre"),
    "ignore_stations.station": ("Id or exact name of the station.", "Test printer"),
    "ignore_stations.until": ("The last day on which it is ignored.", "2026-12-31"),
    "venue_overrides.opening_hours": ("As for a brand.", '"Fr-Su 12:00-04:00"'),
    "venue_overrides.time_zone": ("As for a brand.", "Asia/Baku"),
    "venue_overrides.ignore_stations": ("Added to those of the brand.", '["Bar"]'),
    "state": ("Where states and events are kept.", "see below"),
    "state.path": ("SQLite file. Without it and without `url`, the state is in memory only.", "./clopos-exporter.db"),
    "state.url": ("PostgreSQL database, shared by several processes.", "postgresql://user:password@host/name"),
    "state.journal_retention": ("How long events are kept.", "90d"),
    "incidents": ("When something becomes an incident.", "see below"),
    "incidents.delay": ("How long a kitchen station must be inactive, in opening hours, before it is one.", "2m"),
    "notifications": ("Who is notified, and how often.", "see below"),
    "notifications.group_wait": ("What comes within this time goes into one message.", "30s"),
    "notifications.repeat_interval": ("How often to remind while an incident lasts: `off`, or at least 30m.", "4h"),
    "notifications.max_age": ("What could not be delivered for so long is dropped, logged and counted.", "24h"),
    "notifications.channels": ("Where messages go.", "see below"),
    "channels.name": ("Name of the channel, in metrics and log.", "shift"),
    "channels.url": ("An [Apprise](https://github.com/caronc/apprise) URL.", "tgram://token/chat"),
    "channels.language": ("Language of the messages.", "az"),
    "channels.topics": ("Which incidents it gets.", "[stations, service]"),
    "channels.brands": ("Only these brands; all where it is not given.", "[tandir-group]"),
    "channels.venues": ("Only these venues, by id; all where it is not given.", "[7]"),
    "heartbeat": ("A dead man's switch.", "see below"),
    "heartbeat.url": ("Requested at every interval while everything works.", "https://hc-ping.com/your-uuid"),
    "heartbeat.interval": ("How often.", "1m"),
}
FROM_ZERO = ("ready_venues_percent", "shard")
DURATION = r"^([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"


def page() -> str:
    """Return the reference as Markdown."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Configuration reference"
    yield ""
    yield "<!-- Made by `make docs` from the settings: do not edit. -->"
    yield ""
    yield from INTRODUCTION
    variables = _variables()
    for section, heading in HEADINGS.items():
        yield from ("", f"## {heading}", "", "| key | default | meaning | example | variable |", RULE)
        for name, field in SECTIONS[section][0].model_fields.items():
            meaning, example = KEYS[f"{section}.{name}".removeprefix(".")]
            shown = "required" if field.is_required() else _default(section, name)
            keys = f"`{name}`" + (f", `{name}_file`" if name in from_file(section) else "")
            names = ", ".join(f"`{variable}`" for variable in variables.get((section, name), ()))
            yield f"| {keys} | {shown} | {meaning} | `{example}` | {names} |"
    yield from ("", "A key with `_file` names a file that holds the value.", "")
    yield from ("## Flags", "", "| command | flag | default | meaning | variable |", RULE)
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        for option in command.params if command else ():
            if isinstance(option, click.Option):
                yield _flag(name, option)


def _flag(command: str, option: click.Option) -> str:
    help_, _, default = (option.help or "").partition("  [default: ")
    if not default and option.show_default and not callable(option.default):
        default = str(option.default)
    variable = f"`{option.envvar}`" if option.envvar else ""
    text = " ".join(help_.split()).replace("|", "\\|")
    return f"| {command} | `{option.opts[0]}` | {default.removesuffix(']').strip()} | {text} | {variable} |"


def _variables() -> Mapping[tuple[str, str], list[str]]:
    """Return the environment variables of each key, by section and name."""
    found: dict[tuple[str, str], list[str]] = {}
    for variable, keys in SETTINGS.items():
        section = str(keys[0]) if len(keys) > 1 else ""
        found.setdefault((section, str(keys[-1]).removesuffix("_file")), []).append(variable)
    for section, variables in (("brands", BRAND), ("channels", CHANNEL)):
        for variable, key in variables.items():
            found.setdefault((section, key.removesuffix("_file")), []).append(variable)
    return found


def _default(section: str, name: str) -> str:
    value = SECTIONS[section][0].model_fields[name].get_default(call_default_factory=True)
    if (section, name) == ("brands", "venues"):
        return "`all`"
    if name == "repeat_interval":
        return "`off`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{format_duration(value).replace(' ', '')}`"
    if isinstance(value, tuple) and value:
        return f"`[{', '.join(map(str, value))}]`"
    return "" if value is None or value == () or isinstance(value, BaseModel | Mapping) else f"`{value}`"


def schema() -> str:
    """Return a JSON Schema (2020-12) of the configuration file, for editors."""
    whole = _object("")
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "clopos-exporter", **whole}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _object(section: str) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    fields = SECTIONS[section][0].model_fields
    for name, field in fields.items():
        key = f"{section}.{name}".removeprefix(".")
        properties[name] = {"description": KEYS[key][0], **_value(section, name, field.annotation)}
        if name in from_file(section):
            properties[f"{name}_file"] = {"description": f"Path of a file that holds `{name}`.", "type": "string"}
    required = [name for name, field in fields.items() if field.is_required() and name not in from_file(section)]
    if not section:
        required = []  # the brand may come from the environment
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _value(section: str, name: str, annotation: Any) -> dict[str, Any]:
    if special := SPECIAL.get((section, name)):
        return special()
    if not section and name in SECTIONS:
        return _object(name)
    if annotation in TYPES:
        return {**TYPES[annotation], **({"minimum": 0} if name in FROM_ZERO else {})}
    return SCALAR if section in ("brands", "venues", "ignore_stations") else {"type": "string"}


def _list(*items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items[0] if len(items) == 1 else {"anyOf": list(items)}}


SCALAR: dict[str, Any] = {"type": ["string", "number"]}
TYPES: dict[Any, dict[str, Any]] = {
    float: {"type": "string", "pattern": DURATION},
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 1},
}
SPECIAL: dict[tuple[str, str], Callable[[], dict[str, Any]]] = {
    ("", "brands"): lambda: _list(_object("brands")),
    ("notifications", "channels"): lambda: _list(_object("channels")),
    ("notifications", "repeat_interval"): lambda: {"anyOf": [{"enum": ["off", False]}, TYPES[float]]},
    ("brands", "venues"): lambda: {"anyOf": [{"enum": ["all", "default"]}, _list(SCALAR, _object("venues"))]},
    ("brands", "venue_overrides"): lambda: {"type": "object", "additionalProperties": _object("venue_overrides")},
    ("brands", "ignore_stations"): lambda: _list(SCALAR, _object("ignore_stations")),
    ("venue_overrides", "ignore_stations"): lambda: _list(SCALAR, _object("ignore_stations")),
    ("channels", "topics"): lambda: _list({"enum": [topic.value for topic in Topic]}),
    ("channels", "language"): lambda: {"enum": list(LANGUAGES)},
    ("channels", "brands"): lambda: _list(SCALAR),
    ("channels", "venues"): lambda: _list(SCALAR),
}


def main(arguments: list[str]) -> None:
    """Write both files, or exit with what to do when they are not as they should be."""
    for path, text in ((PAGE, page()), (SCHEMA, schema())):
        if "--check" not in arguments:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            sys.exit(f"{path} is not up to date: run `make docs`")


if __name__ == "__main__":
    main(sys.argv[1:])
