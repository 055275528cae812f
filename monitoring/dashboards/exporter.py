"""Exporter health: is the data fresh, what fails, what does it cost."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import units

from monitoring.dashboards import kit
from monitoring.dashboards.kit import query

BRAND = '{brand=~"$brand"}'
OURS = "and on (job, instance) clopos_exporter_build_info"
# What is not about a brand is shown with every choice of brands.
ALERTS = 'audience="it",brand=~"$brand|"'


def build() -> Dashboard:
    """Build the dashboard."""
    return (
        kit.page(
            "clopos-exporter",
            "Whether the data can be trusted: how fresh it is, what fails and why, and what the exporter itself costs.",
        )
        .with_variable(kit.brand(many=True))
        .with_panel(
            kit.stat_panel(
                1,
                "Venues read",
                "The share of the venues whose last poll was complete.",
                query(f"avg(venue:clopos_venue_up:max{BRAND})", now=True),
                unit=units.PercentUnit,
                thresholds=kit.AVAILABILITY,
            )
        )
        .with_panel(
            kit.stat_panel(
                2,
                "Oldest data",
                "The age of the data of the venue that was read longest ago.",
                query(f"time() - min(clopos_venue_last_success_timestamp_seconds{BRAND})", now=True),
                unit=units.Seconds,
            )
        )
        .with_panel(
            kit.stat_panel(
                3,
                "Configuration",
                "Whether every exporter accepted its last reload.",
                query("min(clopos_exporter_config_last_reload_successful)", now=True),
                states={1: ("in force", kit.GREEN), 0: ("refused", kit.RED)},
            )
        )
        .with_panel(
            kit.stat_panel(
                4,
                "State",
                "Whether every exporter can write its state.",
                query("min(clopos_exporter_store_up)", now=True),
                states={1: ("written", kit.GREEN), 0: ("not written", kit.RED)},
                absent="in memory",
            )
        )
        .with_panel(
            kit.stat_panel(
                5,
                "Log",
                "Whether every exporter can write its log.",
                query("min(clopos_exporter_log_up)", now=True),
                states={1: ("written", kit.GREEN), 0: ("not written", kit.RED)},
            )
        )
        .with_panel(
            kit.stat_panel(
                6,
                "Notifications",
                "Whether every channel of the exporters that was used accepts messages.",
                query("min(clopos_exporter_notification_channel_up)", now=True),
                states={1: ("delivered", kit.GREEN), 0: ("failing", kit.RED)},
                absent="none yet",
            )
        )
        .with_panel(
            kit.table_panel(
                7,
                "Firing alerts",
                "The alerts for IT that fire now, the urgent ones first.",
                query(
                    f"1000 * max by (severity, alertname, brand, venue, venue_id, instance, channel) "
                    f'(ALERTS_FOR_STATE{{{ALERTS},alertname!="CloposWatchdog"}}\n'
                    f'and ignoring (alertstate) ALERTS{{{ALERTS},alertstate="firing"}})',
                    rows=True,
                ),
                kit.Column("severity", "Severity", width=85, states=kit.SEVERITIES),
                kit.Column("alertname", "Alert", width=250),
                kit.BRAND_COLUMN,
                kit.VENUE_COLUMN,
                kit.Column("channel", "Channel"),
                kit.Column("instance", "Exporter"),
                kit.Column("Value", "Since", width=130, unit=units.DateTimeFromNow),
                hidden=["venue_id"],
                sort=["Severity", "-Since"],
                absent="No alert for IT is known.",
                width=24,
                height=7,
            )
        )
        .with_panel(
            kit.table_panel(
                8,
                "Brands",
                "Which exporter polls each brand, and whether its login and the list of its venues work.",
                query(
                    "min by (brand, instance) "
                    f"(clopos_brand_up{BRAND} and on (job, instance, brand) clopos_exporter_brand_owned == 1)",
                    rows=True,
                ),
                kit.BRAND_COLUMN,
                kit.Column("Value", "Reachable", width=100, states=kit.YES),
                kit.Column("instance", "Polled by"),
                sort=["Reachable", "Brand"],
                absent="No exporter is known to poll a brand.",
                height=7,
            )
        )
        .with_panel(
            kit.table_panel(
                9,
                "Exporters",
                "The exporters that are scraped, and for how long each has been running.",
                query(
                    "1000 * process_start_time_seconds\n"
                    "* on (job, instance) group_left (version, python_version) clopos_exporter_build_info",
                    rows=True,
                ),
                kit.Column("instance", "Exporter"),
                kit.Column("version", "Version", width=100),
                kit.Column("python_version", "Python", width=90),
                kit.Column("Value", "Started", width=130, unit=units.DateTimeFromNow),
                sort=["Exporter"],
                absent="No exporter is scraped.",
                height=7,
            )
        )
        .with_row(kit.row(10, "Freshness"))
        .with_panel(
            kit.graph_panel(
                11,
                "Age of the data",
                "By brand, the venue that was read longest ago, and what the poll interval lets expect.",
                query(f"time() - min by (brand) (clopos_venue_last_success_timestamp_seconds{BRAND})", "{{brand}}"),
                query(f"max by (brand) (clopos_venue_poll_interval_seconds{BRAND})", "{{brand}} interval"),
                unit=units.Seconds,
            )
        )
        .with_panel(
            kit.graph_panel(
                12,
                "Lateness of polls",
                "How late the newest poll of each brand started: more than a second means that workers or quota lack.",
                query(f"max by (brand) (clopos_exporter_poll_lag_seconds{BRAND})", "{{brand}}"),
                unit=units.Seconds,
            )
        )
        .with_row(kit.row(13, "Failures"))
        .with_panel(
            kit.graph_panel(
                14,
                "Failures by reason",
                "Polls and discoveries that failed, a minute, by brand and reason.",
                query(
                    f"60 * sum by (brand, reason) (rate(clopos_exporter_poll_failures_total{BRAND}[$__rate_interval]))",
                    "{{brand}} {{reason}}",
                ),
                unit=kit.PER_MINUTE,
                stacked=True,
            )
        )
        .with_panel(
            kit.graph_panel(
                15,
                "Failed share of the polls",
                "Over an hour and over six; 1 % is the most that is meant to fail over a month.",
                query(f"brand:clopos_venue_poll_failures:ratio_rate1h{BRAND}", "{{brand}} 1h"),
                query(f"brand:clopos_venue_poll_failures:ratio_rate6h{BRAND}", "{{brand}} 6h"),
                unit=units.PercentUnit,
                most=1,
            )
        )
        .with_row(kit.row(16, "Clopos' API"))
        .with_panel(
            kit.graph_panel(
                17,
                "Requests by answer",
                "Requests to Clopos a minute, by endpoint and HTTP status; error is where there was none.",
                query(
                    f"60 * sum by (endpoint, code) (rate(clopos_exporter_api_requests_total{BRAND}[$__rate_interval]))",
                    "{{endpoint}} {{code}}",
                ),
                unit=kit.PER_MINUTE,
                stacked=True,
            )
        )
        .with_panel(
            kit.graph_panel(
                18,
                "Latency of the API",
                "How long requests took once they were sent: the median and the 99th percentile, by endpoint.",
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
            kit.graph_panel(
                19,
                "Quota left",
                "Requests that were left in the minute, and how many Clopos allows, by brand.",
                query(f"min by (brand) (clopos_exporter_api_quota_remaining{BRAND})", "{{brand}} left"),
                query(f"min by (brand) (clopos_exporter_api_quota_limit{BRAND})", "{{brand}} limit"),
            )
        )
        .with_panel(
            kit.graph_panel(
                20,
                "Life of the token",
                "How long the token of each brand is still good; it is renewed before its end.",
                query(
                    f"(min by (brand) (clopos_exporter_token_expiry_timestamp_seconds{BRAND}) - time()) / 60",
                    "{{brand}}",
                ),
                unit=kit.MINUTES,
            )
        )
        .with_row(kit.row(21, "Its own cost"))
        .with_panel(
            kit.graph_panel(
                22,
                "CPU",
                "Processor time of each exporter; 100 % is one core.",
                query(f"rate(process_cpu_seconds_total[$__rate_interval]) {OURS}", "{{instance}}"),
                unit=units.PercentUnit,
                width=6,
            )
        )
        .with_panel(
            kit.graph_panel(
                23,
                "Memory",
                "Resident memory of each exporter.",
                query(f"process_resident_memory_bytes {OURS}", "{{instance}}"),
                unit=units.BytesIEC,
                width=6,
            )
        )
        .with_panel(
            kit.graph_panel(
                24,
                "Scrape duration",
                "How long Prometheus waited for /metrics.",
                query(f"scrape_duration_seconds {OURS}", "{{instance}}"),
                unit=units.Seconds,
                width=6,
            )
        )
        .with_panel(
            kit.graph_panel(
                25,
                "Series",
                "Samples in a scrape of each exporter.",
                query(f"scrape_samples_scraped {OURS}", "{{instance}}"),
                width=6,
            )
        )
        .with_row(kit.row(26, "Notifications"))
        .with_panel(
            kit.graph_panel(
                27,
                "Messages waiting",
                "Messages that wait for delivery, by channel.",
                query("max by (channel) (clopos_exporter_notification_queue_length)", "{{channel}}"),
                absent="No channel is known.",
            )
        )
        .with_panel(
            kit.graph_panel(
                28,
                "Deliveries an hour",
                "What became of messages within the hour before, by channel and outcome.",
                query(
                    "sum by (channel, outcome) (increase(clopos_exporter_notifications_total[1h]))",
                    "{{channel}} {{outcome}}",
                ),
                absent="No channel is known.",
            )
        )
        .with_row(
            kit.logs_row(
                29,
                "What it says (needs Loki)",
                kit.log_panel(
                    30,
                    "Warnings and errors",
                    "What the exporters logged that was not an event of a station, newest first.",
                    kit.log_lines(
                        ["level"],
                        'level=~"warning|error|critical" | event!~"station[.].+"',
                        shown=["event", "brand", "venue", "reason", "message"],
                    ),
                ),
            )
        )
    )
