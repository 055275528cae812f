"""The chart's values, their schema and their description belong together, and to the exporter's own settings."""

from __future__ import annotations

import json
from typing import Any

import yaml
from rendering import CHART

from exporter.config.settings import (
    FROM_FILE,
    Brand,
    Channel,
    HeartbeatSettings,
    IncidentSettings,
    NotificationSettings,
    Settings,
    State,
    VenueSettings,
)
from tools.chart_values import described, renewed

VALUES = CHART.joinpath("values.yaml").read_text()
SCHEMA = json.loads(CHART.joinpath("values.schema.json").read_text())["properties"]


def test_the_readme_shows_the_values_as_they_are() -> None:
    readme = CHART.joinpath("README.md").read_text()
    assert readme == renewed(readme)


def test_every_value_is_described() -> None:
    paths = {path for path, _ in described(VALUES)}

    def undescribed(values: dict[str, Any], path: tuple[str, ...] = ()) -> list[str]:
        inside = [((*path, key), value) for key, value in values.items() if (*path, key) not in paths]
        return [
            name
            for way, value in inside
            for name in (undescribed(value, way) if value and isinstance(value, dict) else [".".join(way)])
        ]

    assert undescribed(yaml.safe_load(VALUES)) == []


def test_the_schema_knows_exactly_the_values_there_are() -> None:
    for key, value in yaml.safe_load(VALUES).items():
        known = SCHEMA[key].get("properties")
        if known and key not in ("config", "heartbeat"):
            assert known.keys() == value.keys(), key
    assert SCHEMA.keys() - yaml.safe_load(VALUES).keys() == {"enabled"}


def test_the_schema_knows_exactly_the_exporters_settings() -> None:
    sharded_by_the_chart = {"shard", "total_shards", "brands"}
    config = SCHEMA["config"]["properties"]
    with_values_of_their_own = {"heartbeat", "notifications"}
    assert config.keys() == Settings.model_fields.keys() - sharded_by_the_chart - with_values_of_their_own
    assert config["state"]["properties"].keys() == State.model_fields.keys() - {"url"} | {"url_file"}
    brand = SCHEMA["brands"]["items"]["properties"]
    files = {f"{key}_file" for key in FROM_FILE}
    assert brand.keys() == Brand.model_fields.keys() | files | {"existingSecret", "secretKeys"}
    assert set(brand["secretKeys"]["propertyNames"]["enum"]) == set(FROM_FILE)
    override = brand["venue_overrides"]["additionalProperties"]["properties"]
    assert override.keys() == VenueSettings.model_fields.keys()
    secret = {"url", "url_file", "existingSecret", "secretKey"}
    assert SCHEMA["heartbeat"]["properties"].keys() == HeartbeatSettings.model_fields.keys() | secret
    assert SCHEMA["notifications"]["properties"].keys() == NotificationSettings.model_fields.keys()
    channel = SCHEMA["notifications"]["properties"]["channels"]["items"]["properties"]
    assert channel.keys() == Channel.model_fields.keys() | secret
    assert config["incidents"]["properties"].keys() == IncidentSettings.model_fields.keys()
