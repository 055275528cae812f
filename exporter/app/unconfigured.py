"""The brands that are remembered although the configuration no longer names them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from exporter.app.service import SERVICE
from exporter.config import Settings
from exporter.config.sharding import shard_of
from exporter.incidents import end_all
from exporter.model import EMPTY, BrandState, Ended, Instant, VenueState
from exporter.store import FORGET_SECONDS, Store


def forget_long_unread(store: Store, settings: Settings, now: float) -> None:
    """Forget those of which nothing was read for FORGET_SECONDS; `now` is epoch seconds."""
    for state in _unconfigured(store, settings):
        newest = max((venue.last_success or 0.0 for venue in store.venues(state.brand)), default=0.0)
        if newest < now - FORGET_SECONDS:
            store.forget_brand(state.brand)


def end_incidents(store: Store, settings: Settings, now: Instant) -> None:
    """End the incidents of those that fall to this shard: who knows of them hears of that."""
    for brand in _unconfigured(store, settings):
        if shard_of(brand.brand, settings.total_shards) != settings.shard:
            continue
        states: list[BrandState | VenueState] = [brand, *store.venues(brand.brand)]
        concerned = [state for state in states if state.incidents]
        changes = [end_all(state.incidents, brand.brand, Ended.IGNORED, now) for state in concerned]
        if concerned:
            ended = (replace(state, incidents=EMPTY) for state in concerned)
            store.commit(*ended, changes=[*chain.from_iterable(changes)])


def _unconfigured(store: Store, settings: Settings) -> Iterator[BrandState]:
    configured = {SERVICE, *(brand.brand for brand in settings.brands)}
    # A list, as brands are forgotten meanwhile.
    yield from [state for state in store.brands() if state.brand not in configured]
