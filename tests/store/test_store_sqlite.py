"""What the file adds: restarts, and everything that can be wrong with a file."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FakeClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from exporter.errors import StoreError
from exporter.journal import JournalQuery
from exporter.model import (
    Absence,
    BrandState,
    Change,
    Event,
    Incident,
    IncidentKind,
    Instant,
    Kind,
    Outage,
    Reason,
    Severity,
    Station,
    StationRecord,
    StationState,
    Venue,
    VenueState,
)
from exporter.outbox import DeliveryState, Route
from exporter.store import file, rows
from exporter.store.durable import FRESHNESS_SECONDS
from exporter.store.file import read_journal
from exporter.store.memory import JOURNAL_ROWS
from exporter.store.sqlite import RETRY_SECONDS, SQLiteStore

DAY = 86_400.0
Unprivileged = Callable[[], AbstractContextManager[None]]
VENUE = Venue("tandir", "7", "Tandir “Port” \n \x00 ünï 🍕")
GRILL = StationState(
    Station("1", "Grill", Kind.KITCHEN, active=False, printable=None, created_at=1.5, updated_at=2.5),
    status=False,
    printing=True,
    since=9.0,
    last_transition=8.0,
    missing=1,
    is_unedited=True,
)
BAR = StationState(
    Station("kitchen", "Bar", Kind.UNKNOWN, active=None, printable=False, created_at=None, updated_at=None),
    status=None,
    printing=False,
    since=9.0,
)
OUTAGE = Outage(1_700_000_000.0, Reason.GATEWAY, "Bad gateway")


def _fail(*_: object, **__: object) -> None:
    raise StoreError("the disk is full")


def opened(path: Path, clock: FakeClock, retention: float = 90 * DAY) -> SQLiteStore:
    return SQLiteStore(path, clock, retention)


def reopened(store: SQLiteStore, clock: FakeClock) -> SQLiteStore:
    store.close()
    return opened(store._path, clock)


def killed(store: SQLiteStore, clock: FakeClock, to: Path) -> SQLiteStore:
    """Open what a process that was killed now would leave behind."""
    to.mkdir(exist_ok=True)
    for part in store._path.parent.glob(f"{store._path.name}*"):
        shutil.copy(part, to)
    return opened(to / store._path.name, clock)


def state(clock: FakeClock, *station_state: StationState) -> VenueState:
    stations = {one.station.id: one for one in station_state}
    return VenueState(VENUE, stations, polls=3, last_success=clock.wall(), fresh_at=clock.monotonic())


def touched(clock: FakeClock) -> Change:
    return Change(Event.STATION_TOUCHED, VENUE.brand, clock.wall(), VENUE, GRILL.station)


class TestRestart:
    def test_venues_are_read_when_their_brand_is_asked_for(
        self, path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plov = replace(state(clock, BAR), venue=Venue("plov", "1", "Plov"))
        store = opened(path, clock)
        store.commit(state(clock, GRILL), plov)
        read: list[str] = []
        read_venues = rows.read_venues

        def spy(connection: rows.SqlConnection, now: Instant, brand: str) -> Iterator[VenueState]:
            read.append(brand)
            return read_venues(connection, now, brand)

        monkeypatch.setattr(rows, "read_venues", spy)
        store = reopened(store, clock)
        assert read == []
        assert store.venue(VENUE).stations == {"1": GRILL}
        assert store.venue(VENUE).stations == {"1": GRILL}
        assert read == ["tandir"]
        store.commit(replace(plov, stations={}), changes=[touched(clock)])
        assert read == ["tandir", "plov"]
        again = reopened(store, clock)
        assert {one.venue.brand: len(one.stations or {}) for one in again.venues()} == {"tandir": 1, "plov": 0}

    def test_what_was_read_goes_on_in_a_new_file_where_the_rest_is_damaged(self, path: Path, clock: FakeClock) -> None:
        plov = replace(state(clock, BAR), venue=Venue("plov", "1", "Plov"))
        store = opened(path, clock)
        store.commit(state(clock, GRILL), plov)
        store.close()
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("UPDATE stations SET kind = 'unheard' WHERE brand = 'plov'")
        store = opened(path, clock)
        assert store.venue(VENUE).stations == {"1": GRILL}
        with capture_logs() as logs:
            assert store.venue(plov.venue).stations is None
        assert [line["event"] for line in logs] == ["store.set_aside"]
        assert reopened(store, clock).venue(VENUE).stations == {"1": GRILL}

    def test_a_venue_comes_back_as_it_was_and_says_that_it_is_restored(self, path: Path, clock: FakeClock) -> None:
        before = replace(
            state(clock, GRILL, BAR),
            transitions={(Kind.KITCHEN, True): 3, (Kind.KITCHEN, False): 4},
            requests=2,
            outage=OUTAGE,
        )
        store = opened(path, clock)
        store.commit(before)
        after = reopened(store, clock).venue(VENUE)
        # Polls are counters of the process; the last duration is asked for again.
        assert after == replace(before, polls=0, restored=True)
        assert after.up is None

    def test_incidents_and_what_is_counted_come_back(self, path: Path, clock: FakeClock) -> None:
        plain = Incident(
            IncidentKind.STATION_FLAPPING, Severity.WARNING, "tandir", 5.0, VENUE, "1", "Grill", Kind.OTHER
        )
        bulk = replace(plain, members=(("7", "1"),), fired_at=6.0, details={"count": 2})
        record = StationRecord(3.0, 4.0, retired=True, transitions=(1.0, 2.0))
        before = replace(
            state(clock, GRILL), incidents={"a": plain}, records={"1": record}, open_seconds=9.5, partial_since=1.0
        )
        store = opened(path, clock)
        store.commit(before, BrandState("tandir", (VENUE,), incidents={"b": bulk}))
        store = reopened(store, clock)
        assert store.venue(VENUE) == replace(before, polls=0, restored=True)
        assert store.brand("tandir").incidents == {"b": bulk}

    def test_a_brand_comes_back_and_is_not_seen_yet(self, path: Path, clock: FakeClock) -> None:
        before = BrandState("tandir", (VENUE,), {"7": Absence(1, 3.0)}, login_outage=OUTAGE, outage=OUTAGE, seen=True)
        store = opened(path, clock)
        store.commit(before)
        after = reopened(store, clock).brand("tandir")
        assert after == replace(before, seen=False, restored=True)

    def test_nothing_known_is_not_the_same_as_no_stations(self, path: Path, clock: FakeClock) -> None:
        unpolled = VenueState(Venue("tandir", "8", "Never answered"), outage=OUTAGE)
        store = opened(path, clock)
        store.commit(state(clock))
        store.commit(unpolled)
        store = reopened(store, clock)
        assert store.venue(VENUE).stations == {}
        assert store.venue(unpolled.venue).stations is None
        assert store.venue(unpolled.venue).fresh_at is None

    def test_no_discovery_is_not_the_same_as_no_venues(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(BrandState("tandir"))
        store.commit(BrandState("plov", ()))
        store = reopened(store, clock)
        assert store.brand("tandir").venues is None
        assert store.brand("plov").venues == ()

    def test_the_age_of_the_data_goes_on_over_a_restart(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(state(clock, GRILL))
        store.close()
        clock.forward(120.0)
        clock._monotonic = 3.0  # another boot: monotonic time starts over
        assert opened(path, clock).venue(VENUE).fresh_at == 3.0 - 120.0

    def test_data_from_the_future_is_taken_as_new(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(state(clock, GRILL))
        store.close()
        clock._wall -= 3600.0
        assert opened(path, clock).venue(VENUE).fresh_at == clock.monotonic()

    def test_what_was_forgotten_stays_forgotten(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        other = replace(state(clock, BAR), venue=Venue("plov", "1", "Plov"))
        for one in (state(clock, GRILL), other, BrandState("tandir"), BrandState("plov")):
            store.commit(one)
        store.commit(removed=[other.venue.key])
        store.forget_brand("tandir")
        store = reopened(store, clock)
        assert store.venues() == []
        assert [brand.brand for brand in store.brands()] == ["plov"]

    def test_a_station_that_is_gone_does_not_come_back(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(state(clock, GRILL, BAR))
        store.commit(state(clock, BAR))
        assert reopened(store, clock).venue(VENUE).stations == {"kitchen": BAR}

    def test_a_restored_state_can_be_remembered_again(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(state(clock, GRILL, BAR))
        store = reopened(store, clock)
        store.commit(replace(store.venue(VENUE), restored=False))
        assert reopened(store, clock).venue(VENUE).stations == {"1": GRILL, "kitchen": BAR}

    def test_the_journal_goes_on_with_new_ids(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(state(clock, GRILL), changes=[touched(clock)])
        store = reopened(store, clock)
        store.commit(state(clock, GRILL), changes=[touched(clock)])
        assert [entry.id for entry in store.journal(JournalQuery())] == [2, 1]

    @given(
        st.builds(
            StationState,
            st.builds(
                Station,
                st.just("1"),
                st.text(st.characters(exclude_categories=["Cs"])),
                st.sampled_from(Kind),
                *[st.none() | st.booleans()] * 2,
                *[st.none() | st.floats(-1e12, 1e12)] * 2,
            ),
            *[st.none() | st.booleans()] * 2,
            since=st.floats(-1e12, 1e12),
            last_transition=st.none() | st.floats(-1e12, 1e12),
            missing=st.integers(0, 1),
        )
    )
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_station_survives(self, tmp_path: Path, clock: FakeClock, station_state: StationState) -> None:
        store = opened(tmp_path / "any.db", clock)
        store.commit(state(clock, station_state))
        store = reopened(store, clock)
        assert store.venue(VENUE).stations == {"1": station_state}
        store.close()


class TestKill:
    """What is in the file while the process lives is what a kill leaves."""

    def test_a_change_is_in_the_file_at_once(self, path: Path, clock: FakeClock, tmp_path: Path) -> None:
        store = opened(path, clock)
        store.commit(state(clock, GRILL))
        store.commit(state(clock, replace(GRILL, since=77.0)), changes=[touched(clock)])
        left = killed(store, clock, tmp_path / "left")
        assert left.venue(VENUE).stations == {"1": replace(GRILL, since=77.0)}
        assert len(left.journal(JournalQuery())) == 1

    def test_a_change_that_is_not_reported_is_in_the_file_at_once(
        self, path: Path, clock: FakeClock, tmp_path: Path
    ) -> None:
        store = opened(path, clock)
        first = state(clock, GRILL)
        for number, new in enumerate(
            [
                first,
                replace(first, stations={"1": replace(GRILL, missing=0)}),
                replace(first, transitions={(Kind.OTHER, True): 1}),
                replace(first, transitions={(Kind.OTHER, True): 2}, outage=OUTAGE),
            ]
        ):
            store.commit(new)
            left = killed(store, clock, tmp_path / str(number)).venue(VENUE)
            assert (left.stations, left.transitions, left.outage) == (new.stations, new.transitions, new.outage)

    def test_mere_freshness_is_written_every_few_seconds(self, path: Path, clock: FakeClock, tmp_path: Path) -> None:
        store = opened(path, clock)
        first = state(clock, GRILL)
        store.commit(first)
        written = clock.wall()
        clock.forward(1.0)
        store.commit(replace(first, last_success=clock.wall()))
        assert killed(store, clock, tmp_path / "soon").venue(VENUE).last_success == written
        clock.forward(FRESHNESS_SECONDS)
        store.commit(replace(first, last_success=clock.wall()))
        assert killed(store, clock, tmp_path / "later").venue(VENUE).last_success == clock.wall()

    def test_only_changed_rows_are_written(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        first = state(clock, *(replace(GRILL, station=replace(GRILL.station, id=str(id_))) for id_ in range(100)))
        store.commit(first)
        assert store._file is not None
        rows_before = store._file._connection.total_changes
        store.commit(replace(first, stations={**(first.stations or {}), "5": BAR}), changes=[touched(clock)])
        # The venue, the station, the entry.
        assert store._file._connection.total_changes - rows_before == 3


class TestJournal:
    def test_old_entries_go(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock, retention=10 * DAY)
        store.commit(state(clock), changes=[touched(clock)])
        clock.forward(9 * DAY)
        store.commit(state(clock), changes=[touched(clock)])
        assert len(store.journal(JournalQuery())) == 2
        clock.forward(2 * DAY)
        store.commit(state(clock))
        assert len(store.journal(JournalQuery())) == 1

    def test_the_journal_is_bounded_by_rows_too(
        self, path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(file, "JOURNAL_ROWS", 5)
        store = opened(path, clock)
        for _ in range(4):
            store.commit(state(clock), changes=[touched(clock)] * 3)
        assert [entry.id for entry in store.journal(JournalQuery())] == [12, 11, 10, 9, 8]

    def test_a_poll_may_report_more_than_memory_keeps(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(state(clock), changes=[touched(clock)] * (JOURNAL_ROWS + 1))
        assert len(store.journal(JournalQuery(limit=2 * JOURNAL_ROWS))) == JOURNAL_ROWS + 1

    def test_it_can_be_read_while_the_daemon_writes(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(state(clock), changes=[touched(clock)])
        assert read_journal(path, JournalQuery()) == store.journal(JournalQuery())

    def test_it_can_be_read_when_no_daemon_runs(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(state(clock), changes=[touched(clock)])
        store.close()
        assert len(read_journal(path, JournalQuery())) == 1

    def test_it_can_be_read_by_somebody_who_may_only_read(
        self, path: Path, clock: FakeClock, unprivileged: Unprivileged
    ) -> None:
        store = opened(path, clock)
        store.commit(state(clock), changes=[touched(clock)])
        store.close()
        with unprivileged():
            path.parent.chmod(0o555)
            assert len(read_journal(path, JournalQuery())) == 1

    @pytest.mark.parametrize("closed", ["folder/state.db", "folder"])
    def test_a_file_that_is_not_for_this_user_is_named_with_the_remedy(
        self, tmp_path: Path, clock: FakeClock, unprivileged: Unprivileged, closed: str
    ) -> None:
        path = tmp_path / "folder" / "state.db"
        with unprivileged():
            path.parent.mkdir()
            opened(path, clock).close()
            (tmp_path / closed).chmod(0o000)
            with pytest.raises(StoreError, match="no state file that this user may read"):
                read_journal(path, JournalQuery())
            (tmp_path / closed).chmod(0o700)

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (None, "there is no state file"),
            (b"no database " * 100, "not a database"),
            (b"", "the file is empty"),
        ],
    )
    def test_a_file_without_a_journal_is_named(self, path: Path, content: bytes | None, says: str) -> None:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(StoreError, match=says):
            read_journal(path, JournalQuery())


class TestTwoProcesses:
    def test_the_second_is_reported_so(self, path: Path, clock: FakeClock) -> None:
        first = opened(path, clock)
        with pytest.raises(StoreError, match="in use by another clopos-exporter"):
            opened(path, clock)
        first.commit(state(clock, GRILL))
        assert first.up

    def test_a_symbolic_link_is_the_same_file(self, path: Path, clock: FakeClock) -> None:
        first = opened(path, clock)
        link = path.with_name("link.db")
        link.symlink_to(path)
        with pytest.raises(StoreError, match="in use"):
            opened(link, clock)
        assert first.up

    def test_after_the_first_has_gone_the_second_may(self, path: Path, clock: FakeClock) -> None:
        opened(path, clock).close()
        assert opened(path, clock).up


class TestTrouble:
    """Whatever is wrong with the file: serving goes on, it is said once, and it fixes itself where it can."""

    def works_from_memory(self, store: SQLiteStore, clock: FakeClock) -> None:
        store.commit(state(clock, GRILL), changes=[touched(clock)])
        assert store.up is False
        assert store.venue(VENUE).stations == {"1": GRILL}
        assert len(store.journal(JournalQuery())) == 1

    def recovers(self, store: SQLiteStore, clock: FakeClock) -> None:
        clock.forward(RETRY_SECONDS)
        with capture_logs() as logs:
            store.commit(state(clock, GRILL, BAR), changes=[touched(clock)])
        assert store.up is True
        assert [line["event"] for line in logs if line["event"] != "store.set_aside"] == ["store.recovered"]
        store = reopened(store, clock)
        assert store.venue(VENUE).stations == {"1": GRILL, "kitchen": BAR}
        assert len(store.journal(JournalQuery())) == 2

    def test_a_missing_folder(self, tmp_path: Path, clock: FakeClock) -> None:
        path = tmp_path / "not mounted yet" / "state.db"
        with capture_logs() as logs:
            store = opened(path, clock)
            self.works_from_memory(store, clock)
            clock.forward(RETRY_SECONDS)
            store.commit(state(clock, GRILL))
        (line,) = logs
        assert (line["log_level"], line["event"], line["path"]) == ("error", "store.unavailable", str(path))
        assert "does not exist" in line["problem"]
        path.parent.mkdir()
        self.recovers(store, clock)

    def test_it_is_left_alone_for_a_while_between_two_tries(self, tmp_path: Path, clock: FakeClock) -> None:
        path = tmp_path / "folder" / "state.db"
        store = opened(path, clock)
        path.parent.mkdir()
        clock.forward(RETRY_SECONDS - 1)
        store.commit(state(clock, GRILL), changes=[touched(clock)])
        assert store.up is False

    def test_a_folder_that_may_not_be_written(self, path: Path, clock: FakeClock, unprivileged: Unprivileged) -> None:
        with unprivileged():
            path.parent.chmod(0o555)
            with capture_logs() as logs:
                store = opened(path, clock)
            assert "Permission denied" in logs[0]["problem"]
            self.works_from_memory(store, clock)
            path.parent.chmod(0o755)
            self.recovers(store, clock)

    def test_a_read_only_file(self, path: Path, clock: FakeClock, unprivileged: Unprivileged) -> None:
        opened(path, clock).close()
        with unprivileged():
            path.chmod(0o444)
            with capture_logs() as logs:
                store = opened(path, clock)
            assert "read-only" in logs[0]["problem"]
            self.works_from_memory(store, clock)
            path.chmod(0o644)
            self.recovers(store, clock)

    def test_a_file_system_without_locks(self, path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        with monkeypatch.context() as patch, capture_logs() as logs:
            patch.setattr(fcntl, "flock", refuse)
            store = opened(path, clock)
            self.works_from_memory(store, clock)
        assert logs[0]["problem"] == "No locks available"
        self.recovers(store, clock)

    def test_a_full_disk(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        many = [replace(GRILL, station=replace(GRILL.station, id=str(id_))) for id_ in range(5000)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            with capture_logs() as logs:
                store.commit(state(clock, *many))
                self.works_from_memory(store, clock)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert [line["event"] for line in logs] == ["store.unavailable"]
        self.recovers(store, clock)

    def test_a_full_disk_loses_no_event_over_a_restart(self, path: Path, clock: FakeClock, tmp_path: Path) -> None:
        store = opened(path, clock)
        store.commit(state(clock, GRILL))
        assert store._file is not None
        store._file._connection.execute("PRAGMA max_page_count = 1")
        emitted = [touched(clock)] * 200
        store.commit(state(clock, replace(GRILL, status=True)), changes=emitted)
        assert store.up is False
        # The file still has the old status: who starts with it finds the change once more.
        assert killed(store, clock, tmp_path / "left").venue(VENUE).stations == {"1": GRILL}

    def test_a_damaged_file_is_kept_under_another_name(self, path: Path, clock: FakeClock) -> None:
        path.write_bytes(b"\0" * 4096 + b"precious")
        with capture_logs() as logs:
            store = opened(path, clock)
        (line,) = logs
        assert (line["log_level"], line["event"]) == ("error", "store.set_aside")
        assert line["kept"] == f"{path}.damaged-20270115T080000Z"
        assert Path(line["kept"]).read_bytes().endswith(b"precious")
        store.commit(state(clock, GRILL))
        assert reopened(store, clock).venue(VENUE).stations == {"1": GRILL}

    def test_a_second_damaged_file_does_not_replace_the_first(self, path: Path, clock: FakeClock) -> None:
        for content in (b"first " * 500, b"second " * 500):
            path.write_bytes(content)
            opened(path, clock).close()
        kept = sorted(path.parent.glob("*.damaged-*"))
        assert [one.read_bytes()[:3] for one in kept] == [b"fir", b"sec"]

    @pytest.mark.parametrize(
        "damage",
        [
            "UPDATE stations SET kind = 'oven'",
            "UPDATE brands SET venues = '['",
            "UPDATE venues SET last_success = 'yesterday'",
            "DROP TABLE transitions",
            "ALTER TABLE stations DROP COLUMN missing",
        ],
    )
    def test_content_that_we_never_wrote_counts_as_damage(self, path: Path, clock: FakeClock, damage: str) -> None:
        store = opened(path, clock)
        store.commit(state(clock, GRILL))
        store.commit(BrandState("tandir", ()))
        store.close()
        with sqlite3.connect(path) as connection:
            connection.execute(damage)
        connection.close()
        store = opened(path, clock)
        assert store.up is True
        assert store.venues() == []
        assert len(list(path.parent.glob("*.damaged-*"))) == 1

    def test_words_that_only_a_later_exporter_knows_do_no_harm(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(replace(state(clock, GRILL), outage=OUTAGE), changes=[touched(clock), touched(clock)])
        store.close()
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE venues SET outage_reason = 'witchcraft'")
            connection.execute("UPDATE journal SET event = 'station.enchanted' WHERE id = 1")
        connection.close()
        store = opened(path, clock)
        assert store.venue(VENUE).outage == replace(OUTAGE, reason=Reason.INTERNAL)
        assert [entry.id for entry in store.journal(JournalQuery())] == [2]

    def test_an_entry_that_cannot_be_read_costs_only_the_older_part_of_the_journal(
        self, path: Path, clock: FakeClock
    ) -> None:
        store = opened(path, clock)
        store.commit(state(clock, GRILL), changes=[touched(clock)])
        store = reopened(store, clock)
        store.commit(state(clock, GRILL), changes=[touched(clock)])
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE journal SET details = '{' WHERE id = 1")
        connection.close()
        with capture_logs() as logs:
            assert [entry.id for entry in store.journal(JournalQuery())] == [2]
        assert [line["event"] for line in logs] == ["store.journal_unreadable"]
        assert store.up is True

    def test_a_file_that_is_damaged_while_it_is_open(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(state(clock, BAR))
        assert store._file is not None
        store._file._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as raw:
            raw.seek(4096)
            raw.write(b"\xff" * (path.stat().st_size - 4096))
        store._file._connection.execute("PRAGMA cache_size = 0")
        self.works_from_memory(store, clock)
        self.recovers(store, clock)
        assert len(list(path.parent.glob("*.damaged-*[0-9Z]"))) == 1

    def test_the_database_of_another_program_is_not_touched(self, path: Path, clock: FakeClock) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE dashboards (id)")
        connection.close()
        before = path.read_bytes()
        with capture_logs() as logs:
            store = opened(path, clock)
        assert "another program" in logs[0]["problem"]
        self.works_from_memory(store, clock)
        store.close()
        assert path.read_bytes() == before
        assert not list(path.parent.glob("*.damaged-*"))

    def test_what_memory_knows_better_is_written_over_what_an_unreachable_file_had(
        self, tmp_path: Path, clock: FakeClock
    ) -> None:
        away, there = tmp_path / "away", tmp_path / "there"
        there.mkdir()
        other = replace(state(clock, BAR), venue=Venue("plov", "1", "Plov"))
        store = opened(there / "state.db", clock)
        store.commit(state(clock, GRILL, BAR), changes=[touched(clock)])
        store.commit(other, changes=[touched(clock)])
        store.close()
        there.rename(away)
        store = opened(there / "state.db", clock)
        store.commit(state(clock, BAR), changes=[touched(clock)])
        away.rename(there)
        clock.forward(RETRY_SECONDS)
        store.commit(state(clock, BAR), changes=[touched(clock)])
        assert store.up
        store = reopened(store, clock)
        assert store.venue(VENUE).stations == {"kitchen": BAR}
        assert store.venue(other.venue).stations == other.stations
        assert [entry.id for entry in store.journal(JournalQuery())] == [4, 3, 2, 1]

    def test_what_was_forgotten_while_the_file_was_away_is_dropped(self, tmp_path: Path, clock: FakeClock) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        store = opened(folder / "state.db", clock)
        store.commit(state(clock, GRILL))
        store._lose(StoreError("gone"))
        store.commit(removed=[VENUE.key])
        clock.forward(RETRY_SECONDS)
        store.commit(BrandState("tandir"))
        assert reopened(store, clock).venues() == []

    def test_closing_while_the_file_is_away_tries_once_more(self, tmp_path: Path, clock: FakeClock) -> None:
        path = tmp_path / "folder" / "state.db"
        store = opened(path, clock)
        store.commit(state(clock, GRILL))
        path.parent.mkdir()
        store.close()
        assert opened(path, clock).venue(VENUE).stations == {"1": GRILL}

    def test_a_poll_that_ends_after_the_close_does_not_open_the_file_again(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.close()
        clock.forward(10 * RETRY_SECONDS)
        store.commit(state(clock, GRILL), changes=[touched(clock)])
        assert opened(path, clock).venues() == []


class TestInPlace:
    """Somebody deletes, replaces or cuts the file while it is open."""

    def is_noticed_and_written_anew(self, store: SQLiteStore, clock: FakeClock, problem: str) -> None:
        clock.forward(FRESHNESS_SECONDS)
        with capture_logs() as logs:
            store.commit(state(clock, GRILL))
        assert [line["problem"] for line in logs] == [problem]
        noticed = store.up
        clock.forward(RETRY_SECONDS)
        store.commit(state(clock, GRILL, BAR))
        assert (noticed, store.up) == (False, True)
        assert reopened(store, clock).venue(VENUE).stations == {"1": GRILL, "kitchen": BAR}

    def test_a_deleted_file(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(state(clock, GRILL))
        path.unlink()
        self.is_noticed_and_written_anew(store, clock, "the file was deleted while it was open")

    def test_a_replaced_file(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(state(clock, GRILL))
        path.rename(path.with_name("away.db"))
        path.touch()
        self.is_noticed_and_written_anew(store, clock, "the file was replaced while it was open")

    def test_a_truncated_file(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(state(clock, GRILL))
        assert store._file is not None
        store._file._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        clock.forward(FRESHNESS_SECONDS)
        store.commit(state(clock, GRILL))
        os.truncate(path, 100)
        self.is_noticed_and_written_anew(store, clock, "the file was truncated while it was open")

    def test_a_deleted_lock_file_lets_no_second_writer_in(self, path: Path, clock: FakeClock) -> None:
        first = opened(path, clock)
        for other in path.parent.glob("*lock*"):
            other.unlink()
        with pytest.raises(StoreError, match="in use"):
            opened(path, clock)
        assert first.up

    def test_ids_go_on_after_a_file_that_knows_more_entries_was_put_in_place(
        self, path: Path, clock: FakeClock, tmp_path: Path
    ) -> None:
        store = opened(path, clock)
        store.commit(changes=[touched(clock)])
        other = opened(tmp_path / "other.db", clock)
        other.commit(changes=[touched(clock)] * 9)
        other.close()
        (tmp_path / "other.db").rename(path)
        clock.forward(FRESHNESS_SECONDS)
        store.commit(state(clock, GRILL))
        clock.forward(RETRY_SECONDS)
        store.commit(state(clock, BAR), changes=[touched(clock)])
        assert store.journal(JournalQuery())[0].id == 10


class TestLeftBehind:
    """What a process left that was killed, or that was older."""

    def test_venues_that_their_brand_no_longer_lists_are_dropped(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        ghost = replace(state(clock, BAR), venue=Venue("tandir", "9", "Gone"))
        store.commit(BrandState("tandir", (VENUE,)), state(clock, GRILL), ghost)
        store = reopened(store, clock)
        assert [one.venue.id for one in store.venues()] == [VENUE.id]
        assert [one.venue.id for one in reopened(store, clock).venues()] == [VENUE.id]

    def test_a_clock_that_is_set_forward_by_mistake_costs_no_entries(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(changes=[touched(clock)])
        clock.set_wall(clock.wall() + 365 * DAY)
        store.commit(changes=[touched(clock)])
        assert len(store.journal(JournalQuery())) == 2

    def test_the_venue_of_a_brand_whose_list_was_never_readable_is_kept(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        store.commit(BrandState("tandir", outage=OUTAGE), state(clock, GRILL))
        assert [one.venue.id for one in reopened(store, clock).venues()] == [VENUE.id]

    def test_events_that_were_not_emitted_are_not_passed_over_where_the_file_cannot_be_read_for_once(
        self, path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = opened(path, clock)
        store.commit(changes=[touched(clock)] * 3)
        store = reopened(store, clock)
        store.commit(changes=[touched(clock)])

        def too_many_files(*_: object) -> None:
            raise StoreError("unable to open database file")

        with monkeypatch.context() as patch:
            patch.setattr("exporter.store.sqlite.read_entries_after", too_many_files)
            assert not store.entries_after(0, 10)
        assert [entry.id for entry in store.entries_after(0, 10)] == [1, 2, 3, 4]

    def test_a_message_that_is_sent_while_the_file_comes_back_is_not_taken_for_another(
        self, path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        incident = Incident(IncidentKind.VENUE_NO_ACTIVE_STATION, Severity.CRITICAL, "tandir", 5.0, VENUE, fired_at=9.0)
        firing = Change(Event.INCIDENT_FIRING, "tandir", 10.0, incident=incident)
        earlier = opened(path, clock)
        earlier.routes = [Route("shift")]
        earlier.commit(changes=[firing])
        earlier.close()
        with monkeypatch.context() as patch:
            patch.setattr("exporter.store.sqlite.StateFile", _fail)
            store = opened(path, clock)
        store.routes = [Route("shift")]
        other = replace(firing, incident=replace(incident, fired_at=10.0))
        store.commit(changes=[other])
        [sending] = store.deliveries("shift")
        clock.forward(RETRY_SECONDS)
        store.commit(BrandState("tandir"))
        store.update_deliveries([replace(sending, state=DeliveryState.DONE)])
        assert [delivery.change for delivery in store.deliveries("shift")] == [firing, other]

    def test_events_that_were_not_emitted_are_there_for_the_next_process(
        self, path: Path, clock: FakeClock, tmp_path: Path
    ) -> None:
        store = opened(path, clock)
        store.commit(changes=[touched(clock)] * 3)
        store.advance(2)
        left = killed(store, clock, tmp_path / "left")
        assert left.cursor() == 2
        assert [entry.id for entry in left.entries_after(2, 10)] == [3]

    def test_deliveries_survive_a_kill(self, path: Path, clock: FakeClock, tmp_path: Path) -> None:
        store = opened(path, clock)
        store.routes = [Route("shift")]
        incident = Incident(IncidentKind.VENUE_NO_ACTIVE_STATION, Severity.CRITICAL, "tandir", 5.0, VENUE, fired_at=9.0)
        firing = Change(Event.INCIDENT_FIRING, "tandir", 10.0, incident=incident)
        store.commit(changes=[firing, firing])
        first, second = store.deliveries("shift")
        store.update_deliveries([replace(first, state=DeliveryState.DONE)])
        left = killed(store, clock, tmp_path / "left")
        assert left.deliveries("shift") == [second]
        left.routes = [Route("shift")]
        left.commit(changes=[firing])
        assert [delivery.id for delivery in left.deliveries("shift")] == [2, 3]


class TestAccess:
    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
    def test_only_the_owner_may_read_the_files(self, path: Path, clock: FakeClock, umask: int) -> None:
        before = os.umask(umask)
        try:
            store = opened(path, clock)
            store.commit(state(clock, GRILL))
        finally:
            os.umask(before)
        assert {one.name: oct(one.stat().st_mode & 0o777) for one in path.parent.iterdir()} == {
            path.name: "0o600",
            f"{path.name}-shm": "0o600",
            f"{path.name}-wal": "0o600",
        }

    def test_a_file_of_an_older_exporter_is_closed_to_others(self, path: Path, clock: FakeClock) -> None:
        path.touch(mode=0o644)
        opened(path, clock)
        assert oct(path.stat().st_mode & 0o777) == "0o600"

    def test_a_link_in_its_place_is_not_followed(self, path: Path, clock: FakeClock) -> None:
        store = opened(path, clock)
        other = path.with_name("other")
        other.touch(mode=0o644)
        path.unlink()
        path.symlink_to(other)
        for _ in range(2):
            clock.forward(RETRY_SECONDS)
            with capture_logs():
                store.commit(state(clock, GRILL))
        assert store.up is False
        assert (other.read_bytes(), oct(other.stat().st_mode & 0o777)) == (b"", "0o644")

    def test_a_file_of_another_user_is_named(self, path: Path, clock: FakeClock, unprivileged: Unprivileged) -> None:
        path.touch(mode=0o600)
        if os.geteuid() != 0:
            pytest.skip("only root can give a file to another user")
        with unprivileged():
            os.seteuid(0)
            os.chown(path, 0, 0)
            os.seteuid(65534)
            with capture_logs() as logs:
                store = opened(path, clock)
            assert store.up is False
        assert "belongs to another user" in logs[0]["problem"]
