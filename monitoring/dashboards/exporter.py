"""Exporter health: is the data fresh, what fails, what does it cost."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import BigValueTextMode

from monitoring.dashboards import kit
from monitoring.dashboards.kit import query

BRAND = '{brand=~"$brand"}'
OURS = "and on (job, instance) clopos_exporter_build_info"


def build() -> Dashboard:
    """Build the dashboard."""
    return (
        kit.page(
            "clopos-exporter",
            "Clopos / Exporter health",
            "Whether the data can be trusted: how fresh it is, what fails and why, and what the exporter itself costs.",
        )
        .with_variable(kit.brand(many=True))
        .with_panel(
            kit.number(
                "Brands reachable",
                "Login and venue discovery, by brand.",
                query(f"max by (brand) (clopos_brand_up{BRAND})", "{{brand}}", now=True),
                states=kit.YES,
                width=6,
            )
        )
        .with_panel(
            kit.number(
                "Venues readable",
                "The share of the venues whose last poll was complete.",
                query(f"avg(venue:clopos_venue_up:max{BRAND})", now=True),
                unit=units.PercentUnit,
            )
        )
        .with_panel(
            kit.number(
                "Oldest data",
                "The age of the data of the venue that was read longest ago.",
                query(f"time() - min(clopos_venue_last_success_timestamp_seconds{BRAND})", now=True),
                unit=units.Seconds,
            )
        )
        .with_panel(
            kit.number(
                "Configuration",
                "Whether the last reload was accepted, by exporter.",
                query("clopos_exporter_config_last_reload_successful", "{{instance}}", now=True),
                states={1: ("in force", kit.GREEN), 0: ("refused", kit.RED)},
            )
        )
        .with_panel(
            kit.number(
                "State",
                "Whether the state can be written, by exporter; nothing where it is kept in memory only.",
                query("clopos_exporter_store_up", "{{instance}}", now=True),
                states={1: ("written", kit.GREEN), 0: ("not written", kit.RED)},
            )
        )
        .with_panel(
            kit.number(
                "Version",
                "The version of each exporter.",
                query("count by (version) (clopos_exporter_build_info)", "{{version}}", now=True),
                width=2,
            ).text_mode(BigValueTextMode.NAME)
        )
        .with_row(Row("Freshness"))
        .with_panel(
            kit.lines(
                "Age of the data",
                "By brand, the venue that was read longest ago, and what the poll interval lets expect.",
                query(f"time() - min by (brand) (clopos_venue_last_success_timestamp_seconds{BRAND})", "{{brand}}"),
                query(f"max by (brand) (clopos_venue_poll_interval_seconds{BRAND})", "{{brand}} interval"),
                unit=units.Seconds,
            )
        )
        .with_panel(
            kit.lines(
                "Lateness of polls",
                "How late the newest poll of each brand started: more than a second means that workers or quota lack.",
                query(f"max by (brand) (clopos_exporter_poll_lag_seconds{BRAND})", "{{brand}}"),
                unit=units.Seconds,
            )
        )
        .with_row(Row("Failures"))
        .with_panel(
            kit.lines(
                "Failures by reason",
                "Polls and discoveries that failed, a minute.",
                query(
                    f"60 * sum by (brand, reason) (rate(clopos_exporter_poll_failures_total{BRAND}[$__rate_interval]))",
                    "{{brand}} {{reason}}",
                ),
                unit=units.OpsPerMinute,
                stacked=True,
            )
        )
        .with_panel(
            kit.lines(
                "Failed share of the polls",
                "Over an hour and over six; 1 % is the most that is meant to fail over a month.",
                query(f"brand:clopos_venue_poll_failures:ratio_rate1h{BRAND}", "{{brand}} 1h"),
                query(f"brand:clopos_venue_poll_failures:ratio_rate6h{BRAND}", "{{brand}} 6h"),
                unit=units.PercentUnit,
            )
        )
        .with_row(Row("Clopos' API"))
        .with_panel(
            kit.lines(
                "Requests by answer",
                "Requests to Clopos a minute, by endpoint and HTTP status; error is where there was none.",
                query(
                    f"60 * sum by (endpoint, code) (rate(clopos_exporter_api_requests_total{BRAND}[$__rate_interval]))",
                    "{{endpoint}} {{code}}",
                ),
                unit=units.OpsPerMinute,
                stacked=True,
            )
        )
        .with_panel(
            kit.lines(
                "Latency of the API",
                "How long requests took, pacing excluded: the median and the slowest hundredth, by endpoint.",
                *(
                    query(
                        f"histogram_quantile({quantile}, sum by (endpoint, le) "
                        "(rate(clopos_exporter_api_request_duration_seconds_bucket[$__rate_interval])))",
                        f"{{{{endpoint}}}} {name}",
                    )
                    for quantile, name in ((0.5, "median"), (0.99, "99 %"))
                ),
                unit=units.Seconds,
            )
        )
        .with_panel(
            kit.lines(
                "Quota left",
                "Requests that were left in the minute, and how many Clopos allows, by brand.",
                query(f"min by (brand) (clopos_exporter_api_quota_remaining{BRAND})", "{{brand}} left"),
                query(f"min by (brand) (clopos_exporter_api_quota_limit{BRAND})", "{{brand}} limit"),
            )
        )
        .with_panel(
            kit.lines(
                "Life of the token",
                "How long the token of each brand is still good; it is renewed before its end.",
                query(f"min by (brand) (clopos_exporter_token_expiry_timestamp_seconds{BRAND}) - time()", "{{brand}}"),
                unit=units.Seconds,
            )
        )
        .with_row(Row("Its own cost"))
        .with_panel(
            kit.lines(
                "CPU",
                "Processor time of each exporter; 100 % is one core.",
                query(f"rate(process_cpu_seconds_total[$__rate_interval]) {OURS}", "{{instance}}"),
                unit=units.PercentUnit,
                width=6,
            )
        )
        .with_panel(
            kit.lines(
                "Memory",
                "Resident memory of each exporter.",
                query(f"process_resident_memory_bytes {OURS}", "{{instance}}"),
                unit=units.BytesIEC,
                width=6,
            )
        )
        .with_panel(
            kit.lines(
                "Scrape duration",
                "How long Prometheus waited for /metrics.",
                query(f"scrape_duration_seconds {OURS}", "{{instance}}"),
                unit=units.Seconds,
                width=6,
            )
        )
        .with_panel(
            kit.lines(
                "Series",
                "Samples in a scrape of each exporter.",
                query(f"scrape_samples_scraped {OURS}", "{{instance}}"),
                width=6,
            )
        )
        .with_row(
            kit.logs_row(
                "What it says",
                kit.log(
                    "Warnings and errors",
                    "What the exporters logged that was not an event of a station, newest first.",
                    f'{kit.LOG} | json level="level", event="event" | level=~"warning|error" | event!~"station[.].+"',
                ),
            )
        )
    )
