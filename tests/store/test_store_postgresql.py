"""What several processes with one database may rely on: fenced leases, takeover, and a database in trouble."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from typing import Any

import pytest
from fakes import FakeClock
from proxies import Proxy
from structlog.testing import capture_logs
from test_store_contract import BAR, FIRING, GRILL, STATE, VENUE, change

from benchmarks.postgres import PostgreSQL
from exporter.errors import StoreError
from exporter.events import EventLog
from exporter.journal import Entry, JournalQuery
from exporter.model import BrandState, Event, StationState, Topic, VenueState
from exporter.outbox import DeliveryState, Route
from exporter.store import file_schema, leases
from exporter.store.database import Database, DatabaseConnection
from exporter.store.database_schema import VERSION, migrate
from exporter.store.leases import LEASE_SECONDS, MARGIN_SECONDS, Lease
from exporter.store.postgresql import PRUNE_SECONDS, PostgreSQLStore

BRAND = VENUE.brand
TOUCHED = change(Event.STATION_TOUCHED, 10.0)
OFF = StationState(GRILL, status=False, printing=True, since=9.0)
ON = replace(OFF, status=True)
TOTAL = replace(STATE, stations={"1": OFF, "2": StationState(BAR, status=True, printing=True, since=9.0)})
TIMEOUT = 20.0

Open = Callable[..., PostgreSQLStore]


@pytest.fixture
def open_one(postgresql: PostgreSQL, clock: FakeClock) -> Iterator[Open]:
    """Open the store of one process more."""
    url = postgresql.empty()
    with ExitStack() as stack:

        def one(member: str, at: str = url, *, brands: tuple[str, ...] = (BRAND,)) -> PostgreSQLStore:
            store = PostgreSQLStore(at, clock, 1e10, member=member)
            stack.callback(store.close)
            store.renew(brands)
            store.acquire(brands)
            return store

        yield one


@pytest.fixture
def proxy(postgresql: PostgreSQL) -> Iterator[Proxy]:
    with Proxy(postgresql.port) as proxy:
        yield proxy


def through(proxy: Proxy) -> str:
    return f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"


def expire_leases(postgresql: PostgreSQL) -> None:
    postgresql.sql("UPDATE clopos_exporter.leases SET expires_at = clock_timestamp()")


def stored_events(postgresql: PostgreSQL) -> int:
    [(count,)] = postgresql.sql("SELECT count(*) FROM clopos_exporter.journal")
    return int(count)


@contextmanager
def delayed(database: Database, meanwhile: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let something happen between the end of each transaction and the moment at which this process knows of it."""
    transaction = database.transaction

    @contextmanager
    def slow(*seconds: float) -> Iterator[DatabaseConnection]:
        with transaction(*seconds) as connection:
            yield connection
        meanwhile()

    with monkeypatch.context() as patch:
        patch.setattr(database, "transaction", slow)
        yield


def until_renewed(store: PostgreSQLStore) -> None:
    end = time.monotonic() + TIMEOUT
    while True:
        try:
            store.renew([BRAND])
        except StoreError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


