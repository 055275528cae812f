"""The configuration reference and its schema are what the settings say."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs
import pytest
import yaml

from exporter.config import environment
from exporter.config.load import SECTIONS, load
from tools.configuration import KEYS, PAGE, SCHEMA, page, schema

EXAMPLE = """\
poll_interval: 30s
brands:
  - brand: tandir-group
    client_id: "..."
    client_secret_file: /run/secrets/tandir
    integrator_id: "..."
    requests_per_minute: 240
    venues: [1, {id: "7", name: Centre}]
    time_zone: Asia/Baku
    opening_hours: "Mo-Su 10:00-02:00"
    ignore_stations: [Test, {station: Bar, until: "2026-12-31"}]
    venue_overrides:
      "7": {opening_hours: "Fr-Su 12:00-04:00", ignore_stations: ["Test printer"]}
state:
  path: ./clopos-exporter.db
incidents:
  delay: 2m
notifications:
  group_wait: 30s
  repeat_interval: off
  max_age: 24h
  channels:
    - name: shift
      url_file: /run/secrets/shift
      language: az
      topics: [stations]
      brands: [tandir-group]
heartbeat:
  url_file: /run/secrets/heartbeat
"""


def faults(text: str) -> list[str]:
    validator = jsonschema_rs.validator_for(json.loads(schema()))
    return [str(error.message) for error in validator.iter_errors(yaml.safe_load(text))]


def test_both_files_are_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"
    assert SCHEMA.read_text() == schema(), "run `make docs`"


def test_every_key_and_variable_is_described_and_none_that_does_not_exist() -> None:
    fields = {f"{section}.{name}".strip(".") for section, (model, _) in SECTIONS.items() for name in model.model_fields}
    assert fields == KEYS.keys()
    variables = {*environment.SETTINGS, *environment.BRAND, *environment.CHANNEL}
    assert variables <= set(re.findall(r"`(CLOPOS_\w+)`", page()))


def test_an_editor_accepts_the_example_of_the_contract() -> None:
    assert faults(EXAMPLE) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("poll_interval: 30s", "poll_intervall: 30s"),
        ("poll_interval: 30s", "poll_interval: 30"),
        ("poll_interval: 30s", "poll_interval: 30 seconds"),
        ("language: az", "language: tr"),
        ("delay: 2m", "dealy: 2m"),
        ("venues: [1", "venues: [{nmae: x}, 1"),
    ],
)
def test_an_editor_marks_a_mistake(right: str, wrong: str) -> None:
    assert len(faults(EXAMPLE.replace(right, wrong))) == 1


def test_what_the_editor_accepts_the_exporter_accepts(tmp_path: Any) -> None:
    for name in ("tandir", "shift", "heartbeat"):
        (tmp_path / name).write_text("https://a.example/x")
    path = tmp_path / "clopos.yml"
    path.write_text(EXAMPLE.replace("/run/secrets/", f"{tmp_path}/"))
    assert load(path, {}).notifications.channels[0].name == "shift"
