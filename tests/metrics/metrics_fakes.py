"""Views to render, and what a scrape holds once it is parsed."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterable
from typing import Any

from fakes import NOON, venue
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from benchmarks.collector import ViewCollector
from exporter.metrics.families import BRAND_FAMILIES
from exporter.metrics.render import table
from exporter.metrics.telemetry import Telemetry
from exporter.model import EMPTY, BrandState, Kind, Opening, Outage, Reason, Station, StationState, Venue, VenueState
from exporter.views import BrandView, Scrape, VenueView

TEXT_ACCEPT = "text/plain"
OPENMETRICS_ACCEPT = "application/openmetrics-text;version=1.0.0"
ACCEPTS = [(TEXT_ACCEPT, ""), (OPENMETRICS_ACCEPT, ""), (TEXT_ACCEPT, "gzip"), (OPENMETRICS_ACCEPT, "gzip")]


def view(*stations: Station, of: Venue | None = None, stale: bool = False, **state: Any) -> VenueView:
    """Return the view of a venue after a complete poll; `state` replaces what the poll left."""
    station_state = {row.id: StationState(row, row.active, row.printable, NOON) for row in stations}
    known: dict[str, Any] = {
        "stations": station_state,
        "polls": 1,
        "last_success": NOON,
        "last_duration": 0.25,
        **state,
    }
    return VenueView(VenueState(of or venue(), **known), 30.0, stale)


class Brands(Telemetry):
    """The tail of a scrape as the pure families make it: the brands, and nothing about the process."""

    def __init__(self, views: Iterable[BrandView] = ()) -> None:
        super().__init__(lambda: self.views, lambda: None)
        self.views = list(views)
        self.asked = 0

    def text(self, names: frozenset[str], *, openmetrics: bool) -> bytes:  # noqa: ARG002
        self.asked += 1
        return table(BRAND_FAMILIES, self.views, openmetrics=openmetrics) + (b"# EOF\n" if openmetrics else b"")


def oracle(
    venues: Iterable[VenueView],
    brands: Iterable[BrandView] = (),
    names: frozenset[str] = frozenset(),
    *,
    openmetrics: bool,
) -> bytes:
    """Render views the slow and obvious way."""
    venues, brands = list(venues), list(brands)
    registry = CollectorRegistry(auto_describe=True)
    registry.register(ViewCollector(lambda: venues, lambda: brands))
    limited = registry.restricted_registry(names) if names else registry
    return bytes((generate_openmetrics if openmetrics else generate_latest)(limited))


def unpacked(scrape: Scrape) -> bytes:
    return gzip.decompress(scrape.body) if scrape.content_encoding == "gzip" else scrape.body


def samples(text: bytes, *, openmetrics: bool) -> dict[tuple[str, str, tuple[tuple[str, str], ...]], str]:
    """Parse a scrape to its samples, values as text so that NaN is like NaN. Fails where one comes twice."""
    parse = parse_openmetrics if openmetrics else parse_text
    found: dict[tuple[str, str, tuple[tuple[str, str], ...]], str] = {}
    for family in parse(text.decode()):
        for sample in family.samples:
            key = (family.type, sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"twice: {key}"
            assert sample.timestamp is None
            found[key] = "NaN" if math.isnan(sample.value) else repr(sample.value)
    return found


def family_blocks(text: bytes) -> list[str]:
    """Return the families in the order they begin in; fails where the lines of one are not contiguous."""
    order: list[str] = []
    for line in text.decode().removesuffix("# EOF\n").split("\n")[:-1]:
        if line.startswith("# TYPE "):
            order.append(line.split(" ")[2])
        elif not line.startswith("# HELP "):
            name = line.split("{")[0].split(" ")[0]
            assert name in (order[-1], f"{order[-1]}_total"), f"{name} stands within {order[-1]}"
    assert len(set(order)) == len(order)
    return order


# What hypothesis makes: names that hurt, and values at the edges

NASTY = st.text(
    st.one_of(
        st.sampled_from('"\\\n\r\t{},= #\u2028\u202e\x00\x7f\x85'),
        st.characters(exclude_categories=["Cs"]),
    ),
    min_size=1,
    max_size=8,
)
FLAGS = st.sampled_from([True, False, None])
NUMBERS = st.one_of(
    st.none(),
    st.floats().map(lambda number: number + 0.0),  # -0.0 is written as 0.0, which it equals
    st.sampled_from([0.0, 1.0, 1e21, 1e-9, 123456789.0, 1.7e9]),
)
STATIONS = st.builds(
    Station,
    id=NASTY,
    name=NASTY,
    kind=st.sampled_from(Kind),
    active=FLAGS,
    printable=FLAGS,
    created_at=NUMBERS,
    updated_at=NUMBERS,
)
STATION_STATES = st.builds(
    StationState, STATIONS, FLAGS, FLAGS, st.just(NOON), last_transition=NUMBERS, missing=st.integers(0, 1)
)
OUTAGES = st.one_of(st.none(), st.just(Outage(NOON, Reason.TIMEOUT, "late")))
COUNTS = st.integers(0, 10**15)


@st.composite
def venue_views(draw: st.DrawFn, key: tuple[str, str] | None = None) -> VenueView:
    brand, id_ = key or (draw(NASTY), draw(NASTY))
    rows = draw(st.one_of(st.none(), st.lists(STATION_STATES, max_size=4, unique_by=lambda one: one.station.id)))
    stations = None if rows is None else {station_state.station.id: station_state for station_state in rows}
    state = VenueState(
        Venue(brand, id_, draw(NASTY)),
        stations,
        draw(st.dictionaries(st.tuples(st.sampled_from(Kind), st.booleans()), COUNTS, max_size=3)) or EMPTY,
        polls=draw(COUNTS),
        failures=draw(COUNTS),
        last_success=draw(NUMBERS),
        last_duration=draw(NUMBERS),
        outage=draw(OUTAGES),
    )
    ids = sorted(stations or {})
    return VenueView(
        state,
        draw(st.floats(0, 1e6)),
        draw(st.booleans()),
        frozenset(draw(st.lists(st.sampled_from(ids))) if ids else ()),
        draw(st.one_of(st.none(), st.builds(Opening, st.booleans(), NUMBERS, NUMBERS))),
    )


@st.composite
def brand_views(draw: st.DrawFn) -> BrandView:
    state = BrandState(draw(NASTY), login_outage=draw(OUTAGES), outage=draw(OUTAGES), seen=draw(st.booleans()))
    number = st.one_of(st.none(), st.integers(-(10**9), 10**9))
    return BrandView(state, draw(number), draw(number), draw(NUMBERS), draw(NUMBERS), draw(COUNTS), draw(NUMBERS))


VENUES = st.lists(venue_views(), max_size=3, unique_by=lambda view: view.state.venue.key)
BRANDS = st.lists(brand_views(), max_size=2, unique_by=lambda view: view.state.brand)
