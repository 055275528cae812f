"""The daemon from its start to its end, with everything in order."""

from __future__ import annotations

import gzip
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Exporter, Samples, Start, brand_section, configuration, run, station_labels

from exporter.simulator import Simulator, World

BRAND = "openapitest"
VENUE = {"brand", "venue_id", "venue"}
STATION = VENUE | {"station_id", "station", "kind"}

CONTRACT = {
    "clopos_station_active": STATION,
    "clopos_station_printable": STATION,
    "clopos_station_created_timestamp_seconds": STATION,
    "clopos_station_updated_timestamp_seconds": STATION,
    "clopos_station_last_transition_timestamp_seconds": STATION,
    "clopos_station_ignored": STATION,
    "clopos_stations": VENUE | {"kind"},
    "clopos_stations_active": VENUE | {"kind"},
    "clopos_stations_printable": VENUE | {"kind"},
    "clopos_station_transitions_total": VENUE | {"kind", "to"},
    "clopos_venue_up": VENUE,
    "clopos_venue_last_success_timestamp_seconds": VENUE,
    "clopos_venue_poll_interval_seconds": VENUE,
    "clopos_venue_poll_duration_seconds": VENUE,
    "clopos_venue_polls_total": VENUE,
    "clopos_venue_poll_failures_total": VENUE,
    "clopos_venue_open": VENUE,
    "clopos_venue_next_open_timestamp_seconds": VENUE,
    "clopos_venue_next_close_timestamp_seconds": VENUE,
    "clopos_brand_up": {"brand"},
    "clopos_exporter_build_info": {"version", "revision", "python_version"},
    "clopos_exporter_api_requests_total": {"brand", "endpoint", "code"},
    "clopos_exporter_api_request_duration_seconds_bucket": {"endpoint", "le"},
    "clopos_exporter_api_request_duration_seconds_count": {"endpoint"},
    "clopos_exporter_api_request_duration_seconds_sum": {"endpoint"},
    "clopos_exporter_poll_failures_total": {"brand", "reason"},
    "clopos_exporter_api_quota_limit": {"brand"},
    "clopos_exporter_api_quota_remaining": {"brand"},
    "clopos_exporter_token_expiry_timestamp_seconds": {"brand"},
    "clopos_exporter_poll_lag_seconds": {"brand"},
    "clopos_exporter_config_last_reload_successful": set[str](),
    "clopos_exporter_config_last_reload_success_timestamp_seconds": set[str](),
    "clopos_exporter_store_up": set[str](),
    "clopos_exporter_log_up": set[str](),
    "clopos_exporter_brand_owned": {"brand"},
    "clopos_venue_open_seconds_total": VENUE,
    "clopos_exporter_shard_ordinal": set[str](),
    "clopos_exporter_total_shards": set[str](),
}
BEYOND_THE_CONTRACT = {
    "clopos_station_inactive_since_timestamp_seconds": STATION,
    "clopos_exporter_polls_skipped_total": {"brand"},
    "clopos_exporter_unusable_rows_total": {"brand"},
}


def everything_on(simulator: Simulator) -> dict[str, object]:
    """Configure all that brings metrics of its own."""
    brand = brand_section(simulator, BRAND, opening_hours="Mo-Su 10:00-02:00", time_zone="Asia/Baku")
    brand["venue_overrides"] = {"1": {"ignore_stations": ["4"]}}
    return configuration(simulator, brands=[brand], state={"path": "state.db"})


