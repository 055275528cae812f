"""Incidents, notifications, heartbeat and database: read from file and environment, their secrets masked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from textwrap import dedent

import pytest
from pydantic import SecretStr

from exporter.config import Settings, load, take_secrets
from exporter.config.settings import Channel, ListedVenue
from exporter.i18n import LANGUAGES
from exporter.model import Topic

BRAND = "brands: [{brand: tandir-group, token: eyJ-token-of-the-brand}]\n"
BOT = "tgram://123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/12315544"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def private(name: str, content: str | bytes) -> None:
    path = Path(name)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(0o600)


def loaded(text: str | None, environ: Mapping[str, str] | None = None) -> Settings:
    if text is None:
        return load(None, environ or {})
    private("clopos.yml", dedent(text))
    return load(Path("clopos.yml"), environ or {})


def warnings(text: str) -> list[str]:
    found: list[str] = []
    private("clopos.yml", dedent(text))
    load(Path("clopos.yml"), {}, on_warning=lambda fault: found.append(str(fault)))
    return found


def test_the_example_of_the_contract_is_understood() -> None:
    private("shift", BOT + "\n")
    private("heartbeat", "https://hc-ping.com/0a1b")
    settings = loaded(
        BRAND
        + """\
incidents:
  delay: 3m
notifications:
  group_wait: 10s
  repeat_interval: 4h
  max_age: 12h
  channels:
    - name: shift
      url_file: shift
      language: az
      topics: [stations, service]
      brands: [tandir-group]
      venues: [7, "8"]
heartbeat:
  url_file: heartbeat
  interval: 30s
"""
    )
    assert settings.incidents.delay == 180.0
    notifications = settings.notifications
    assert (notifications.group_wait, notifications.repeat_interval, notifications.max_age) == (10.0, 14400.0, 43200.0)
    assert notifications.channels == (
        Channel(
            name="shift",
            url=SecretStr(BOT),
            language="az",
            topics=(Topic.STATIONS, Topic.SERVICE),
            brands=("tandir-group",),
            venues=("7", "8"),
        ),
    )
    assert settings.heartbeat is not None
    assert settings.heartbeat.url == SecretStr("https://hc-ping.com/0a1b")
    assert settings.heartbeat.interval == 30.0


def test_without_a_word_nobody_is_notified_and_the_rest_has_the_defaults_of_the_contract() -> None:
    settings = loaded(BRAND)
    assert settings.incidents.delay == 120.0
    notifications = settings.notifications
    assert (notifications.group_wait, notifications.repeat_interval, notifications.max_age) == (30.0, None, 86400.0)
    assert (notifications.channels, settings.heartbeat, settings.state.url) == ((), None, None)


def test_reminders_can_be_switched_off_in_words() -> None:
    assert loaded(BRAND + "notifications: {repeat_interval: off}").notifications.repeat_interval is None


def test_a_channel_gets_news_of_stations_in_english_unless_it_says_otherwise() -> None:
    (channel,) = loaded(BRAND + f"notifications: {{channels: [{{name: a, url: '{BOT}'}}]}}").notifications.channels
    assert (channel.language, channel.topics, channel.brands, channel.venues) == ("en", (Topic.STATIONS,), None, None)


def test_every_language_there_is_can_be_chosen() -> None:
    for language in LANGUAGES:
        text = BRAND + f"notifications: {{channels: [{{name: a, url: '{BOT}', language: {language}}}]}}"
        assert loaded(text).notifications.channels[0].language == language


def test_one_restaurant_needs_no_file() -> None:
    private("heartbeat", "https://hc-ping.com/0a1b")
    settings = loaded(
        None,
        {
            "CLOPOS_TOKEN": "eyJ",
            "CLOPOS_NOTIFY_URL": BOT,
            "CLOPOS_NOTIFY_LANGUAGE": "ru",
            "CLOPOS_HEARTBEAT_URL_FILE": "heartbeat",
            "CLOPOS_STATE_URL": "postgresql://clopos:pa%20ss@db/clopos",
        },
    )
    assert settings.notifications.channels == (Channel(name="default", url=SecretStr(BOT), language="ru"),)
    assert settings.heartbeat is not None
    assert settings.heartbeat.url == SecretStr("https://hc-ping.com/0a1b")
    assert settings.state.url == SecretStr("postgresql://clopos:pa%20ss@db/clopos")


def test_the_environment_replaces_the_url_of_its_own_channel_and_leaves_others_alone() -> None:
    own = "{name: default, url_file: nowhere, language: az}"
    text = BRAND + f"notifications: {{channels: [{{name: shift, url: 'tgram://a/1'}}, {own}]}}"
    shift, changed = loaded(text, {"CLOPOS_NOTIFY_URL": BOT}).notifications.channels
    assert (shift.url, changed) == (
        SecretStr("tgram://a/1"),
        Channel(name="default", url=SecretStr(BOT), language="az"),
    )


def test_the_environment_replaces_a_url_that_the_file_keeps_elsewhere() -> None:
    text = BRAND + "heartbeat: {url_file: nowhere}\nstate: {url_file: nowhere}"
    environ = {"CLOPOS_HEARTBEAT_URL": "https://a.example/b", "CLOPOS_STATE_URL": "postgresql://u@db/name"}
    settings = loaded(text, environ)
    assert settings.heartbeat is not None
    assert settings.heartbeat.url == SecretStr("https://a.example/b")
    assert settings.state.url == SecretStr("postgresql://u@db/name")


def test_the_tokens_own_venue_can_be_asked_for_by_file_and_environment() -> None:
    own = (ListedVenue(id="default"),)
    assert loaded("brands: [{brand: b, token: eyJ, venues: default}]").brands[0].venues == own
    assert loaded(None, {"CLOPOS_TOKEN": "eyJ", "CLOPOS_VENUE_ID": "default"}).brands[0].venues == own


def test_a_byte_order_mark_is_no_part_of_a_secret() -> None:
    private("token", b"\xef\xbb\xbfeyJ-token\r\n")
    assert loaded("brands: [{brand: b, token_file: token}]").brands[0].token == SecretStr("eyJ-token")


def test_no_secret_is_seen_and_all_are_known_to_those_who_mask_them() -> None:
    settings = loaded(
        BRAND
        + f"""\