class TestLeases:
    def test_a_brand_has_one_owner(self, open_one: Open) -> None:
        first, second = open_one("first"), open_one("second")
        assert first.owns(BRAND)
        assert not second.owns(BRAND)
        assert not first.taken_over(BRAND)
        assert second.renew([BRAND]).owners == {BRAND: "first"}

    def test_a_lease_ends_by_the_local_clock_before_it_does_in_the_database(
        self, open_one: Open, clock: FakeClock
    ) -> None:
        store = open_one("first")
        store.commit(STATE, changes=[FIRING])
        assert store.entries_after(0, 10)
        clock.forward(LEASE_SECONDS - 0.5)
        assert not store.owns(BRAND)
        assert not store.entries_after(0, 10)
        assert not store.deliveries("shift")

    @pytest.mark.parametrize("brands", [(BRAND,), (BRAND, "plov")])
    def test_a_lease_that_ends_here_while_it_is_renewed_stays_lost_and_is_free_for_others_soon(
        self, open_one: Open, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, brands: tuple[str, ...]
    ) -> None:
        store, heir = open_one("first"), open_one("heir")
        store.commit(STATE, changes=[TOUCHED])
        clock.forward(LEASE_SECONDS - MARGIN_SECONDS - 0.1)
        store.acquire(brands)

        def emit_what_others_have() -> None:
            """Emit as far as possible, as the log does at any time."""
            clock.forward(0.2)
            store.commit(changes=[replace(TOUCHED, brand=brand) for brand in brands if brand != BRAND])
            for entry in store.entries_after(store.cursor(), 10):
                assert entry.brand != BRAND
                store.advance(entry.id)

        with delayed(store._leasing, emit_what_others_have, monkeypatch):
            store.renew(brands)
        assert not store.owns(BRAND), "polls that ended meanwhile were dropped, and its events were passed over"
        store.forget(BRAND)
        store.renew(brands)
        assert heir.acquire([BRAND]) == [BRAND]
        assert [entry.brand for entry in heir.entries_after(heir.cursor(), 10)] == [BRAND]

    def test_what_is_released_can_be_taken_at_once_with_all_that_was_stored(self, open_one: Open) -> None:
        first, second = open_one("first"), open_one("second")
        first.commit(STATE, BrandState(BRAND, (VENUE,)))
        first.release([BRAND])
        assert not first.owns(BRAND)
        assert second.acquire([BRAND]) == [BRAND]
        assert second.taken_over(BRAND)
        assert second.venue(VENUE).stations == STATE.stations
        assert second.brand(BRAND).venues == (VENUE,)

    def test_many_brands_are_taken_over_in_as_few_round_trips_as_one(
        self, open_one: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        brands = tuple(f"brand-{number}" for number in range(8))
        first, second = open_one("first", brands=brands), open_one("second", brands=())
        for brand in brands:
            venue = replace(VENUE, brand=brand)
            first.commit(
                replace(STATE, venue=venue), BrandState(brand, (venue,)), changes=[replace(TOUCHED, brand=brand)]
            )
        first.release(brands)
        statements: list[str] = []
        execute = DatabaseConnection.execute

        def noted(connection: DatabaseConnection, sql: str, parameters: Iterable[Any] = ()) -> Any:
            statements.append(sql)
            return execute(connection, sql, parameters)

        monkeypatch.setattr(DatabaseConnection, "execute", noted)
        assert second.acquire(brands[:1]) == [*brands[:1]]
        for_one = len(statements)
        assert sorted(second.acquire(brands[1:])) == [*brands[1:]]
        assert len(statements) == 2 * for_one
        assert [state.brand for state in second.brands()] == [*brands]
        assert [len(second.venues(brand)) for brand in brands] == [1] * 8
        assert [entry.brand for entry in second.entries_after(0, 10)] == [*brands]

    def test_a_process_that_is_stopped_within_a_transaction_does_not_keep_others_from_taking_its_brands(
        self, open_one: Open, postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        zombie, heir = open_one("zombie"), open_one("heir")
        zombie.commit(STATE)
        expire_leases(postgresql)
        monkeypatch.setattr(leases, "STUCK_SECONDS", 0.0)
        with suppress(StoreError), zombie._writer.transaction() as connection:
            # As where it has sent a part of its statements: nothing ends this transaction by itself in time.
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            assert zombie._leases.lock(connection, [BRAND])
            heir.acquire([BRAND])
        assert heir.owns(BRAND)

    def test_a_process_that_takes_long_to_load_its_brands_is_left_to_do_so(
        self, open_one: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slow, other = open_one("slow"), open_one("other", brands=("plov",))
        monkeypatch.setattr(leases, "STUCK_SECONDS", 0.0)
        with slow._leasing.transaction() as connection:
            slow._leases.take(connection, ["dolma"])
            other.acquire(["kebab"])
        assert other.owns("kebab")

    def test_a_zombie_writes_nothing_and_loses_the_brand_when_it_tries(
        self, open_one: Open, postgresql: PostgreSQL
    ) -> None:
        zombie, heir = open_one("zombie"), open_one("heir")
        zombie.commit(STATE)
        expire_leases(postgresql)
        assert heir.acquire([BRAND]) == [BRAND]
        heir.commit(replace(STATE, stations={"1": ON}), changes=[TOUCHED])
        assert zombie.owns(BRAND), "it cannot know"
        zombie.commit(replace(STATE, stations={}), changes=[TOUCHED, FIRING])
        assert not zombie.owns(BRAND)
        assert stored_events(postgresql) == 1
        assert postgresql.sql("SELECT station_id, status FROM clopos_exporter.stations") == [("1", True)]
        assert not zombie.entries_after(0, 10)

    def test_a_zombie_does_not_renew_what_another_has(self, open_one: Open, postgresql: PostgreSQL) -> None:
        zombie, heir = open_one("zombie"), open_one("heir")
        expire_leases(postgresql)
        heir.acquire([BRAND])
        assert zombie.renew([BRAND]).owners == {BRAND: "heir"}
        assert not zombie.owns(BRAND)

    def test_events_that_were_stored_and_not_emitted_are_emitted_by_the_next_owner_once(self, open_one: Open) -> None:
        first, second = open_one("first"), open_one("second")
        first.commit(STATE, changes=[change(Event.STATION_TOUCHED, float(at)) for at in range(3)])
        first.advance(first.entries_after(0, 2)[-1].id)
        first.release([BRAND])
        second.acquire([BRAND])
        pending = second.entries_after(second.cursor(), 10)
        assert [entry.observed_at for entry in pending] == [2.0]
        second.advance(pending[-1].id)
        second.release([BRAND])
        first.acquire([BRAND])
        assert not first.entries_after(first.cursor(), 10)

    def test_the_log_does_not_pass_over_what_is_just_being_loaded(
        self, open_one: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = open_one("first"), open_one("second", brands=("plov",))
        first.commit(STATE, changes=[TOUCHED])
        first.release([BRAND])
        emitted: list[str] = []

        def emit() -> None:
            second.commit(changes=[replace(TOUCHED, brand="plov")])
            entries = second.entries_after(second.cursor(), 10)
            emitted.extend(entry.brand for entry in entries)
            second.advance(entries[-1].id)

        log, hold = Thread(target=emit), second._leases.hold

        def hold_late(brand: str, lease: Lease) -> None:
            log.start()
            log.join(0.3)
            hold(brand, lease)

        monkeypatch.setattr(second._leases, "hold", hold_late)
        second.acquire([BRAND])
        log.join(TIMEOUT)
        assert emitted == [BRAND, "plov"]

    def test_what_was_not_emitted_is_left_to_the_next_owner_where_much_waited_for_the_log(self, open_one: Open) -> None:
        first, second = open_one("first"), open_one("second")
        first._journal_rows = 2
        first.commit(STATE, changes=[change(Event.STATION_TOUCHED, float(at)) for at in range(4)])
        [entry] = first.entries_after(first.cursor(), 1)
        first.advance(entry.id)
        first.release([BRAND])
        second.acquire([BRAND])
        assert [entry.observed_at for entry in second.entries_after(second.cursor(), 10)] == [3.0]

    def test_what_the_log_leaves_to_another_process_is_not_called_lost(
        self, open_one: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = open_one("first", brands=(BRAND, "plov"))
        store.commit(STATE, changes=[TOUCHED, replace(TOUCHED, brand="plov")])
        emitted: list[str] = []
        entries_after = store.entries_after

        def give_up_first(id_: int, limit: int) -> Sequence[Entry]:
            store.forget(BRAND)
            return entries_after(id_, limit)

        def emit(events: Iterable[tuple[int, dict[str, Any]]]) -> bool:
            emitted.extend(fields["brand"] for _, fields in events)
            return True

        monkeypatch.setattr(store, "entries_after", give_up_first)
        with capture_logs() as logged:
            assert EventLog(store, Signal(), emit).emit_pending()
        assert emitted == ["plov"]
        assert not logged

    def test_deliveries_go_on_with_the_next_owner(self, open_one: Open) -> None:
        first, second = open_one("first"), open_one("second")
        first.routes = [Route("shift")]
        first.commit(changes=[FIRING])
        first.release([BRAND])
        assert not first.deliveries("shift")
        second.acquire([BRAND])
        assert [delivery.change for delivery in second.deliveries("shift")] == [FIRING]


class TestTrouble:
    """A database that fails: everything goes on from memory, and is written later."""

    def goes_on_from_memory(self, store: PostgreSQLStore, postgresql: PostgreSQL) -> None:
        """Change something while it fails."""
        before = stored_events(postgresql)
        store.commit(TOTAL, changes=[TOUCHED, TOUCHED])
        assert store.up is False
        assert store.problem
        assert store.owns(BRAND)
        assert store.venue(VENUE) is TOTAL
        assert len(store.entries_after(0, 10)) == 2, "events are emitted while the lease lasts"
        assert stored_events(postgresql) == before

    def has_caught_up(self, store: PostgreSQLStore, postgresql: PostgreSQL) -> None:
        until_renewed(store)
        assert store.up
        assert store.problem is None
        assert stored_events(postgresql) == 2
        assert postgresql.sql("SELECT count(*) FROM clopos_exporter.stations") == [(2,)]

    def test_a_full_disk(self, open_one: Open, postgresql: PostgreSQL) -> None:
        store = open_one("first")
        store.commit(STATE)
        postgresql.sql(
            "CREATE FUNCTION clopos_exporter.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
            "'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$; "
            "CREATE TRIGGER full_disk BEFORE INSERT ON clopos_exporter.stations EXECUTE FUNCTION clopos_exporter.full()"
        )
        try:
            self.goes_on_from_memory(store, postgresql)
            assert "No space left" in str(store.problem)
            store.renew([BRAND])
            assert store.up is False, "leases can be renewed, and yet nothing can be stored"
        finally:
            postgresql.sql("DROP FUNCTION clopos_exporter.full CASCADE")
        self.has_caught_up(store, postgresql)

    def test_a_database_that_becomes_read_only(self, open_one: Open, postgresql: PostgreSQL) -> None:
        store = open_one("first")
        store.commit(STATE)
        postgresql.sql("ALTER DATABASE postgres SET default_transaction_read_only = on")
        postgresql.end_sessions()
        try:
            self.goes_on_from_memory(store, postgresql)
            # The first renewal meets a session that is gone, the next one the new rule.
            with pytest.raises(StoreError):
                store.renew([BRAND])
            with pytest.raises(StoreError, match="read-only"):
                store.renew([BRAND])
        finally:
            postgresql.sql("ALTER DATABASE postgres RESET ALL")
            postgresql.end_sessions()
        self.has_caught_up(store, postgresql)

    def test_a_restart(self, open_one: Open, postgresql: PostgreSQL) -> None:
        store = open_one("first")
        store.commit(STATE)
        postgresql.stop()
        try:
            store.commit(TOTAL, changes=[TOUCHED, TOUCHED])
            assert store.up is False
            assert store.owns(BRAND)
            with pytest.raises(StoreError):
                store.renew([BRAND])
        finally:
            postgresql.start()
        self.has_caught_up(store, postgresql)

    def test_a_message_waits_until_it_is_stored_unless_it_is_about_the_process(
        self, open_one: Open, postgresql: PostgreSQL
    ) -> None:
        store = open_one("first")
        store.routes = [Route("shift", frozenset(Topic))]
        woken = []
        assert FIRING.incident is not None
        of_process = replace(FIRING, brand="", incident=replace(FIRING.incident, brand="", venue=None))
        postgresql.stop()
        try:
            store.commit(STATE, changes=[FIRING])
            store.commit(changes=[of_process])
            assert [delivery.change for delivery in store.deliveries("shift")] == [of_process]
        finally:
            postgresql.start()
        store.subscribe(lambda: woken.append(True))
        until_renewed(store)
        assert woken
        assert [delivery.change for delivery in store.deliveries("shift")] == [FIRING, of_process]

    def test_an_end_waits_until_it_is_stored_that_the_beginning_was_accepted(
        self, open_one: Open, postgresql: PostgreSQL
    ) -> None:
        store = open_one("first")
        store.routes = [Route("shift")]
        resolved = replace(FIRING, event=Event.INCIDENT_RESOLVED)
        store.commit(STATE, changes=[FIRING])
        [begun] = store.deliveries("shift")
        store.commit(STATE, changes=[resolved])  # while the message of the beginning is under way
        postgresql.stop()
        try:
            accepted = replace(begun, state=DeliveryState.ACCEPTED, accepted_at=11.0)
            store.update_deliveries([accepted])
            assert not store.deliveries("shift"), "alone, the end would be for nobody, and dropped"
        finally:
            postgresql.start()
        until_renewed(store)
        assert [delivery.change for delivery in store.deliveries("shift")] == [FIRING, resolved]
        assert store.deliveries("shift")[0] == accepted

    def test_a_slow_database_holds_up_each_poll_only_a_little(
        self, open_one: Open, proxy: Proxy, postgresql: PostgreSQL
    ) -> None:
        store = open_one("first", through(proxy))
        proxy.delay = 0.05
        store.commit(TOTAL, changes=[TOUCHED, TOUCHED])
        store.renew([BRAND])
        assert store.up
        assert store.owns(BRAND)
        assert stored_events(postgresql) == 2

    @pytest.mark.slow
    def test_a_database_behind_a_cut_network_holds_up_one_poll_and_no_other(
        self, open_one: Open, proxy: Proxy, postgresql: PostgreSQL
    ) -> None:
        store = open_one("first", through(proxy))
        store.commit(STATE)
        proxy.cut()
        began = time.monotonic()
        store.commit(TOTAL, changes=[TOUCHED])
        assert time.monotonic() - began < 5.0
        assert store.up is False
        began = time.monotonic()
        store.commit(TOTAL, changes=[TOUCHED])
        assert time.monotonic() - began < 0.5
        with pytest.raises(StoreError):
            store.renew([BRAND])
        proxy.restore()
        self.has_caught_up(store, postgresql)

    @pytest.mark.slow
    def test_a_process_ends_soon_though_the_database_hangs(self, open_one: Open, proxy: Proxy) -> None:
        store = open_one("first", through(proxy))
        proxy.cut()
        store._venues_due.add(VENUE.key)
        began = time.monotonic()
        store.close()
        assert time.monotonic() - began < 4.0
        proxy.restore()

    @pytest.mark.slow
    def test_a_statement_that_arrives_after_the_cut_is_fenced(
        self, open_one: Open, proxy: Proxy, postgresql: PostgreSQL
    ) -> None:
        zombie, heir = open_one("zombie", through(proxy)), open_one("heir")
        zombie.commit(STATE)
        proxy.cut()
        zombie.commit(TOTAL, changes=[TOUCHED])
        expire_leases(postgresql)
        heir.acquire([BRAND])
        heir.commit(replace(STATE, stations={}), changes=[TOUCHED])
        proxy.restore()
        until_renewed(zombie)
        assert not zombie.owns(BRAND)
        assert stored_events(postgresql) == 1
        assert postgresql.sql("SELECT count(*) FROM clopos_exporter.stations") == [(0,)]

    def test_an_owner_that_loses_the_database_for_longer_than_its_lease_drops_what_it_did_not_store(
        self, open_one: Open, postgresql: PostgreSQL, clock: FakeClock
    ) -> None:
        store = open_one("first")
        store.commit(STATE)
        postgresql.stop()
        store.commit(TOTAL, changes=[TOUCHED])
        assert len(store.entries_after(0, 10)) == 1, "it is emitted"
        clock.forward(LEASE_SECONDS)
        postgresql.start()
        expire_leases(postgresql)
        until_renewed(store)
        assert store.not_stored(BRAND) == 1
        store.forget(BRAND)
        assert store.not_stored(BRAND) == 0
        assert store.acquire([BRAND]) == [BRAND]
        assert store.venue(VENUE).stations == STATE.stations, "the next poll finds the difference again"
        assert stored_events(postgresql) == 0


class TestRows:
    def test_only_what_changed_is_written(self, open_one: Open, postgresql: PostgreSQL) -> None:
        store = open_one("first")
        store.commit(TOTAL)
        of_rows = "SELECT station_id, xmin::text FROM clopos_exporter.stations ORDER BY station_id"
        before = postgresql.sql(of_rows)
        assert TOTAL.stations is not None
        store.commit(replace(TOTAL, stations={**TOTAL.stations, "1": ON}))
        after = postgresql.sql(of_rows)
        assert before[0] != after[0]
        assert before[1] == after[1]

    def test_how_fresh_the_data_is_is_written_for_all_venues_together(
        self, open_one: Open, postgresql: PostgreSQL, clock: FakeClock
    ) -> None:
        store = open_one("first")
        store.commit(TOTAL)
        newest = "SELECT last_success FROM clopos_exporter.venues"
        clock.forward(5.0)
        store.renew([BRAND])
        store.commit(fresh := replace(TOTAL, last_success=15.0))
        assert postgresql.sql(newest) == [(10.0,)]
        clock.forward(6.0)
        store.renew([BRAND])
        store.commit(replace(fresh, last_success=21.0))
        assert postgresql.sql(newest) == [(21.0,)]

    def test_statements_are_prepared(self, open_one: Open) -> None:
        store = open_one("first")
        for number in range(8):
            store.commit(replace(STATE, requests=number, stations={"1": replace(OFF, since=float(number))}))
        with store._writer.transaction() as connection:
            prepared = connection.execute("SELECT statement FROM pg_prepared_statements").fetchall()
        assert any("INSERT INTO stations" in statement for (statement,) in prepared)

    @pytest.mark.parametrize("days", [6, 8])
    def test_a_brand_that_no_process_has_is_deleted_after_a_week(
        self, open_one: Open, postgresql: PostgreSQL, clock: FakeClock, days: int
    ) -> None:
        ago = time.time() - days * 86_400
        store = open_one("first", brands=("plov", BRAND))
        store.commit(replace(STATE, last_success=ago), BrandState(BRAND, (VENUE,)), BrandState("plov"))
        store.release([BRAND])
        for _ in range(2):
            clock.forward(PRUNE_SECONDS + 1)
            store.renew(["plov"])
            store.acquire(["plov"])
            store.commit(BrandState("plov", seen=True), changes=[replace(TOUCHED, brand="plov")])
        for table in ("brands", "venues", "stations", "leases"):
            rows = postgresql.sql(f"SELECT 1 FROM clopos_exporter.{table} WHERE brand = '{BRAND}'")  # noqa: S608
            assert bool(rows) == (days < 7), table
        assert postgresql.sql("SELECT brand FROM clopos_exporter.brands WHERE brand = 'plov'")

    @pytest.mark.parametrize("hours", [20, 30])
    def test_what_waits_for_a_channel_that_is_removed_is_not_sent_by_the_next_owner_and_deleted_after_a_day(
        self, open_one: Open, postgresql: PostgreSQL, clock: FakeClock, hours: int
    ) -> None:
        first, second = open_one("first"), open_one("second")
        first.routes = [Route("shift"), Route("boss")]
        first.commit(STATE, changes=[replace(FIRING, observed_at=time.time() - hours * 3600)])
        first.release([BRAND])
        second.retain_channels(["shift"])
        clock.forward(PRUNE_SECONDS + 1)
        second.renew([BRAND])
        second.acquire([BRAND])
        assert not second.deliveries("boss")
        second.commit(STATE, changes=[TOUCHED])
        stored = postgresql.sql("SELECT channel FROM clopos_exporter.deliveries ORDER BY channel")
        assert stored == ([("shift",)] if hours > 24 else [("boss",), ("shift",)])

    def test_a_wrong_clock_of_one_process_deletes_no_journal(
        self, postgresql: PostgreSQL, clock: FakeClock, open_one: Open
    ) -> None:
        store = open_one("first")
        store._retention = 3600.0
        store.commit(STATE, changes=[replace(TOUCHED, observed_at=time.time())])
        clock.forward(30 * 86_400.0)
        store.renew([BRAND])
        expire_leases(postgresql)
        store.forget(BRAND)
        store.acquire([BRAND])
        store.commit(VenueState(VENUE), changes=[replace(TOUCHED, observed_at=time.time())])
        assert stored_events(postgresql) == 2
        assert len(store.journal(JournalQuery())) == 2


def test_a_backup_as_documented_brings_everything_back(open_one: Open, postgresql: PostgreSQL, tmp_path: Path) -> None:
    store = open_one("first")
    store.commit(TOTAL, BrandState(BRAND, (VENUE,)), changes=[TOUCHED])
    store.close()
    dump = str(tmp_path / "clopos.dump")
    postgresql.run("pg_dump", "--schema=clopos_exporter", "--format=custom", f"--file={dump}", postgresql.url)
    postgresql.sql("DELETE FROM clopos_exporter.stations; DELETE FROM clopos_exporter.journal")
    postgresql.run("pg_restore", "--clean", "--if-exists", f"--dbname={postgresql.url}", dump)
    again = open_one("second")
    assert again.venue(VENUE).stations == TOTAL.stations
    assert len(again.entries_after(0, 10)) == 1


def test_a_brand_of_which_only_a_later_exporter_understands_a_part_is_taken_over(
    postgresql: PostgreSQL, open_one: Open
) -> None:
    first = open_one("first")
    first.routes = [Route("shift", frozenset(Topic))]
    assert FIRING.incident is not None
    first.commit(replace(TOTAL, incidents={"one": FIRING.incident}), changes=[FIRING, TOUCHED])
    first.close()
    kind = FIRING.incident.kind.value
    postgresql.sql(
        f"UPDATE clopos_exporter.venues SET incidents = replace(incidents, '{kind}', 'later'); "  # noqa: S608
        f"UPDATE clopos_exporter.deliveries SET change = replace(change, '{kind}', 'later'); "
        "UPDATE clopos_exporter.journal SET event = 'incident.later' WHERE event = 'incident.firing'"
    )
    second = open_one("second")
    assert second.owns(BRAND)
    assert second.venue(VENUE).stations == TOTAL.stations
    assert [entry.event for entry in second.entries_after(0, 10)] == [Event.STATION_TOUCHED]
    assert second.deliveries("shift") == []


class TestMigrations:
    def test_the_version_is_that_of_the_state_file(self) -> None:
        assert file_schema.VERSION == VERSION

    def test_an_empty_database_gets_the_tables_and_a_second_process_finds_them(self, postgresql: PostgreSQL) -> None:
        url = postgresql.drop()
        for _ in range(2):
            database = Database(url)
            migrate(database)
            database.close()
        assert postgresql.sql("SELECT version FROM clopos_exporter.version") == [(VERSION,)]

    def test_a_migration_that_was_begun_and_not_ended_is_done_again(self, postgresql: PostgreSQL) -> None:
        url = postgresql.drop()
        postgresql.sql(
            "CREATE SCHEMA clopos_exporter; CREATE TABLE clopos_exporter.version (version INTEGER NOT NULL); "
            "INSERT INTO clopos_exporter.version VALUES (0)"
        )
        database = Database(url)
        migrate(database)
        database.close()
        assert postgresql.sql("SELECT version FROM clopos_exporter.version") == [(VERSION,)]

    def test_the_tables_of_a_newer_exporter_are_left_alone(self, postgresql: PostgreSQL, open_one: Open) -> None:
        open_one("first")
        postgresql.sql("UPDATE clopos_exporter.version SET version = 99")
        try:
            with pytest.raises(StoreError, match="schema version 99"):
                open_one("second")
        finally:
            postgresql.sql(f"UPDATE clopos_exporter.version SET version = {VERSION}")  # noqa: S608
