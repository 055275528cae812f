"""The same families as a plain prometheus-client collector: slow, obvious, and what the fast path is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exporter.metrics.families import BRAND_FAMILIES, VENUE_FAMILIES, Family
from exporter.views import BrandView, VenueView

View = TypeVar("View")


class ViewCollector(Collector):
    """Collect every family from the views."""

    def __init__(self, venues: Callable[[], Iterable[VenueView]], brands: Callable[[], Iterable[BrandView]]) -> None:
        self._venues, self._brands = venues, brands

    def collect(self) -> Iterator[Metric]:
        """Return the families one by one."""
        venues, brands = list(self._venues()), list(self._brands())
        for venue_family in VENUE_FAMILIES:
            yield collect(venue_family, venues)
        for brand_family in BRAND_FAMILIES:
            yield collect(brand_family, brands)


def collect(family: Family[View], views: Iterable[View]) -> Metric:
    """Make one family's metric from the views."""
    kind = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.scope.label_names)
    for view in views:
        for row in family.scope.rows(view):
            value = family.value(row.subject)
            if value is not None:
                metric.add_metric(row.labels, value)
    return metric
