"""The fast path against the slow and obvious one: for any state both give the same samples."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from fakes import FakeClock, station, venue
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_fakes import (
    ACCEPTS,
    BRANDS,
    OPENMETRICS_ACCEPT,
    TEXT_ACCEPT,
    VENUES,
    Brands,
    family_blocks,
    oracle,
    samples,
    unpacked,
    venue_views,
    view,
)

from exporter.metrics.exposition import Exposition
from exporter.metrics.families import FAMILIES, VENUE_FAMILIES
from exporter.metrics.telemetry import Telemetry
from exporter.views import BrandView, VenueView

NAMES = [family.name for family in VENUE_FAMILIES]
OF_VIEWS = {family.name for family in FAMILIES}
FILTERS = st.frozensets(st.sampled_from([*NAMES, "clopos_station_transitions", "nonsense"]), max_size=3)


def exposition(views: Iterable[VenueView], telemetry: Telemetry) -> Exposition:
    made = Exposition(telemetry, FakeClock())
    for seen in views:
        made.update(seen)
    return made


@given(views=VENUES, brands=BRANDS)
@settings(max_examples=50)
def test_a_scrape_is_byte_for_byte_what_prometheus_client_writes(
    views: list[VenueView], brands: list[BrandView]
) -> None:
    made = exposition(views, Brands(brands))
    for accept, encoding in ACCEPTS:
        openmetrics = "openmetrics" in accept
        assert unpacked(made.scrape(accept, encoding)) == oracle(views, brands, openmetrics=openmetrics)


@given(views=VENUES, brands=BRANDS, names=FILTERS)
@settings(max_examples=40)
def test_any_state_parses_to_the_same_samples(
    views: list[VenueView], brands: list[BrandView], names: frozenset[str]
) -> None:
    made = exposition(views, Telemetry(lambda: brands, lambda: True))
    for accept, encoding in ACCEPTS:
        openmetrics = "openmetrics" in accept
        text = unpacked(made.scrape(accept, encoding, names))
        got = samples(text, openmetrics=openmetrics)
        wanted = samples(oracle(views, brands, names, openmetrics=openmetrics), openmetrics=openmetrics)
        assert {key: value for key, value in got.items() if key[1] in OF_VIEWS} == wanted
        family_blocks(text)


class Chain:
    """What readers should see, kept the plain way beside an exposition."""

    def __init__(self) -> None:
        self.made = exposition((), Brands())
        self.views: dict[tuple[str, str], VenueView] = {}

    def update(self, seen: VenueView) -> None:
        self.made.update(seen)
        self.views[seen.state.venue.key] = seen

    def remove(self, key: tuple[str, str]) -> None:
        self.made.remove(key)
        self.views.pop(key, None)

    def check(self) -> None:
        for accept in (TEXT_ACCEPT, OPENMETRICS_ACCEPT):
            wanted = oracle(self.views.values(), openmetrics=accept == OPENMETRICS_ACCEPT)
            got = self.made.scrape(accept, "").body
            assert unpacked(self.made.scrape(accept, "gzip")) == got
            assert sorted(got.split(b"\n")) == sorted(wanted.split(b"\n"))
            assert family_blocks(got) == family_blocks(wanted)


KEYS = [("b", "1"), ("b", "2"), ("c", "1")]
STEPS = st.lists(
    st.one_of(
        st.sampled_from(KEYS),
        st.one_of([venue_views(key) for key in KEYS]),
    ),
    max_size=6,
)


@given(steps=STEPS)
@settings(max_examples=30)
def test_any_sequence_of_updates_and_removals_leaves_what_is_there_now(
    steps: list[VenueView | tuple[str, str]],
) -> None:
    chain = Chain()
    for step in steps:
        if isinstance(step, VenueView):
            chain.update(step)
        else:
            chain.remove(step)
        chain.check()


@pytest.mark.parametrize("count", [31, 32, 33])
def test_the_borders_of_blocks_do_not_show(count: int) -> None:
    chain = Chain()
    for number in range(count):
        chain.update(_venue(number))
    chain.check()
    for number in {0, 31, count - 1}:
        chain.remove(("b", str(number)))
        chain.check()
    for number in range(count, count + 3):
        chain.update(_venue(number))
    chain.check()


def _venue(number: int) -> VenueView:

    return view(station(), of=venue(str(number), f"Venue {number}", "b"), polls=number)
