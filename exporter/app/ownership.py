"""Which brands this process polls where several share a database: leases, renewed on a thread of their own."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Sequence
from threading import Event, Thread

import structlog

from exporter.clock import Clock
from exporter.errors import StoreError
from exporter.store.leases import Cluster
from exporter.store.postgresql import PostgreSQLStore

ROUND_SECONDS = 1.0
"""How often leases are renewed and the other processes looked at."""

MOST_MOVES = 8
"""How many brands are taken or handed over in one round, so that the leases of the others are renewed in time."""


class Ownership(Thread):
    """Hold the leases of the brands that this process should poll, and follow what the other processes do.

    `take` starts to poll a brand and `give_up` ends that for several; `processes` is called with how many are alive.
    All are called on the thread of the leases.
    """

    def __init__(
        self,
        store: PostgreSQLStore,
        clock: Clock,
        *,
        brands: Callable[[], Sequence[str]],
        take: Callable[[str], None],
        give_up: Callable[[Collection[str]], None],
        processes: Callable[[int], None] = lambda _count: None,
    ) -> None:
        super().__init__(name="leases", daemon=True)
        self._store, self._clock = store, clock
        self._brands, self._take, self._give_up, self._processes = brands, take, give_up, processes
        self._cluster = Cluster({}, {})
        self._renewed_at = -math.inf
        self._stopping = Event()
        self._log = structlog.get_logger(__name__)

    def stop(self, seconds: float) -> None:
        """Take and hand over nothing any more; the leases stay until the store is closed."""
        self._stopping.set()
        if self.is_alive():
            self.join(seconds)

    def owner(self, brand: str) -> str | None:
        """Return the name of the process that polls a brand, as of the last renewal; None where nobody is known to."""
        return self._store.member if self._store.owns(brand) else self._cluster.owners.get(brand)

    def not_ready(self) -> list[str]:
        """Return why brands are polled by nobody as far as this process knows, one sentence a brand."""
        problem = self._store.problem
        why = "no process polls it yet" if problem is None else f"not polled here, as the database fails: {problem}"
        return [
            f"brand {brand}: {why}"
            for brand in self._brands()
            if not self._store.owns(brand) and (problem is not None or brand not in self._cluster.owners)
        ]

    def review(self) -> bool:
        """Renew the leases, hand over and take brands; return whether there is more to take at once."""
        self._give_up_what_is_lost()
        brands = self._brands()
        if self._stopping.is_set():
            return False  # The end does not wait for a review that is held up: it must not become a member again.
        try:
            self._renew(brands)
            self._give_up_what_is_lost()
            self._hand_over(brands)
            self._renew_where_due(brands)
            return not self._stopping.is_set() and self._acquire(brands)
        except StoreError as error:
            self._log.debug("leases.not_renewed", problem=str(error))
            return False

    def _renew(self, brands: Collection[str]) -> None:
        self._renewed_at = self._clock.monotonic()
        self._cluster = self._store.renew(brands)
        self._processes(len(self._cluster.members))

    def _renew_where_due(self, brands: Collection[str]) -> None:
        """Renew the leases between two steps that take long, so that they do not end meanwhile."""
        if self._clock.monotonic() < self._renewed_at + ROUND_SECONDS:
            return
        try:
            self._renew(brands)
        except StoreError as error:
            self._log.debug("leases.not_renewed", problem=str(error))

    def _give_up_what_is_lost(self) -> None:
        lost = [brand for brand in self._store.held if not self._store.owns(brand)]
        for brand in lost:
            self._log.warning(
                "brand.lease_lost",
                brand=brand,
                events_not_stored=self._store.not_stored(brand),
                effect="another process may poll it now, and emits again what was not stored and is still so",
            )
        if lost:
            # All at once: waiting for the polls of one after another would take too long to renew the other leases.
            self._give_up(lost)
        for brand in lost:
            self._store.forget(brand)

    def _hand_over(self, brands: Collection[str]) -> None:
        leaving = [
            brand
            for brand in self._store.held
            if brand not in brands or chosen(brand, self._cluster) not in (None, self._store.member)
        ][:MOST_MOVES]
        if leaving:
            self._give_up(leaving)
            self._renew_where_due(brands)
            self._store.release(leaving)
            self._log.info("brands.handed_over", brands=leaving)

    def _acquire(self, brands: Collection[str]) -> bool:
        held = set(self._store.held)
        wanted = [
            brand
            for brand in brands
            if brand not in held
            and self._cluster.owners.get(brand) in (None, self._store.member)
            and chosen(brand, self._cluster) == self._store.member
        ]
        taken = self._leases_of(wanted[:MOST_MOVES]) if wanted else []
        for brand in taken:
            self._log.info("brand.owned", brand=brand, taken_over=self._store.taken_over(brand))
        failed = []
        for brand in taken:
            if self._stopping.is_set():
                return False
            self._renew_where_due(brands)
            try:
                self._take(brand)
            except Exception:  # noqa: BLE001 - it must keep no other brand from being polled
                self._log.exception("brand.not_taken", brand=brand)
                failed.append(brand)
        if failed:
            # Kept, their leases would be renewed for ever and nobody would poll them.
            self._give_up(failed)
            self._store.release(failed)
        return bool(taken) and len(wanted) > MOST_MOVES

    def _leases_of(self, brands: Sequence[str]) -> list[str]:
        """Take leases, and return which: one brand whose rows cannot be understood keeps no other from being taken."""
        try:
            return self._store.acquire(brands)
        except StoreError:
            raise
        except Exception:  # noqa: BLE001 - as above
            if len(brands) == 1:
                self._log.exception("brand.not_taken", brand=brands[0])
                return []
            return [taken for brand in brands for taken in self._leases_of([brand])]

    def run(self) -> None:
        """Review again and again, until it is stopped."""
        while not self._stopping.is_set():
            more = False
            try:
                more = self.review()
            except Exception:  # noqa: BLE001 - a fault with one brand must not end the leases of all
                self._log.exception("leases.crashed")
            if not more:
                self._clock.wait(self._stopping, ROUND_SECONDS)


def chosen(brand: str, cluster: Cluster) -> str | None:
    """Return which live member should have a brand, by rendezvous hashing: another member moves no other brands."""
    candidates = [member for member, known in cluster.members.items() if brand in known]
    return max(candidates, key=lambda member: hashlib.sha256(f"{member}\0{brand}".encode()).digest(), default=None)
