from __future__ import annotations

from typing import Any

from fakes import NOON, venue

from exporter.app import translate
from exporter.clopos.login import Credentials
from exporter.config.settings import Brand
from exporter.ignoring import IgnoreRule


def brand(**rest: Any) -> Brand:
    known = {"brand": "tandir-group", "client_id": "c", "client_secret": "s3cret", "integrator_id": "i"}
    return Brand.model_validate({**known, **rest})


def test_credentials_are_what_the_login_wants() -> None:
    assert translate.credentials(brand()) == Credentials("c", "s3cret", "tandir-group", "i")


def test_a_ready_token_stands_in_for_them() -> None:
    assert translate.credentials(brand(token="ready-made")) == "ready-made"


def test_all_venues_are_asked_for_where_none_are_listed() -> None:
    assert translate.listed_venues(brand(venues="all")) is None


def test_listed_venues_without_a_name_leave_it_to_clopos() -> None:
    assert translate.listed_venues(brand(venues=["1", {"id": "2", "name": "Mine"}])) == (
        venue("1", ""),
        venue("2", "Mine"),
    )


def test_the_rules_of_a_venue_are_its_own_before_the_brands() -> None:
    configured = brand(
        opening_hours="24/7",
        ignore_stations=["Test printer"],
        venue_overrides={"7": {"opening_hours": "off", "ignore_stations": [{"station": "3", "until": "2027-01-15"}]}},
    )
    rules = translate.rules(configured, "7", 300.0)
    assert rules.stale_after == 300.0
    assert rules.ignore[0] == IgnoreRule("Test printer")
    assert rules.ignore[1].station == "3"
    assert rules.hours is not None
    assert not rules.hours.at(NOON).is_open
    other = translate.rules(configured, "8", 300.0).hours
    assert other is not None
    assert other.at(NOON).is_open


def test_a_venue_without_hours_has_none() -> None:
    assert translate.rules(brand(), "7", 300.0).hours is None
