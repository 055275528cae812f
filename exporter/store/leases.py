"""The leases in the database: which process may poll a brand and write its rows, and until when."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from exporter.clock import Clock
from exporter.store.database import WRITER, Database, DatabaseConnection

LEASE_SECONDS = 9.0
"""How long a lease lasts unless it is renewed, by the database's clock."""

MARGIN_SECONDS = 1.0
"""How much earlier a lease ends for its owner: clocks run at different speeds, and a request takes time to stop."""

STUCK_SECONDS = 6.0
"""After so long a transaction of a writer is one of a stopped process: a running one cuts its own before."""

_EXPIRY = f"clock_timestamp() + make_interval(secs => {LEASE_SECONDS})"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to poll a brand and to write its rows: the fencing number grows with every owner.

    `valid_until` is monotonic, counted from before the request that renewed it; a lease that has ended is never valid
    again.
    """

    fence: int
    valid_until: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the database says of the processes: live members with the brands they are configured for, and owners."""

    members: Mapping[str, Collection[str]]
    owners: Mapping[str, str]


class Leases:
    """The leases of one process, `member`, as it knows them. Whatever asks the database raises StoreError."""

    def __init__(self, member: str, clock: Clock) -> None:
        self.member = member
        self._clock = clock
        self._held: dict[str, Lease] = {}

    @property
    def held(self) -> list[str]:
        """Return the brands whose leases this process had at the last renewal, whether they have ended or not."""
        return list(self._held)

    def owns(self, brand: str) -> bool:
        """Return whether the lease of a brand is this process's now."""
        lease = self._held.get(brand)
        return lease is not None and self._clock.monotonic() < lease.valid_until

    def taken_over(self, brand: str) -> bool:
        """Return whether another process had the brand before this one."""
        lease = self._held.get(brand)
        return lease is not None and lease.fence > 1

    def hold(self, brand: str, lease: Lease) -> None:
        """Own a brand from now on."""
        self._held[brand] = lease

    def drop(self, brand: str) -> Lease | None:
        """Own a brand no longer; what the database says of it stays."""
        return self._held.pop(brand, None)

    def expire(self, brand: str) -> None:
        """End a lease here that the database says is no longer this process's."""
        lease = self._held.get(brand)
        if lease is not None:
            self._held[brand] = replace(lease, valid_until=-math.inf)

    def renew(self, database: Database, brands: Collection[str]) -> Cluster:
        """Say that this process lives and would poll these brands, renew what it owns, and return what all do."""
        began = self._clock.monotonic()
        owned = {brand: lease.fence for brand, lease in self._held.items() if self.owns(brand)}
        with database.transaction() as connection:
            connection.execute(
                "INSERT INTO members VALUES (?, ?, clock_timestamp()) ON CONFLICT (member) DO UPDATE "
                "SET brands = excluded.brands, seen_at = excluded.seen_at",
                (self.member, json.dumps(sorted(brands))),
            )
            connection.execute("DELETE FROM members WHERE seen_at < clock_timestamp() - make_interval(secs => 60)")
            renewed = dict(
                connection.execute(
                    f"UPDATE leases SET expires_at = {_EXPIRY} "  # noqa: S608 - a constant
                    "WHERE owner = ? AND expires_at > clock_timestamp() AND brand = ANY(?) RETURNING brand, fence",
                    (self.member, list(owned)),
                )
            )
            members = {
                member: json.loads(known)
                for member, known in connection.execute(
                    "SELECT member, brands FROM members WHERE seen_at > clock_timestamp() - make_interval(secs => ?)",
                    (LEASE_SECONDS,),
                )
            }
            owners = dict(connection.execute("SELECT brand, owner FROM leases WHERE expires_at > clock_timestamp()"))
            given_up = [brand for brand, owner in owners.items() if owner == self.member and brand not in self._held]
            if given_up:  # Renewed too late, or taken without an answer: the next owner need not wait for their end.
                connection.execute(
                    "UPDATE leases SET expires_at = clock_timestamp() WHERE owner = ? AND brand = ANY(?)",
                    (self.member, given_up),
                )
        for brand, fence in owned.items():
            # A lease that ended here while the answer was under way stays lost: polls that came back meanwhile were
            # dropped, and events were passed over as another process's business.
            if renewed.get(brand) == fence and self.owns(brand):
                self._held[brand] = replace(self._held[brand], valid_until=began + LEASE_SECONDS - MARGIN_SECONDS)
            else:
                self.expire(brand)
        return Cluster(members, owners)

    def take(self, connection: DatabaseConnection, brands: Iterable[str]) -> dict[str, Lease]:
        """Take the leases that nobody has, and return them: to be held once the transaction has ended."""
        began = self._clock.monotonic()
        # A process that is stopped while it sends several statements at once keeps its locks for as long as it is: what
        # ends idle transactions does not see that one as idle.
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND usename = current_user AND application_name = ? AND pid <> pg_backend_pid() "
            "AND backend_xid IS NOT NULL AND xact_start < clock_timestamp() - make_interval(secs => ?)",
            (WRITER, STUCK_SECONDS),
        )
        taken = connection.execute(
            f"INSERT INTO leases SELECT brand, ?, 1, {_EXPIRY} FROM unnest(?::text[]) AS wanted (brand) "  # noqa: S608
            "ON CONFLICT (brand) DO UPDATE "
            "SET owner = excluded.owner, fence = leases.fence + 1, expires_at = excluded.expires_at "
            "WHERE leases.expires_at <= clock_timestamp() RETURNING brand, fence",
            (self.member, sorted(brands)),
        )
        valid_until = began + LEASE_SECONDS - MARGIN_SECONDS
        return {brand: Lease(fence, valid_until) for brand, fence in taken}

    def release(self, connection: DatabaseConnection, leases: Mapping[str, Lease]) -> None:
        """Let others take leases at once."""
        connection.executemany(
            "UPDATE leases SET expires_at = clock_timestamp() WHERE brand = ? AND owner = ? AND fence = ?",
            [(brand, self.member, lease.fence) for brand, lease in leases.items()],
        )

    def leave(self, connection: DatabaseConnection) -> None:
        """Be no member any more."""
        connection.execute("DELETE FROM members WHERE member = ?", (self.member,))

    def lock(self, connection: DatabaseConnection, brands: Collection[str]) -> set[str]:
        """Return those of the brands whose fencing number is still this process's.

        Locked, so that a takeover waits for the end of this transaction; a zombie's ends by itself.
        """
        fences = dict(
            connection.execute(
                "SELECT brand, fence FROM leases WHERE owner = ? AND brand = ANY(?) ORDER BY brand FOR SHARE",
                (self.member, list(brands)),
            )
        )
        return {brand for brand in brands if (lease := self._held.get(brand)) and fences.get(brand) == lease.fence}
