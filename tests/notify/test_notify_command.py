"""`clopos-exporter notify`, and what `check` says of channels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from receivers import Service, Telegram, error

import exporter.notify.transport as transport_module
from exporter.app.notifications import TimeZones, channel_settings, routes
from exporter.cli import main
from exporter.config import load
from exporter.model import Incident, IncidentKind, Severity, Topic, Venue
from exporter.store import MemoryStore

TOKEN = Telegram.TOKEN
BRAND = {"brand": "tandir-group", "client_id": "x", "client_secret": "x", "integrator_id": "x"}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("CLOPOS_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(transport_module, "_READ_SECONDS", 0.3)


def run(*arguments: str, env: dict[str, str | None] | None = None) -> Result:
    result = CliRunner().invoke(main, arguments, env=env)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def write(folder: Path, *channels: dict[str, Any], **brand: Any) -> str:
    path = folder / "clopos.yml"
    path.write_text(yaml.safe_dump({"brands": [BRAND | brand], "notifications": {"channels": list(channels)}}))
    return str(path)


def test_every_channel_gets_a_test_message_in_its_language(
    tmp_path: Path, service: Service, telegram: Telegram
) -> None:
    config = write(
        tmp_path,
        {"name": "shift", "url": telegram.url, "language": "az"},
        {"name": "it", "url": service.json_url},
        time_zone="Asia/Baku",
    )
    result = run("notify", "--config.file", config)
    assert (result.output, result.exit_code) == ("shift  ok: accepted\nit  ok: accepted\n", 0)
    (text,) = telegram.texts
    assert text.startswith("Test: “Test mətbəxi” stansiyası ")
    assert "UTC" not in text
    assert service.received[0]["title"].startswith("Test: Test kitchen has been inactive since ")


def test_a_channel_for_the_service_gets_a_test_message_about_the_service(tmp_path: Path, service: Service) -> None:
    config = write(tmp_path, {"name": "it", "url": service.json_url, "topics": ["service"]})
    assert run("notify", "--config.file", config).exit_code == 0
    assert service.received[0]["title"].startswith("Test: Clopos has been unreachable since ")


def test_no_brand_is_needed_to_try_a_channel(service: Service) -> None:
    result = run("notify", env={"CLOPOS_NOTIFY_URL": service.json_url})
    assert (result.output, result.exit_code) == ("default  ok: accepted\n", 0)


@pytest.mark.parametrize("shard", ["0", "1"])
def test_a_shard_without_a_brand_can_try_a_channel_too(tmp_path: Path, service: Service, shard: str) -> None:
    config = write(tmp_path, {"name": "it", "url": service.json_url})
    result = run("notify", "--config.file", config, env={"CLOPOS_SHARD": shard, "CLOPOS_TOTAL_SHARDS": "2"})
    assert (result.output, result.exit_code) == ("it  ok: accepted\n", 0)


def test_a_channel_can_be_chosen_and_the_end_be_tried(tmp_path: Path, service: Service, telegram: Telegram) -> None:
    config = write(tmp_path, {"name": "shift", "url": telegram.url}, {"name": "it", "url": service.json_url})
    result = run("notify", "--config.file", config, "--channel", "it", "--resolved")
    assert (result.output, result.exit_code) == ("it  ok: accepted\n", 0)
    assert telegram.seen == []
    assert service.received[0]["title"] == "Test: Test kitchen is active again, Test venue"


def test_what_did_not_work_is_said_for_each_channel_and_no_url_is_shown(
    tmp_path: Path, service: Service, telegram: Telegram
) -> None:
    telegram.answer_with(error(403, f"Forbidden: {TOKEN}"))
    config = write(
        tmp_path,
        {"name": "shift", "url": telegram.url},
        {"name": "broken", "url": f"tgram://{TOKEN}"},
        {"name": "it", "url": service.json_url},
    )
    result = run("notify", "--config.file", config)
    lines = result.output.splitlines()
    assert lines[0].startswith("shift  failed: HTTP 403: the service lets us not write there")
    assert lines[1].startswith("broken  failed: names no chat")
    assert lines[2] == "it  ok: accepted"
    assert result.exit_code == 1
    assert TOKEN.partition(":")[2] not in result.output


def test_one_restaurant_needs_no_file(telegram: Telegram) -> None:
    env = {f"CLOPOS_{key.upper()}": value for key, value in BRAND.items()}
    result = run("notify", env={**env, "CLOPOS_NOTIFY_URL": telegram.url, "CLOPOS_NOTIFY_LANGUAGE": "uz"})
    assert result.exit_code == 0, result.output
    assert telegram.texts[0].startswith("Sinov: “Sinov oshxonasi” stansiyasi ")


def test_without_a_channel_there_is_nothing_to_test(tmp_path: Path) -> None:
    result = run("notify", "--config.file", write(tmp_path))
    assert result.exit_code == 1
    assert "no channel is configured: set CLOPOS_NOTIFY_URL, or notifications.channels in a file" in result.output


def test_a_channel_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    config = write(tmp_path, {"name": "shift", "url": "json://127.0.0.1:1"})
    result = run("notify", "--config.file", config, "--channel", "shfit")
    assert result.exit_code == 1
    assert "there is no channel shfit, only shift" in result.output


def test_check_names_every_channel_that_cannot_work_and_sends_nothing(tmp_path: Path, service: Service) -> None:
    config = write(
        tmp_path,
        {"name": "shift", "url": f"tgram://{TOKEN}"},
        {"name": "it", "url": service.json_url},
        {"name": "boss", "url": "marked-service://marked-token"},
    )
    result = run("check", "--offline", "--config.file", config)
    assert result.exit_code == 1
    assert "notifications.channels[0].url: names no chat" in result.output
    assert "notifications.channels[2].url: the service 'marked-service' is not known" in result.output
    assert TOKEN not in result.output
    assert "marked-token" not in result.output
    assert service.seen == []


@pytest.mark.parametrize("command", [("check", "--offline"), ("serve",)])
def test_the_url_of_a_channel_is_named_with_its_line_beside_other_faults(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = tmp_path / "clopos.yml"
    path.write_text(
        "brands: [{brand: tandir-group, token: eyJ}]\n"
        "notifications:\n  channels:\n    - name: shift\n      url: foo://bar\n      colour: red\n"
    )
    result = run(*command, "--config.file", str(path))
    assert result.exit_code == 1
    assert f"{path}:5: notifications.channels[0].url: the service 'foo' is not known" in result.output
    assert f"{path}:6: notifications.channels[0].colour: is not known here" in result.output


def test_check_names_the_variable_of_a_url_that_cannot_work() -> None:
    env = {f"CLOPOS_{key.upper()}": value for key, value in BRAND.items()}
    result = run("check", "--offline", env={**env, "CLOPOS_NOTIFY_URL": f"tgram://{TOKEN}"})
    assert result.exit_code == 1
    assert "CLOPOS_NOTIFY_URL: names no chat" in result.output


def test_settings_become_routes_and_channels(tmp_path: Path) -> None:
    config = write(
        tmp_path,
        {"name": "shift", "url": "json://127.0.0.1:1", "venues": ["7"], "topics": ["stations", "service"]},
        {"name": "it", "url": "json://127.0.0.1:1", "brands": ["tandir-group"]},
    )
    settings = load(Path(config), {})
    shift, it = routes(settings)
    assert (shift.topics, shift.brands, shift.venues) == (frozenset(Topic), None, frozenset({"7"}))
    assert (it.topics, it.brands, it.venues) == (frozenset({Topic.STATIONS}), frozenset({"tandir-group"}), None)
    store = MemoryStore()
    again = load(Path(config), {})
    assert channel_settings(settings, store) == channel_settings(again, store), "a reload changes nothing"


@pytest.mark.parametrize(("venue_id", "zone"), [("7", "Asia/Tashkent"), ("8", "Asia/Baku"), (None, "Asia/Baku")])
def test_times_are_those_of_the_venue(tmp_path: Path, venue_id: str | None, zone: str) -> None:
    config = write(tmp_path, time_zone="Asia/Baku", venue_overrides={"7": {"time_zone": "Asia/Tashkent"}})
    zones = TimeZones(load(Path(config), {}).brands)
    venue = Venue("tandir-group", venue_id, "") if venue_id else None
    brand = "tandir-group" if venue else ""
    incident = Incident(IncidentKind.VENUE_DATA_STALE, Severity.WARNING, brand, 0.0, venue)
    assert str(zones(incident)) == zone