state: {{url: 'postgresql://clopos:pa%20ss-word@db/name'}}
notifications: {{channels: [{{name: shift, url: '{BOT}'}}]}}
heartbeat: {{url: https://hc-ping.com/0f1e2d3c-aaaa-bbbb-cccc-123456789abc}}
"""
    )
    secrets = (
        "eyJ-token-of-the-brand",
        "postgresql://clopos:pa%20ss-word@db/name",
        "pa%20ss-word",
        "pa ss-word",
        BOT,
        "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
        "https://hc-ping.com/0f1e2d3c-aaaa-bbbb-cccc-123456789abc",
        "0f1e2d3c-aaaa-bbbb-cccc-123456789abc",
    )
    assert set(secrets) <= set(settings.secrets)
    seen = repr(settings) + str(settings) + settings.model_dump_json() + str(settings.model_dump())
    assert [secret for secret in secrets if secret in seen] == []


def test_secrets_are_taken_out_of_the_environment_that_child_processes_inherit() -> None:
    environ = {"CLOPOS_TOKEN": "eyJ", "CLOPOS_NOTIFY_URL": BOT, "CLOPOS_BRAND": "b", "PATH": "/bin"}
    before = dict(environ)
    assert take_secrets(environ) == before
    assert environ == {"CLOPOS_BRAND": "b", "PATH": "/bin"}


YESTERDAY, TOMORROW = date.today() - timedelta(days=1), date.today() + timedelta(days=1)  # noqa: DTZ011 - a whole day off


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BRAND, []),
        (
            "stale_after: 50s\n" + BRAND,
            ["clopos.yml:1: stale_after: is less than two poll intervals: two poll intervals are in force instead"],
        ),
        ("stale_after: 1m\n" + BRAND, []),
        (
            "brands: [{brand: b, token: eyJ, requests_per_minute: 301}]",
            ["clopos.yml:1: brands[0].requests_per_minute: is more than the 300 that Clopos documents"],
        ),
        (
            "brands: [{brand: b, token: eyJ, base_url: 'http://10.0.0.1', allow_insecure_base_url: true}]",
            ["clopos.yml:1: brands[0].base_url: secrets and tokens travel in clear over http"],
        ),
        ("brands: [{brand: b, token: eyJ, base_url: 'http://[::1]:80'}]", []),
        ("brands: [{brand: b, token: eyJ, base_url: 'http://localhost.'}]", []),
        (
            BRAND + "notifications: {channels: [{name: a, url: 'json://10.0.0.1/x'}]}",
            ["clopos.yml:2: notifications.channels[0].url: messages travel in clear: use https"],
        ),
        (BRAND + "notifications: {channels: [{name: a, url: 'json://127.0.0.1/x'}]}", []),
        (
            BRAND + "heartbeat: {url: 'http://hc.example/x'}",
            ["clopos.yml:2: heartbeat.url: the address travels in clear: use https"],
        ),
        (
            f"brands: [{{brand: b, token: eyJ, ignore_stations: [Bar, {{station: x, until: {YESTERDAY}}}]}}]",
            [f"clopos.yml:1: brands[0].ignore_stations[1]: 'x' is ignored until {YESTERDAY}, which is over"],
        ),
        (f"brands: [{{brand: b, token: eyJ, ignore_stations: [{{station: Test, until: {TOMORROW}}}]}}]", []),
    ],
)
def test_what_is_accepted_and_probably_not_meant_is_a_warning(text: str, expected: list[str]) -> None:
    assert warnings(text) == expected


def test_a_secret_file_that_everybody_can_read_is_a_warning() -> None:
    private("token", "eyJ")
    text = "brands:\n  - brand: b\n    token_file: token"
    assert warnings(text) == []
    Path("token").chmod(0o644)
    assert warnings(text) == [
        "clopos.yml:3: brands[0].token_file: every user of this machine can read the file: chmod o-r"
    ]


def test_a_configuration_that_everybody_can_read_is_a_warning_if_it_holds_secrets() -> None:
    private("token", "eyJ")
    found: list[str] = []
    for text in (BRAND, "brands: [{brand: b, token_file: token}]"):
        private("clopos.yml", text)
        Path("clopos.yml").chmod(0o644)
        load(Path("clopos.yml"), {}, on_warning=lambda fault: found.append(str(fault)))
    assert found == ["clopos.yml: holds secrets, and every user of this machine can read it: chmod o-r"]
