from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from fakes import NOON
from prometheus_client.parser import text_string_to_metric_families

from exporter import __version__
from exporter.metrics.telemetry import Telemetry
from exporter.model import BrandState, Incident, IncidentKind, Reason
from exporter.views import BrandView

BRAND = BrandView(BrandState("tandir-group", seen=True), 300, 299)


def made(brands: Iterable[BrandView] = (BRAND,), *, store_up: bool | None = True, **rest: Any) -> Telemetry:
    return Telemetry(lambda: brands, lambda: store_up, **rest)


def values(telemetry: Telemetry, name: str, *names: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a name by their label values, in the order of the labels' names."""
    text = telemetry.text(frozenset(names), openmetrics=False).decode()
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_requests_are_counted_by_brand_endpoint_and_code_and_timed_by_endpoint() -> None:
    telemetry = made()
    telemetry.requested("tandir-group", "stations", "200", 0.15)
    telemetry.requested("tandir-group", "stations", "200", 11.0)
    telemetry.requested("tandir-group", "auth", "error", 0.1)
    assert values(telemetry, "clopos_exporter_api_requests_total") == {
        ("tandir-group", "200", "stations"): 2.0,
        ("tandir-group", "error", "auth"): 1.0,
    }
    assert values(telemetry, "clopos_exporter_api_request_duration_seconds_count") == {("stations",): 2, ("auth",): 1}
    buckets = values(telemetry, "clopos_exporter_api_request_duration_seconds_bucket")
    assert buckets["stations", "0.2"] == 1
    assert buckets["stations", "8.0"] == 1, "the gateway's own 8 s has a bucket"
    assert buckets["stations", "12.0"] == 2


@pytest.mark.parametrize("reason", Reason)
def test_failures_are_counted_by_reason(reason: Reason) -> None:
    telemetry = made()
    telemetry.failed("tandir-group", reason)
    assert values(telemetry, "clopos_exporter_poll_failures_total") == {("tandir-group", reason.value): 1.0}


def test_rows_that_no_station_could_be_made_of_are_counted() -> None:
    telemetry = made()
    telemetry.unusable_row("tandir-group")
    assert values(telemetry, "clopos_exporter_unusable_rows_total") == {("tandir-group",): 1.0}


def test_a_refused_reload_shows_and_leaves_the_time_of_the_last_good_one() -> None:
    telemetry = made()
    telemetry.loaded(NOON)
    assert values(telemetry, "clopos_exporter_config_last_reload_successful") == {(): 1.0}
    telemetry.loaded(None)
    assert values(telemetry, "clopos_exporter_config_last_reload_successful") == {(): 0.0}
    assert values(telemetry, "clopos_exporter_config_last_reload_success_timestamp_seconds") == {(): NOON}


@pytest.mark.parametrize(("up", "expected"), [(True, {(): 1.0}), (False, {(): 0.0}), (None, {})])
def test_the_store_is_up_or_not_and_absent_without_a_state_path(
    up: bool | None,  # noqa: FBT001
    expected: dict[tuple[str, ...], float],
) -> None:
    assert values(made(store_up=up), "clopos_exporter_store_up") == expected


def test_brands_are_collected_anew_at_every_scrape() -> None:
    brands = [BRAND]
    telemetry = made(brands)
    assert values(telemetry, "clopos_brand_up") == {("tandir-group",): 1.0}
    brands.clear()
    assert values(telemetry, "clopos_brand_up") == {}


def test_a_brand_that_is_no_longer_watched_leaves_no_series() -> None:
    telemetry = made(())
    for brand in ("tandir-group", "other"):
        telemetry.requested(brand, "stations", "200", 0.1)
        telemetry.failed(brand, Reason.TIMEOUT)
        telemetry.unusable_row(brand)
    telemetry.forget("tandir-group")
    text = telemetry.text(frozenset(), openmetrics=False).decode()
    assert "tandir-group" not in text
    assert text.count('brand="other"') == 3


def test_the_build_and_the_shard_are_reported() -> None:
    telemetry = made(revision="abc123", shard=2, total_shards=4)
    [((python, revision, version), one)] = values(telemetry, "clopos_exporter_build_info").items()
    assert (version, revision, one) == (__version__, "abc123", 1.0)
    assert python.startswith("3.")
    assert values(telemetry, "clopos_exporter_shard_ordinal") == {(): 2.0}
    assert values(telemetry, "clopos_exporter_total_shards") == {(): 4.0}


def test_the_process_and_the_interpreter_are_there_and_no_created_series_are_there() -> None:
    telemetry = made()
    telemetry.requested("tandir-group", "stations", "200", 0.1)
    families = family_blocks_of(telemetry)
    assert {
        "process_resident_memory_bytes",
        "process_open_fds",
        "python_info",
        "python_gc_collections_total",
    } <= families
    assert not [name for name in families if name.endswith("_created")]


def family_blocks_of(telemetry: Telemetry) -> set[str]:
    return {
        line.split(" ")[2]
        for line in telemetry.text(frozenset(), openmetrics=False).decode().split("\n")
        if line.startswith("# TYPE ")
    }


def test_names_limit_the_text_to_their_samples() -> None:
    telemetry = made()
    assert values(telemetry, "clopos_brand_up", "clopos_brand_up") == {("tandir-group",): 1.0}
    assert values(telemetry, "clopos_exporter_store_up", "clopos_brand_up") == {}
    assert values(telemetry, "clopos_exporter_store_up", "clopos_exporter_store_up") == {(): 1.0}
    assert telemetry.text(frozenset({"nonsense"}), openmetrics=False) == b""
    assert telemetry.text(frozenset({"nonsense"}), openmetrics=True) == b"# EOF\n"


def test_openmetrics_ends_as_it_must() -> None:
    assert made().text(frozenset(), openmetrics=True).endswith(b"# EOF\n")


def test_incidents_that_share_all_labels_are_one_series_since_the_first_began() -> None:
    def incident(kind: IncidentKind, brand: str, began_at: float, **details: str) -> Incident:
        return Incident(kind, kind.severity, brand, began_at, fired_at=NOON, details=details)

    incidents = [
        incident(IncidentKind.CHANNEL_DOWN, "", NOON, channel="shift"),
        incident(IncidentKind.CHANNEL_DOWN, "", NOON - 60, channel="it"),
        incident(IncidentKind.MANY_VENUES_INACTIVE, "tandir-group", NOON - 30, edit="1.0"),
        incident(IncidentKind.MANY_VENUES_INACTIVE, "tandir-group", NOON, edit="2.0"),
    ]
    telemetry = made(incidents=lambda: incidents)
    lines = telemetry.text(frozenset(), openmetrics=False).decode().splitlines()
    series = [line.rpartition(" ")[0] for line in lines if line.startswith("clopos_incident")]
    assert len(series) == len(set(series)) == 4
    started = values(telemetry, "clopos_incident_started_timestamp_seconds")
    assert sorted(started.values()) == [NOON - 60, NOON - 30]


@pytest.mark.parametrize("expires_at", [NOON, None])
def test_the_end_of_the_certificate_is_served_where_there_is_one(expires_at: float | None) -> None:
    telemetry = made()
    name = "clopos_exporter_web_certificate_expiry_timestamp_seconds"
    assert values(telemetry, name) == {}
    telemetry.serve_certificate(lambda: expires_at)
    assert values(telemetry, name) == ({} if expires_at is None else {(): expires_at})
