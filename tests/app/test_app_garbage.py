"""What is known of stations has to stay out of garbage collections."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from weakref import ref

import pytest
from app_fakes import FakeOutput, settings

from exporter.app.daemon import Daemon
from exporter.app.garbage import VENUES_AT_ONCE, PermanentGeneration
from exporter.clock import Clock
from exporter.simulator import Simulator, World


class Known:
    """Something that lasts, of which there are many."""


@pytest.fixture(autouse=True)
def nothing_frozen() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.freeze()  # as it was


def is_collected(known: object) -> bool:
    """Return whether collections go through an object."""
    return any(known is other for other in gc.get_objects())


def test_what_is_known_is_left_out_of_collections_a_part_at_a_time() -> None:
    permanent, first = PermanentGeneration(), Known()
    permanent.grow(VENUES_AT_ONCE - 1)
    assert is_collected(first)
    permanent.grow(VENUES_AT_ONCE)
    assert not is_collected(first)
    second = Known()
    permanent.grow(2 * VENUES_AT_ONCE - 1)
    assert is_collected(second)
    permanent.take(2 * VENUES_AT_ONCE - 1)
    assert not is_collected(second)


def test_what_is_no_longer_known_is_freed_all_the_same() -> None:
    permanent, known = PermanentGeneration(), Known()
    permanent.take(1)
    freed = ref(known)
    del known
    assert freed() is None


def test_garbage_is_collected_before_and_never_kept() -> None:
    known = Known()
    known.itself = known  # type: ignore[attr-defined]
    freed = ref(known)
    del known
    PermanentGeneration().take(1)
    assert freed() is None


def test_after_the_first_round_no_collection_goes_through_the_stations() -> None:
    with Simulator(World.generate(brands=1, venues=2, stations=3), tiers=None) as simulator:
        daemon = Daemon(lambda: settings(simulator), FakeOutput(), Clock(20.0))  # type: ignore[arg-type]
        daemon.start()
        try:
            deadline = time.monotonic() + 10
            while not gc.get_freeze_count():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            known = [one for view in daemon.registry.venues() for one in view.stations.values()]
            assert len(known) == 6
            collected = {id(one) for one in gc.get_objects()}
            assert not [one for one in known if id(one) in collected]
        finally:
            daemon.stop()