@pytest.fixture(scope="module")
def full_scrape(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A scrape in which every metric has something to say."""
    with (
        Simulator(World.generate(venues=2, stations=4)) as simulator,
        Exporter(tmp_path_factory.mktemp("full"), everything_on(simulator)) as exporter,
    ):
        simulator.world.serve_raw(BRAND, "2", "1", '{"name":"No id"}')
        exporter.until_ready()
        simulator.world.set_status(BRAND, "1", "3", 0)
        exporter.until_event("station.deactivated")
        simulator.faults.add("server_error", endpoint="stations")
        exporter.until(lambda: exporter.metrics().names >= {*CONTRACT, *BEYOND_THE_CONTRACT}, "all metrics")
        return exporter.get("/metrics").text


def test_the_metrics_of_the_contract_are_served_with_its_labels_and_no_others(full_scrape: str) -> None:
    samples = Samples(full_scrape)
    names = [name for name in samples.names if name.startswith("clopos_")]
    served = {name: {frozenset(labels) for labels, _ in samples.all(name)} for name in names}
    assert served == {name: {frozenset(labels)} for name, labels in {**CONTRACT, **BEYOND_THE_CONTRACT}.items()}
    assert {"process_resident_memory_bytes", "process_start_time_seconds", "python_info"} <= samples.names


def test_promtool_finds_nothing_to_say(full_scrape: str, program: Callable[..., str]) -> None:
    check = [program("promtool"), "check", "metrics"]
    done = subprocess.run(check, input=full_scrape, capture_output=True, check=False, encoding="utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_the_first_complete_scrape_follows_the_start_at_once(simulator: Simulator, start: Start) -> None:
    exporter = start()
    began = time.monotonic()
    exporter.until(lambda: len(exporter.metrics().all("clopos_station_active")) == 8, "every station")
    assert time.monotonic() - began < 5, "a second is the aim, the rest is for a busy machine"
    samples = exporter.metrics()
    for venue in ("1", "2"):
        assert samples.value("clopos_venue_up", brand=BRAND, venue_id=venue) == 1
        for station in ("1", "2", "3", "4"):
            assert samples.value("clopos_station_active", **station_labels(simulator, BRAND, venue, station)) == 1
    assert not exporter.events("station."), "what was there before we looked is no news"
    assert not exporter.events("venue.")


def test_a_station_that_is_inactive_at_first_sight_is_reported_once(simulator: Simulator, start: Start) -> None:
    simulator.world.set_status(BRAND, "1", "2", 0)
    exporter = start()
    exporter.until_event("station.found_inactive")
    exporter.until_polled(2)
    assert len(exporter.events("station.")) == 1
    assert exporter.metrics().total("clopos_station_transitions_total") == 0


@pytest.mark.slow
def test_one_brand_needs_nothing_but_the_environment(simulator: Simulator, tmp_path: Path) -> None:
    env = {f"CLOPOS_{name.upper()}": value for name, value in simulator.credentials(BRAND).items()}
    env |= {"CLOPOS_BASE_URL": simulator.url, "CLOPOS_POLL_INTERVAL": "1s"}
    with Exporter(tmp_path, env=env) as exporter:
        exporter.until_ready()
        samples = exporter.until_value(1, "clopos_brand_up", brand=BRAND)
        assert len(samples.all("clopos_station_active")) == 8


@pytest.mark.slow
def test_a_ready_token_needs_no_login(simulator: Simulator, tmp_path: Path) -> None:
    env = {"CLOPOS_TOKEN": simulator.tokens.issue(BRAND)[0], "CLOPOS_BRAND": BRAND, "CLOPOS_BASE_URL": simulator.url}
    with Exporter(tmp_path, env=env) as exporter:
        exporter.until_ready()
        exporter.until_value(1, "clopos_brand_up", brand=BRAND)
    assert not simulator.traffic.entries(endpoint="auth")


@pytest.mark.slow
def test_listed_venues_are_the_only_ones_polled(simulator: Simulator, start: Start) -> None:
    brand = brand_section(simulator, BRAND, venues=[{"id": "2", "name": "Terrace"}])
    exporter = start(brands=[brand])
    exporter.until_ready(1)
    samples = exporter.metrics()
    assert samples.label_values("clopos_station_active", "venue") == {"Terrace"}
    assert {entry.venue for entry in simulator.traffic.entries(endpoint="stations")} == {"2"}


@pytest.mark.slow
def test_a_refused_venue_list_is_a_failure_and_the_default_venue_is_polled_all_the_same(
    simulator: Simulator, start: Start
) -> None:
    simulator.faults.add("forbidden", endpoint="venues")
    exporter = start()
    exporter.until_value(1, "clopos_venue_up", brand=BRAND)
    samples = exporter.until_value(0, "clopos_brand_up", brand=BRAND)
    assert len(samples.all("clopos_station_active")) == 4


@pytest.mark.slow
def test_ready_waits_for_every_brand_and_says_for_which(simulator: Simulator, start: Start) -> None:
    fault = simulator.faults.add("hang", endpoint="auth")
    exporter = start()
    assert exporter.get("/-/healthy").status == 200
    answer = exporter.get("/-/ready")
    assert answer.status == 503
    assert BRAND in answer.text
    assert exporter.metrics().value("clopos_brand_up", brand=BRAND) is None
    exporter.stop()
    simulator.faults.clear(fault)
    exporter.start()
    exporter.until(lambda: exporter.get("/-/ready").status == 200, "ready")


@pytest.mark.slow
def test_the_health_check_asks_the_running_daemon(start: Start) -> None:
    exporter = start()
    flag = f"--web.listen-address={exporter.url.removeprefix('http://')}"
    answer = run("healthcheck", flag)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "healthy\n", "")
    exporter.stop()
    answer = run("healthcheck", flag)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: no answer from 127.0.0.1")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_time_while_clopos_hangs(simulator: Simulator, start: Start, number: signal.Signals) -> None:
    exporter = start()
    exporter.until_ready()
    simulator.faults.add("hang")
    seen = len(simulator.traffic.entries())
    exporter.until(lambda: len(simulator.traffic.entries()) > seen + 1, "requests that hang")
    assert exporter.stop(number) < 5
    assert [event["event"] for event in exporter.events()][-1] == "exporter.stopped"
    assert not exporter.events("venue.lost"), "the end of the process is no failure of Clopos"


def test_both_formats_and_gzip_say_the_same(start: Start) -> None:
    exporter = start(poll_interval="1h")
    exporter.until_ready()
    plain = exporter.get("/metrics", Accept="text/plain")
    packed = exporter.get("/metrics", Accept="text/plain", Accept_Encoding="gzip")
    open_ = exporter.get("/metrics", Accept="application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert open_.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert packed.headers["content-encoding"] == "gzip"

    def stations(samples: Samples) -> dict[str, list[tuple[dict[str, str], float]]]:
        return {name: samples.all(name) for name in samples.names if name.startswith("clopos_station_")}

    expected = stations(Samples(plain.text))
    assert len(expected["clopos_station_active"]) == 8
    assert stations(Samples(gzip.decompress(packed.body).decode())) == expected
    assert stations(Samples(open_.text, openmetrics=True)) == expected
    only = Samples(exporter.get("/metrics?name[]=clopos_venue_up&name[]=clopos_brand_up").text)
    assert only.names == {"clopos_venue_up", "clopos_brand_up"}


@pytest.mark.slow
def test_what_few_need_is_loaded_when_it_is_needed(start: Start) -> None:
    exporter = start(of={"env": {"PYTHONPROFILEIMPORTTIME": "1"}})
    exporter.until_ready()
    loaded = imported(exporter)
    assert "exporter.web.server" in loaded
    assert not loaded & {
        "apprise",  # notifications
        "babel",  # languages other than English
        "exporter.store.sqlite",  # state.path
        "exporter.web.api",
        "exporter.web.pages",
        "jinja2",
        "opening_hours",
        "psycopg",  # state.url
    }
    assert exporter.get("/nothing").status == 404
    assert "exporter.web.pages" not in imported(exporter)
    assert exporter.get("/").status == 200
    assert {"babel", "exporter.web.api", "jinja2"} <= imported(exporter)
    exporter.kill()  # its standard error is not empty


def imported(exporter: Exporter) -> set[str]:
    """Return the modules that a process has imported, which writes each to standard error."""
    return {line.rpartition("|")[2].strip() for line in exporter.errors.splitlines()}
