"""The process' own telemetry, and the brands: everything of the scrape that is not about a venue."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator

import prometheus_client
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.registry import Collector

from exporter import __version__
from exporter.metrics.families import BRAND_FAMILIES, INCIDENT_FAMILIES, NAN
from exporter.metrics.incidents import IncidentLines
from exporter.metrics.render import header, table
from exporter.model import Incident, Reason
from exporter.views import BrandView, ChannelState

_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 4.0, 8.0, 12.0, 20.0)


class Telemetry:
    """Count what the exporter itself does.

    `brands` returns the views of the brands, `store_up` whether the state can be written (None: nowhere to write it),
    `log_up` whether log events can, `incidents` those that fire, and `channels` the states of notification channels.
    """

    def __init__(
        self,
        brands: Callable[[], Iterable[BrandView]],
        store_up: Callable[[], bool | None],
        log_up: Callable[[], bool | None] = lambda: None,
        *,
        incidents: Callable[[], Iterable[Incident]] = tuple,
        channels: Callable[[], Iterable[ChannelState]] = tuple,
        revision: str = "",
        shard: int = 0,
        total_shards: int = 1,
    ) -> None:
        # When a counter began says nothing that process_start_time_seconds does not say.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._brands, self._incidents, self._incident_lines = brands, incidents, IncidentLines()
        self._registry = CollectorRegistry()
        self._serve("clopos_exporter_store_up", "Whether the state can be written to where it is kept.", store_up)
        self._serve("clopos_exporter_log_up", "Whether log events can be written.", log_up)
        self._registry.register(_Channels(channels))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._requests = Counter(
            "clopos_exporter_api_requests_total",
            "Requests sent to Clopos; code is the HTTP status, or error where there was none.",
            ("brand", "endpoint", "code"),
            registry=self._registry,
        )
        self._durations = Histogram(
            "clopos_exporter_api_request_duration_seconds",
            "How long requests to Clopos took, pacing excluded.",
            ("endpoint",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._failures = Counter(
            "clopos_exporter_poll_failures_total",
            "Polls and discoveries that failed, by reason.",
            ("brand", "reason"),
            registry=self._registry,
        )
        self._unusable = Counter(
            "clopos_exporter_unusable_rows_total",
            "Rows of Clopos without a usable id, which no station could be made of.",
            ("brand",),
            registry=self._registry,
        )
        self._reload_ok = Gauge(
            "clopos_exporter_config_last_reload_successful",
            "Whether the last load of the configuration succeeded.",
            registry=self._registry,
        )
        self._reload_at = Gauge(
            "clopos_exporter_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was loaded.",
            registry=self._registry,
        )
        Gauge(
            "clopos_exporter_build_info",
            "Which build this is; always 1.",
            ("version", "revision", "python_version"),
            registry=self._registry,
        ).labels(__version__, revision, platform.python_version()).set(1)
        Gauge("clopos_exporter_shard_ordinal", "Which shard this process is.", registry=self._registry).set(shard)
        Gauge("clopos_exporter_total_shards", "How many shards there are.", registry=self._registry).set(total_shards)

    def serve_certificate(self, expires_at: Callable[[], float | None]) -> None:
        """Serve when the certificate of the web listener ends, epoch seconds; None is plain HTTP."""
        name = "clopos_exporter_web_certificate_expiry_timestamp_seconds"
        self._serve(name, "When the certificate of the web listener ends.", expires_at)

    def requested(self, brand: str, endpoint: str, code: str, seconds: float) -> None:
        """Count a request to Clopos."""
        self._requests.labels(brand, endpoint, code).inc()
        self._durations.labels(endpoint).observe(seconds)

    def failed(self, brand: str, reason: Reason) -> None:
        """Count a poll or discovery that failed."""
        self._failures.labels(brand, reason.value).inc()

    def unusable_row(self, brand: str) -> None:
        """Count a row that no station could be made of."""
        self._unusable.labels(brand).inc()

    def loaded(self, at: float | None) -> None:
        """Note that a configuration was loaded at this wall time, or, with None, that it was refused."""
        self._reload_ok.set(at is not None)
        if at is not None:
            self._reload_at.set(at)

    def forget(self, brand: str) -> None:
        """Drop the series of a brand that is no longer watched."""
        for metric in (self._requests, self._failures, self._unusable):
            metric.remove_by_labels({"brand": brand})

    def text(self, names: frozenset[str], *, openmetrics: bool) -> bytes:
        """Render everything, limited to these names if there are any, with `# EOF` at the end in OpenMetrics."""
        registry = self._registry.restricted_registry(names) if names else self._registry
        families = [family for family in BRAND_FAMILIES if not names or family.name in names]
        brands = table(families, self._brands(), openmetrics=openmetrics)
        for family, samples in zip(INCIDENT_FAMILIES, self._incident_lines.columns(self._incidents()), strict=True):
            if not names or family.name in names:
                brands += header(family, openmetrics=openmetrics) + samples
        if openmetrics:
            return brands + bytes(openmetrics_exposition.generate_latest(registry))  # type: ignore[no-untyped-call]
        return brands + generate_latest(registry)

    def _serve(self, name: str, help_: str, value: Callable[[], float | None]) -> None:
        """Serve a gauge whose value is read at each scrape; where there is none at the start, there never will be."""
        if value() is not None:
            Gauge(name, help_, registry=self._registry).set_function(lambda: NAN if (now := value()) is None else now)


class _Channels(Collector):
    """Collect the states of the notification channels."""

    def __init__(self, channels: Callable[[], Iterable[ChannelState]]) -> None:
        self._channels = channels

    def describe(self) -> Iterator[Metric]:
        """Return the families without samples."""
        return self._families(())

    def collect(self) -> Iterator[Metric]:
        """Return the families that have samples."""
        return (family for family in self._families(tuple(self._channels())) if family.samples)

    @staticmethod
    def _families(channels: Iterable[ChannelState]) -> Iterator[Metric]:
        sent = CounterMetricFamily(
            "clopos_exporter_notifications", "Notifications, by channel and outcome.", labels=("channel", "outcome")
        )
        waiting = GaugeMetricFamily(
            "clopos_exporter_notification_queue_length", "Notifications that wait for delivery.", labels=("channel",)
        )
        oldest = GaugeMetricFamily(
            "clopos_exporter_notification_oldest_timestamp_seconds",
            "Since when the oldest waiting notification waits; absent when nothing does.",
            labels=("channel",),
        )
        up = GaugeMetricFamily(
            "clopos_exporter_notification_channel_up",
            "Whether the channel accepts messages: 0 after deliveries kept failing; absent before the first.",
            labels=("channel",),
        )
        for channel in channels:
            for outcome, count in channel.counts.items():
                sent.add_metric((channel.name, outcome), count)
            waiting.add_metric((channel.name,), channel.queue_length)
            if channel.oldest_at is not None:
                oldest.add_metric((channel.name,), channel.oldest_at)
            if channel.up is not None:
                up.add_metric((channel.name,), channel.up)
        yield from (sent, waiting, oldest, up)
