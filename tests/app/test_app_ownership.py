"""Which brands a process takes and hands over, as the others come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

import pytest
from fakes import FakeClock
from structlog.testing import capture_logs

from exporter.app.ownership import MOST_MOVES, Ownership, chosen
from exporter.clock import Clock
from exporter.errors import StoreError
from exporter.store.leases import LEASE_SECONDS, Cluster

BRANDS = [f"brand-{number}" for number in range(60)]


class FakeLeases:
    """A store of which only the leases matter; all other processes are in `cluster`."""

    def __init__(self, member: str) -> None:
        self.member = member
        self.members: set[str] = set()
        self.owners: dict[str, str] = {}
        self.mine: set[str] = set()
        self.lost: set[str] = set()
        self.problem: str | None = None

    @property
    def held(self) -> list[str]:
        return sorted(self.mine)

    def owns(self, brand: str) -> bool:
        return brand in self.mine - self.lost

    def taken_over(self, brand: str) -> bool:
        return brand in self.owners

    def renew(self, brands: Collection[str]) -> Cluster:
        if self.problem:
            raise StoreError(self.problem)
        members = dict.fromkeys({*self.members, self.member}, brands)
        return Cluster(members, {**self.owners, **dict.fromkeys(self.mine, self.member)})

    def acquire(self, brands: Collection[str]) -> list[str]:
        self.mine |= set(brands)
        return list(brands)

    def release(self, brands: Collection[str]) -> None:
        self.mine -= set(brands)

    def not_stored(self, brand: str) -> int:
        return len(brand)

    def forget(self, brand: str) -> None:
        self.mine.discard(brand)
        self.lost.discard(brand)


class Member:
    """The ownership of one process over a fake store."""

    def __init__(self, brands: Sequence[str] = BRANDS, clock: Clock | None = None) -> None:
        self.store = FakeLeases("me")
        self.polled: set[str] = set()
        self.processes = 0
        store: Any = self.store
        self.ownership = Ownership(
            store,
            clock or Clock(),
            brands=lambda: brands,
            take=self.polled.add,
            give_up=self.polled.difference_update,
            processes=self._count,
        )

    def review(self, times: int = 1) -> None:
        for _ in range(times):
            self.ownership.review()

    def _count(self, processes: int) -> None:
        self.processes = processes


def test_a_process_that_is_alone_takes_all_brands_a_bounded_part_at_once() -> None:
    member = Member()
    assert member.ownership.review(), "there is more to take at once"
    assert len(member.polled) == MOST_MOVES
    member.review(len(BRANDS) // MOST_MOVES + 1)
    assert member.polled == set(BRANDS)
    assert not member.ownership.not_ready()


def test_what_another_should_have_is_handed_over_a_bounded_part_at_once() -> None:
    member = Member()
    member.review(10)
    member.store.members = {"other"}
    member.review()
    assert len(member.polled) == len(BRANDS) - MOST_MOVES
    member.review(10)
    assert len(member.polled) == pytest.approx(len(BRANDS) / 2, abs=12)
    assert member.polled == member.store.mine


def test_a_brand_that_another_owns_is_left_to_it_until_its_lease_ends() -> None:
    member = Member(["a"])
    member.store.owners = {"a": "gone"}
    member.review()
    assert not member.polled
    assert member.ownership.owner("a") == "gone"
    member.store.owners = {}
    member.review()
    assert member.polled == {"a"}
    assert member.ownership.owner("a") == "me"


def test_a_lost_lease_ends_the_polls_even_while_the_database_is_gone() -> None:
    member = Member(["a", "b"])
    member.review()
    member.store.problem, member.store.lost = "no connection", {"a"}
    with capture_logs() as logs:
        member.review()
    [lost] = [line for line in logs if line["event"] == "brand.lease_lost"]
    assert (lost["brand"], lost["events_not_stored"]) == ("a", 1)
    assert member.polled == {"b"}
    assert member.ownership.not_ready() == ["brand a: not polled here, as the database fails: no connection"]


def test_leases_are_renewed_in_time_though_a_busy_machine_takes_long_to_start_many_brands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock()
    member = Member(clock=clock)
    renewed: list[float] = []
    renew = member.store.renew

    def noted_renew(brands: Collection[str]) -> Cluster:
        renewed.append(clock.monotonic())
        if len(renewed) == 3:
            raise StoreError("no connection")
        return renew(brands)

    def take_long(brand: str) -> None:
        clock.forward(1.5)
        member.polled.add(brand)

    monkeypatch.setattr(member.store, "renew", noted_renew)
    monkeypatch.setattr(member.ownership, "_take", take_long)
    with capture_logs() as logged:
        member.review()
    assert member.polled == member.store.mine
    assert len(member.polled) == MOST_MOVES
    assert max(after - before for before, after in pairwise([*renewed, clock.monotonic()])) < LEASE_SECONDS / 2
    assert [line["event"] for line in logged][:MOST_MOVES] == ["brand.owned"] * MOST_MOVES


def test_a_process_that_ends_takes_nothing_more_and_becomes_no_member_again(monkeypatch: pytest.MonkeyPatch) -> None:
    member = Member()
    renewed: list[str] = []
    renew = member.store.renew

    def renew_slowly(brands: Collection[str]) -> Cluster:
        renewed.append("once")
        member.ownership.stop(0.0)
        return renew(brands)

    monkeypatch.setattr(member.store, "renew", renew_slowly)
    assert not member.ownership.review()
    assert not member.store.mine, "what it has just let others have"
    member.review()
    assert renewed == ["once"]


def test_the_limits_per_address_know_how_many_processes_are_alive() -> None:
    member = Member()
    member.store.members = {"other", "third"}
    member.review()
    assert member.processes == 3


def test_brands_spread_evenly_and_a_process_more_moves_no_others() -> None:
    many = [f"brand-{number}" for number in range(600)]
    three = Cluster(dict.fromkeys(("a", "b", "c"), many), {})
    four = Cluster({**three.members, "d": many}, {})
    before, after = ({brand: chosen(brand, cluster) for brand in many} for cluster in (three, four))
    assert all(150 < count < 250 for count in Counter(before.values()).values())
    assert {after[brand] for brand in many if after[brand] != before[brand]} == {"d"}


def test_a_brand_that_cannot_be_polled_is_not_kept_and_keeps_no_other() -> None:
    member = Member(["a", "b", "c"])

    def take(brand: str) -> None:
        if brand == "a":
            raise ZeroDivisionError
        member.polled.add(brand)

    member.ownership._take = take
    with capture_logs() as logged:
        member.review()
    assert member.polled == member.store.mine == {"b", "c"}
    assert [(line["event"], line["brand"]) for line in logged if "exc_info" in line] == [("brand.not_taken", "a")]


def test_a_brand_whose_rows_cannot_be_understood_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    member = Member(["a", "b", "c"])
    acquire = member.store.acquire

    def acquire_all_but_a(brands: Collection[str]) -> list[str]:
        if "a" in brands:
            raise ValueError("an incident of a later release")
        return acquire(brands)

    monkeypatch.setattr(member.store, "acquire", acquire_all_but_a)
    with capture_logs() as logged:
        member.review()
    assert member.polled == {"b", "c"}
    assert [(line["event"], line["brand"]) for line in logged if "exc_info" in line] == [("brand.not_taken", "a")]
