"""One bad configuration for each mistake, with the message a person reads."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from exporter.cli.options import VARIABLES
from exporter.config import load
from exporter.config.load import NO_BRAND
from exporter.errors import ConfigError

GOOD = """\
brands:
  - brand: tandir-group
    client_id: id
    client_secret: s3cret-Value
    integrator_id: integrator
"""
OUT_OF_RANGE = "is out of range: use a duration from 1s to a hundred years, such as 30s"
IN_CLEAR = "sends secrets and tokens in clear: use https, or set allow_insecure_base_url: true"
NO_DURATION = "is not a duration: use a duration such as 30s, 5m or 1h30m"
NO_PASSWORD = "must not hold a user name or password: they belong in client_id and client_secret"
NO_TAG = "has a tag, a word that begins with !, and none is understood: remove it"
NO_KEYS = "must hold keys and values"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def faults(text: str | bytes | None, environ: dict[str, str] | None = None, **flags: object) -> list[str]:
    path = None
    if text is not None:
        path = Path("clopos.yml")
        path.write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {}, flags)
    assert str(caught.value) == "\n".join(map(str, caught.value.faults))
    return [str(fault) for fault in caught.value.faults]


MISTAKES: dict[str, tuple[Any, str]] = {
    "an unknown key": (
        "poll_intervall: 30s\n" + GOOD,
        "clopos.yml:1: poll_intervall: is not known here: did you mean poll_interval?",
    ),
    "an unknown key like no other": (
        GOOD + "state: {colour: red}",
        "clopos.yml:6: state.colour: is not known here, only journal_retention, path, url, url_file",
    ),
    "a key of the top level in a brand": (
        GOOD + "    poll_interval: 30s",
        "clopos.yml:6: brands[0].poll_interval: is not known here: did you mean poll_interval, at the top level?",
    ),
    "a key of a brand at the top level": (
        GOOD + "time_zone: Asia/Baku",
        "clopos.yml:6: time_zone: is not known here: did you mean time_zone, in a brand?",
    ),
    "an unknown key in a venue": (
        GOOD + "    venues: [{id: 1, nmae: Centre}]",
        "clopos.yml:6: brands[0].venues[0].nmae: is not known here: did you mean name?",
    ),
    "an unknown key in an override": (
        GOOD + "    venue_overrides: {7: {timezone: Asia/Baku}}",
        "clopos.yml:6: brands[0].venue_overrides.7.timezone: is not known here: did you mean time_zone?",
    ),
    "a duration without a unit": (
        "poll_interval: 30\n" + GOOD,
        "clopos.yml:1: poll_interval: '30' has no unit: use a duration such as 30s, 5m or 1h30m",
    ),
    "a duration in another spelling": (
        "stale_after: 5 minutes\n" + GOOD,
        "clopos.yml:1: stale_after: '5 minutes' is not a duration: use a duration such as 30s, 5m or 1h30m",
    ),
    "a duration under a second": (
        "discovery_interval: 500ms\n" + GOOD,
        f"clopos.yml:1: discovery_interval: '500ms' {OUT_OF_RANGE}",
    ),
    "a list for a duration": (
        "poll_interval: [30s]\n" + GOOD,
        "clopos.yml:1: poll_interval: must be a duration such as 30s, 5m or 1h30m",
    ),
    "a duplicate key": (
        GOOD + "    client_id: other",
        "clopos.yml:3: brands[0].client_id: line 6 says it again: keep one of the two",
    ),
    "a duplicate brand": (
        GOOD + "  - {brand: tandir-group, token: eyJ}",
        "clopos.yml:6: brands[1].brand: 'tandir-group' is there already, as brands[0]",
    ),
    "a duplicate venue": (
        GOOD + "    venues: [7, {id: 7, name: Centre}]",
        "clopos.yml:6: brands[0].venues[1]: venue '7' is there already, as venues[0]",
    ),
    "no venue in the list": (
        GOOD + "    venues: []",
        "clopos.yml:6: brands[0].venues: must not be empty",
    ),
    "one venue that is not a list": (
        GOOD + "    venues: 7",
        "clopos.yml:6: brands[0].venues: '7' is none of them: write all, default, or a list such as [1, 7]",
    ),
    "a venue id that no header can carry": (
        GOOD + "    venues: [7/8]",
        "clopos.yml:6: brands[0].venues[0].id: must be an id of letters, digits, - and _",
    ),
    "an override for a venue that is not listed": (
        GOOD + "    venues: [1]\n    venue_overrides: {7: {time_zone: Asia/Baku}}",
        "clopos.yml:7: brands[0].venue_overrides.7: venue '7' is not among those in venues",
    ),
    "an override with an impossible id": (
        GOOD + "    venue_overrides: {'7 8': {time_zone: Asia/Baku}}",
        "clopos.yml:6: brands[0].venue_overrides.7 8: must be an id of letters, digits, - and _",
    ),
    "an override that says nothing": (
        GOOD + "    venue_overrides: {7: closed}",
        "clopos.yml:6: brands[0].venue_overrides.7: must hold keys and values",
    ),
    "overrides in a list": (
        GOOD + "    venue_overrides: [7]",
        "clopos.yml:6: brands[0].venue_overrides: must hold keys and values",
    ),
    "a missing secret": (
        "brands:\n  - {brand: b, client_id: i, integrator_id: n}",
        "clopos.yml:2: brands[0].client_secret: is missing: give it, or the path of a file with it, or a ready token",
    ),
    "an empty secret": (
        "brands:\n  - {brand: b, client_id: i, integrator_id: n, client_secret: ''}",
        "clopos.yml:2: brands[0].client_secret: must not be empty",
    ),
    "a secret in pieces": (
        "brands:\n  - {brand: b, client_id: i, integrator_id: n, client_secret: [a, b]}",
        "clopos.yml:2: brands[0].client_secret: must be text",
    ),
    "a missing brand name": (
        "brands:\n  - token: eyJ",
        "clopos.yml:2: brands[0].brand: is missing",
    ),
    "a brand name of two lines": (
        'brands:\n  - {brand: "a\\nb", token: eyJ}',
        "clopos.yml:2: brands[0].brand: must be one line of plain text",
    ),
    "a token and a secret": (
        GOOD + "    token: eyJ",
        "clopos.yml:6: brands[0].token: is used as it is, without a login: remove it, or remove client_secret",
    ),
    "a token with blanks": (
        "brands:\n  - {brand: b, token: Bearer eyJ}",
        "clopos.yml:2: brands[0].token: must be the token alone: ASCII, in one piece, without blanks",
    ),
    "a secret file that is absent": (
        "brands:\n  - brand: b\n    token_file: nowhere",
        "clopos.yml:3: brands[0].token_file: the file cannot be read: No such file or directory",
    ),
    "a secret file that is a folder": (
        "brands:\n  - brand: b\n    token_file: .",
        "clopos.yml:3: brands[0].token_file: the file cannot be read: Is a directory",
    ),
    "a secret file without a name": (
        "brands:\n  - brand: b\n    token_file: {}",
        "clopos.yml:3: brands[0].token_file: must be a path",
    ),
    "a secret and its file": (
        GOOD + "    client_secret_file: secret",
        "clopos.yml:6: brands[0].client_secret_file: client_secret is given as well: keep one of the two",
    ),
    "a back office that is none": (
        GOOD + "    back_office_url: javascript:alert(1)",
        "clopos.yml:6: brands[0].back_office_url: must be the address of a page, such as https://tandir.clopos.com",
    ),
    "a back office with a password": (
        GOOD + "    back_office_url: https://user:s3cret-Value@clopos.example",
        "clopos.yml:6: brands[0].back_office_url: must be the address of a page, such as https://tandir.clopos.com",
    ),
    "more than all venues": (
        "ready_venues_percent: 101\n" + GOOD,
        "clopos.yml:1: ready_venues_percent: must be at most 100",
    ),
    "an address of another kind": (
        GOOD + "    base_url: ftp://clopos.example/v2",
        "clopos.yml:6: brands[0].base_url: must be an address such as https://integrations.clopos.com/open-api/v2",
    ),
    "an address that is none": (
        GOOD + "    base_url: 'https://[::1/v2'",
        "clopos.yml:6: brands[0].base_url: must be an address such as https://integrations.clopos.com/open-api/v2",
    ),
    "an address with an empty label": (
        GOOD + "    base_url: https://.clopos.example/v2",
        "clopos.yml:6: brands[0].base_url: must be an address such as https://integrations.clopos.com/open-api/v2",
    ),
    "an address with a password": (
        GOOD + "    base_url: https://user:s3cret-Value@clopos.example/v2",
        f"clopos.yml:6: brands[0].base_url: {NO_PASSWORD}",
    ),
    "an address with a query": (
        GOOD + "    base_url: https://clopos.example/v2?x=1",
        "clopos.yml:6: brands[0].base_url: must end with the path: remove what follows ? or #",
    ),
    "more requests than anybody is allowed": (
        GOOD + "    requests_per_minute: 1000001",
        "clopos.yml:6: brands[0].requests_per_minute: must be at most 1000000",
    ),
    "an address that sends the secret in clear": (
        GOOD + "    base_url: http://clopos.example/v2",
        f"clopos.yml:6: brands[0].base_url: {IN_CLEAR}",
    ),
    "an address in clear that is not allowed after all": (
        GOOD + "    base_url: http://10.0.0.1/v2\n    allow_insecure_base_url: false",
        f"clopos.yml:6: brands[0].base_url: {IN_CLEAR}",
    ),
    "a permission that is none": (
        GOOD + "    allow_insecure_base_url: perhaps",
        "clopos.yml:6: brands[0].allow_insecure_base_url: must be true or false",
    ),
    "a file and a database": (
        GOOD + "state: {path: a.db, url: 'postgresql://u:s3cret-Value@host/name'}",
        "clopos.yml:6: state.url: path is given as well: keep one of the two",
    ),
    "a database of another kind": (
        GOOD + "state: {url: 'mysql://u:s3cret-Value@host/name'}",
        "clopos.yml:6: state.url: must be a URL such as postgresql://user:password@host/name",
    ),
    "a database file that is absent": (
        GOOD + "state: {url_file: nowhere}",
        "clopos.yml:6: state.url_file: the file cannot be read: No such file or directory",
    ),
    "reminders without end": (
        GOOD + "notifications: {repeat_interval: 29m}",
        "clopos.yml:6: notifications.repeat_interval: '29m' is too short: use off, or at least 30m",
    ),
    "reminders of no length": (
        GOOD + "notifications: {repeat_interval: never}",
        f"clopos.yml:6: notifications.repeat_interval: 'never' {NO_DURATION}",
    ),
    "a channel without a URL": (
        GOOD + "notifications: {channels: [{name: shift}]}",
        "clopos.yml:6: notifications.channels[0].url: is missing: give it, or as url_file the path of a file with it",
    ),
    "a channel with a URL and its file": (
        GOOD + "notifications: {channels: [{name: shift, url: 'tgram://s3cret-Value/1', url_file: nowhere}]}",
        "clopos.yml:6: notifications.channels[0].url_file: url is given as well: keep one of the two",
    ),
    "a channel URL that is none": (
        GOOD + "notifications: {channels: [{name: shift, url: s3cret-Value}]}",
        "clopos.yml:6: notifications.channels[0].url: must be an Apprise URL, such as tgram://token/chat",
    ),
    "a duplicate channel": (
        GOOD + "notifications: {channels: [{name: shift, url: 'tgram://a/1'}, {name: shift, url: 'tgram://a/2'}]}",
        "clopos.yml:6: notifications.channels[1].name: 'shift' is there already, as channels[0]",
    ),
    "a channel in a language that there is not": (
        GOOD + "notifications: {channels: [{name: shift, url: 'tgram://a/1', language: tr}]}",
        "clopos.yml:6: notifications.channels[0].language: must be 'en', 'az', 'ru' or 'uz'",
    ),
    "a channel for a topic that there is not": (
        GOOD + "notifications: {channels: [{name: shift, url: 'tgram://a/1', topics: [station]}]}",
        "clopos.yml:6: notifications.channels[0].topics[0]: must be 'stations' or 'service'",
    ),
    "a channel for nothing": (
        GOOD + "notifications: {channels: [{name: shift, url: 'tgram://a/1', topics: []}]}",
        "clopos.yml:6: notifications.channels[0].topics: must not be empty",
    ),
    "a channel for a brand that there is not": (
        GOOD + "notifications: {channels: [{name: shift, url: 'tgram://a/1', brands: [tandir]}]}",
        "clopos.yml:6: notifications.channels[0].brands[0]: 'tandir' is no configured brand",
    ),
    "an unknown key in a channel": (
        GOOD + "notifications: {channels: [{name: shift, url: 'tgram://a/1', languag: az}]}",
        "clopos.yml:6: notifications.channels[0].languag: is not known here: did you mean language?",
    ),
    "a heartbeat to nowhere": (
        GOOD + "heartbeat: {interval: 1m}",
        "clopos.yml:6: heartbeat.url: is missing: give it, or as url_file the path of a file with it",
    ),
    "a heartbeat to another kind of address": (
        GOOD + "heartbeat: {url: 'tgram://s3cret-Value/1'}",
        "clopos.yml:6: heartbeat.url: must be a URL such as https://hc-ping.com/your-uuid",
    ),
    "an incident before its time": (
        GOOD + "incidents: {delay: 0s}",
        f"clopos.yml:6: incidents.delay: '0s' {OUT_OF_RANGE}",
    ),
    "a shard without the number of shards": (
        "shard: 1\n" + GOOD,
        "clopos.yml:1: shard: needs the number of shards as well: total_shards, or --total-shards",
    ),
    "no requests": (
        GOOD + "    requests_per_minute: 0",
        "clopos.yml:6: brands[0].requests_per_minute: must be at least 1",
    ),
    "requests in words": (
        GOOD + "    requests_per_minute: many",
        "clopos.yml:6: brands[0].requests_per_minute: must be a whole number",
    ),
    "an unknown time zone": (
        GOOD + "    time_zone: Asia/Bakuu",
        (
            "clopos.yml:6: brands[0].time_zone: 'Asia/Bakuu' is not an IANA time zone such as 'Asia/Baku': "
            "did you mean Asia/Baku?"
        ),
    ),
    "a city as a time zone": (
        GOOD + "    time_zone: Tashkent",
        (
            "clopos.yml:6: brands[0].time_zone: 'Tashkent' is not an IANA time zone such as 'Asia/Baku': "
            "did you mean Asia/Tashkent?"
        ),
    ),
    "an offset as a time zone": (
        GOOD + "    time_zone: GMT+44",
        "clopos.yml:6: brands[0].time_zone: 'GMT+44' is not an IANA time zone such as 'Asia/Baku'",
    ),
    "wrong opening hours": (
        GOOD + "    time_zone: Asia/Baku\n    opening_hours: Mo-Sx 10:00",
        (
            "clopos.yml:7: brands[0].opening_hours: 'Mo-Sx 10:00' is not in opening_hours syntax, from 'Sx 10:00' on: "
            "write hours such as Mo-Su 10:00-02:00"
        ),
    ),
    "opening hours without a time zone": (
        GOOD + "    opening_hours: Mo-Su 10:00-02:00",
        "clopos.yml:2: brands[0].time_zone: is missing: opening_hours need it, such as Asia/Baku",
    ),
    "opening hours of a venue without a time zone": (
        GOOD + "    venue_overrides: {7: {opening_hours: Mo-Su 10:00-02:00}}",
        "clopos.yml:6: brands[0].venue_overrides.7.time_zone: is missing: opening_hours need it, such as Asia/Baku",
    ),
    "a station ignored until no day": (
        GOOD + "    ignore_stations: [{station: Bar, until: 2026-02-30}]",
        "clopos.yml:6: brands[0].ignore_stations[0].until: '2026-02-30' is not a day: write it as 2026-12-31",
    ),
    "a station that is not named": (
        GOOD + "    ignore_stations: [{until: 2026-12-31}]",
        "clopos.yml:6: brands[0].ignore_stations[0].station: is missing",
    ),
    "one ignored station that is not a list": (
        GOOD + "    ignore_stations: Bar",
        "clopos.yml:6: brands[0].ignore_stations: must be a list, such as [a, b]",
    ),
    "a state that is not a mapping": (
        GOOD + "state: ./clopos.db",
        "clopos.yml:6: state: must hold keys and values",
    ),
    "a state path without a name": (
        GOOD + "state: {path: ''}",
        "clopos.yml:6: state.path: must be the path of a file",
    ),
    "a state path that is none": (
        GOOD + "state: {path: [a]}",
        "clopos.yml:6: state.path: must be a path",
    ),
    "a shard beyond the last": (
        "shard: 3\ntotal_shards: 3\n" + GOOD,
        "clopos.yml:1: shard: must be below the number of shards, 3: the first is 0",
    ),
    "no shards": (
        "shard: 0\ntotal_shards: 0\n" + GOOD,
        "clopos.yml:2: total_shards: must be at least 1",
    ),
    "a brand that is not a mapping": (
        GOOD + "  - second",
        "clopos.yml:6: brands[1]: must hold keys and values",
    ),
    "brands that are not a list": (
        "brands: {brand: tandir-group}",
        "clopos.yml:1: brands: must be a list, such as [a, b]",
    ),
    "no brands": ("brands: []", f"clopos.yml:1: brands: {NO_BRAND}"),
    "an empty file": ("", f"clopos.yml: {NO_BRAND}"),
    "a file that says nothing": ("~", f"clopos.yml: {NO_BRAND}"),
    "brands that are left empty": ("brands:\n", f"clopos.yml:1: brands: {NO_BRAND}"),
    "a file that is only text": (
        "hello",
        f"clopos.yml: {NO_KEYS}\nclopos.yml: {NO_BRAND}",
    ),
    "a list instead of keys": (
        "- a",
        f"clopos.yml: {NO_KEYS}\nclopos.yml: {NO_BRAND}",
    ),
    "a file that is not UTF-8": (b"brands: \xff", "clopos.yml: is not UTF-8 text"),
    "a control character": (GOOD + "    token: a\x00b", "clopos.yml:6: holds a control character"),
    "a tab": (
        "brands:\n\t- a",
        "clopos.yml:2: is not YAML: found character '\\t' that cannot start any token: use spaces",
    ),
    "a bracket that is not closed": (
        "brands: [a",
        "clopos.yml:1: is not YAML: expected ',' or ']', but got '<stream end>'",
    ),
    "a line that is indented too little": (
        "brands:\n  - brand: a\n   token: b",
        "clopos.yml:3: is not YAML: expected <block end>, but found '<block mapping start>': check the indentation",
    ),
    "two documents": (GOOD + "---\na: b", "clopos.yml:6: is not YAML: but found another document"),
    "a secret that looks like an alias": (
        GOOD.replace("s3cret-Value", "*s3cret-Value"),
        "clopos.yml:4: is not YAML: found undefined alias: put quotes around a value that begins with * or &",
    ),
    "a secret that looks like a tag": (
        GOOD.replace("s3cret-Value", "!s3cret-Value"),
        f"clopos.yml:4: brands[0].client_secret: {NO_TAG}\nclopos.yml:4: brands[0].client_secret: must not be empty",
    ),
    "a key that is not text": ("? [a]\n: b\n" + GOOD, "clopos.yml: a key must be plain text"),
    "a merge of something that is no mapping": (
        GOOD + "    <<: text",
        "clopos.yml:2: brands[0]: << must be followed by a mapping, as *name",
    ),
    "a key that would steer the terminal": (
        'state: {"\\e[2J": x}\n' + GOOD,
        "clopos.yml:1: state.'\\x1b[2J': is not known here, only journal_retention, path, url, url_file",
    ),
    "depth without end": ("a: " + "[" * 600, "clopos.yml: is nested too deeply"),
    "an alias to itself": ("brands: &a [*a]", "clopos.yml: is nested too deeply"),
    "a merge of itself": ("brands: &a [{<<: *a}]", "clopos.yml: is nested too deeply"),
    "a billion laughs": (
        "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)),
        "clopos.yml: holds more than 50000 values",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_file_is_named(mistake: str) -> None:
    text, expected = MISTAKES[mistake]
    assert "\n".join(faults(text)) == expected
    assert "s3cret-Value" not in expected


def test_all_mistakes_are_named_at_once_in_reading_order() -> None:
    text = """\
        poll_interval: 30
        stale_afterr: 5m
        brands:
          - brand: tandir-group
            client_secret_file: nowhere
            base_url: clopos
          - brand: tandir-group
            tokn: eyJ
        state: {path: x, journal_retention: forever}
        """
    Path("clopos.yml").write_text(dedent(text))
    with pytest.raises(ConfigError) as caught:
        load(Path("clopos.yml"), {"CLOPOS_STALE_AFTER": "1"})
    assert [fault.place for fault in caught.value.faults] == [
        "CLOPOS_STALE_AFTER",
        "clopos.yml:1: poll_interval",
        "clopos.yml:2: stale_afterr",
        "clopos.yml:4: brands[0].client_id",
        "clopos.yml:4: brands[0].integrator_id",
        "clopos.yml:5: brands[0].client_secret_file",
        "clopos.yml:6: brands[0].base_url",
        "clopos.yml:7: brands[1].brand",
        "clopos.yml:7: brands[1].client_id",
        "clopos.yml:7: brands[1].client_secret",
        "clopos.yml:7: brands[1].integrator_id",
        "clopos.yml:8: brands[1].tokn",
        "clopos.yml:9: state.journal_retention",
    ]


def test_a_file_that_is_absent_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^nowhere\.yml: cannot be read: No such file or directory$"):
        load(Path("nowhere.yml"), {})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\xff", "cannot be read: it is no text file"),
        (b"x" * 70_000, "cannot be read: it is too large"),
    ],
    ids=["blank", "BOM", "binary", "large"],
)
def test_a_useless_secret_file_is_named(content: bytes, why: str) -> None:
    Path("secret").write_bytes(content)
    assert faults("brands:\n  - brand: b\n    token_file: secret") == [
        f"clopos.yml:3: brands[0].token_file: the file {why}"
    ]


def test_a_named_pipe_as_secret_file_is_refused_instead_of_waited_for() -> None:
    os.mkfifo("secret")
    assert faults("brands:\n  - brand: b\n    token_file: secret") == [
        "clopos.yml:3: brands[0].token_file: the file cannot be read: it is no regular file"
    ]


def test_a_misspelt_variable_of_a_flag_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {**LOGIN, "CLOPOS_EXPORTER_WEB_CONFG_FILE": "web.yml"}, flag_variables=VARIABLES)
    assert str(caught.value) == (
        "CLOPOS_EXPORTER_WEB_CONFG_FILE: is not known: did you mean CLOPOS_EXPORTER_WEB_CONFIG_FILE?"
    )


def test_a_brand_of_the_environment_that_the_file_does_not_have_is_a_fault() -> None:
    text = "brands:\n  - {brand: a, token: eyJ}"
    assert faults(text, {"CLOPOS_BRAND": "my-brand", "CLOPOS_TOKEN": "eyK"}) == [
        "CLOPOS_BRAND: the file has no brand 'my-brand': add it there, or unset CLOPOS_BRAND"
    ]


def test_nothing_configured_shows_both_ways() -> None:
    assert faults(None) == [f"environment: {NO_BRAND}"]
    assert "CLOPOS_CLIENT_ID" in NO_BRAND
    assert "--config.file" in NO_BRAND


LOGIN = {"CLOPOS_BRAND": "b", "CLOPOS_CLIENT_ID": "i", "CLOPOS_CLIENT_SECRET": "s", "CLOPOS_INTEGRATOR_ID": "n"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {**LOGIN, "CLOPOS_CLIENT_SECRET": " "},
            "CLOPOS_CLIENT_SECRET: is missing: give it, or the path of a file with it, or a ready token",
        ),
        ({**LOGIN, "CLOPOS_BRAND": ""}, "CLOPOS_BRAND: is missing"),
        (
            {**LOGIN, "CLOPOS_TOKEN": "eyJ"},
            "CLOPOS_TOKEN: is used as it is, without a login: remove it, or remove client_secret",
        ),
        (
            {**LOGIN, "CLOPOS_CLIENT_SECRET_FILE": "x"},
            "CLOPOS_CLIENT_SECRET_FILE: client_secret is given as well: keep one of the two",
        ),
        (
            {"CLOPOS_TOKEN_FILE": "nowhere"},
            "CLOPOS_TOKEN_FILE: the file cannot be read: No such file or directory",
        ),
        ({**LOGIN, "CLOPOS_VENUE_ID": "7, 8, 7"}, "CLOPOS_VENUE_ID: venue '7' is there already, as venues[0]"),
        ({**LOGIN, "CLOPOS_VENUE_ID": ","}, "CLOPOS_VENUE_ID: must not be empty"),
        (
            {**LOGIN, "CLOPOS_POLL_INTERVAL": "30"},
            "CLOPOS_POLL_INTERVAL: '30' has no unit: use a duration such as 30s, 5m or 1h30m",
        ),
        (
            {**LOGIN, "CLOPOS_OPENING_HOURS": "24/7"},
            "CLOPOS_TIME_ZONE: is missing: opening_hours need it, such as Asia/Baku",
        ),
        (
            {**LOGIN, "CLOPOS_CLIENT_SECRT": "s3cret-Value"},
            "CLOPOS_CLIENT_SECRT: is not known: did you mean CLOPOS_CLIENT_SECRET?",
        ),
        ({**LOGIN, "CLOPOS_VENUES": "7"}, "CLOPOS_VENUES: is not known: did you mean CLOPOS_VENUE_ID?"),
        (
            {**LOGIN, "CLOPOS_TOTAL_SHARDS": "3", "HOSTNAME": "pc"},
            "CLOPOS_TOTAL_SHARDS: needs --shard as well: POD_NAME or HOSTNAME, 'pc', is not a pod's that ends in -N",
        ),
        ({**LOGIN, "CLOPOS_CLIENT_SECRET": "\udcff"}, "CLOPOS_CLIENT_SECRET: must be one line of plain text"),
    ],
)
def test_a_mistake_in_the_environment_is_named_by_its_variable(environ: dict[str, str], expected: str) -> None:
    assert faults(None, environ) == [expected]


def test_a_mistake_in_a_flag_is_named_by_the_flag() -> None:
    assert faults(None, LOGIN, poll_interval="0s", total_shards=2, shard=2) == [
        f"--poll-interval: '0s' {OUT_OF_RANGE}",
        "--shard: must be below the number of shards, 2: the first is 0",
    ]


def test_the_environment_must_say_which_of_several_brands_it_means() -> None:
    text = "brands:\n  - {brand: a, token: eyJ}\n  - {brand: b, token: eyJ}"
    assert faults(text, {"CLOPOS_TIME_ZONE": "Asia/Baku"}) == [
        "CLOPOS_TIME_ZONE: the file has 2 brands: set CLOPOS_BRAND to the one that is meant"
    ]


def test_what_the_environment_replaces_is_named_by_its_variable() -> None:
    assert faults(GOOD + "    venues: [1, 2]", {"CLOPOS_VENUE_ID": "1 2"}) == [
        "CLOPOS_VENUE_ID: must be an id of letters, digits, - and _"
    ]


@pytest.mark.parametrize("key", ["poll_interval", "shard", "total_shards", "state"])
def test_endless_numbers_are_faults(key: str) -> None:
    assert faults(f"{key}: {'9' * 5000}\n" + GOOD, {"HOSTNAME": "x-" + "9" * 5000}) != []


@pytest.mark.parametrize(
    "text", ["brands: text", "brands: [text]", GOOD + "state: text", "brands: [[]]", "brands: [{venues: {}}]"]
)
def test_the_environment_over_a_broken_file_is_no_crash(text: str) -> None:
    assert faults(text, {"CLOPOS_CLIENT_ID": "i", "CLOPOS_STATE_PATH": "x"})


@pytest.mark.parametrize(
    ("address", "leaves"),
    [
        ("http://127.0.0.1:8080/v2", False),
        ("http://[::1]/v2", False),
        ("http://localhost/v2", False),
        ("https://clopos.example/v2", False),
        ("http://clopos.example/v2", True),
        ("http://10.0.0.1/v2", True),
        ("http://127.0.0.1.example.com/v2", True),
        ("HTTP://clopos.example/v2", True),
    ],
)
def test_credentials_leave_this_machine_encrypted_only(address: str, leaves: bool) -> None:  # noqa: FBT001
    text = GOOD + f"    base_url: {address}\n"
    if leaves:
        assert faults(text) == [f"clopos.yml:6: brands[0].base_url: {IN_CLEAR}"]
        assert faults(None, {"CLOPOS_BRAND": "b", "CLOPOS_TOKEN": "eyJ", "CLOPOS_BASE_URL": address}) == [
            f"CLOPOS_BASE_URL: {IN_CLEAR}"
        ]
        text += "    allow_insecure_base_url: true\n"
    Path("clopos.yml").write_text(text)
    assert load(Path("clopos.yml"), {}).brands[0].base_url == address
