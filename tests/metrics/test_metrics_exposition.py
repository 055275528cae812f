from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from threading import Event, Thread
from typing import Any

import pytest
from fakes import FakeClock, station, venue
from metrics_fakes import ACCEPTS, OPENMETRICS_ACCEPT, TEXT_ACCEPT, Brands, family_blocks, unpacked, view

from exporter.metrics import deflate
from exporter.metrics import exposition as module
from exporter.metrics.exposition import BLOCK, TELEMETRY_AGE, Exposition
from exporter.metrics.families import FAMILIES, Family
from exporter.metrics.render import lines
from exporter.negotiation import OPENMETRICS, TEXT
from exporter.views import VenueView


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def telemetry() -> Brands:
    return Brands()


@pytest.fixture
def made(telemetry: Brands, clock: FakeClock) -> Exposition:
    return Exposition(telemetry, clock)


def text(made: Exposition, *names: str) -> str:
    return unpacked(made.scrape(TEXT_ACCEPT, "", frozenset(names))).decode()


def test_the_answer_says_in_which_format_and_encoding_it_is(made: Exposition) -> None:
    said = [made.scrape(accept, encoding)[1:] for accept, encoding in ACCEPTS]
    assert said == [(TEXT, None), (OPENMETRICS, None), (TEXT, "gzip"), (OPENMETRICS, "gzip")]


def test_families_stand_in_one_order_and_in_one_piece_each(made: Exposition) -> None:
    for number in range(3):
        made.update(view(station(), of=venue(str(number))))
    names = [family.name for family in FAMILIES]
    assert family_blocks(unpacked(made.scrape(TEXT_ACCEPT, ""))) == names
    openmetrics = unpacked(made.scrape(OPENMETRICS_ACCEPT, ""))
    assert family_blocks(openmetrics) == [name.removesuffix("_total") for name in names]
    assert openmetrics.endswith(b"# EOF\n")


def test_a_station_that_vanished_vanishes_from_the_scrape(made: Exposition) -> None:
    made.update(view(station("1", "Tandir"), station("2", "Bar")))
    made.update(view(station("1", "Tandir")))
    assert "Tandir" in text(made)
    assert "Bar" not in text(made)


def test_a_renamed_venue_leaves_nothing_under_its_old_name(made: Exposition) -> None:
    made.update(view(station(), of=venue(name="Old")))
    made.update(view(station(), of=venue(name="New")))
    assert "New" in text(made)
    assert "Old" not in text(made)


def test_a_venue_that_was_forgotten_is_gone_and_its_place_is_taken_by_the_next(made: Exposition) -> None:
    for id_ in ("1", "2"):
        made.update(view(station(), of=venue(id_)))
    made.remove(venue("1").key)
    assert 'venue_id="1"' not in text(made)
    made.update(view(station(), of=venue("3")))
    assert text(made).index('venue_id="3"') < text(made).index('venue_id="2"')


def test_forgetting_a_venue_that_is_not_there_does_nothing(made: Exposition) -> None:
    before = text(made)
    made.remove(venue("nowhere").key)
    assert text(made) == before


def test_stale_stations_disappear_and_come_back_while_counters_stay(made: Exposition) -> None:
    fresh = view(station())
    made.update(fresh)
    made.update(replace(fresh, stale=True))
    assert "clopos_station_active{" not in text(made)
    assert "clopos_stations{" not in text(made)
    assert "clopos_venue_polls_total{" in text(made)
    made.update(fresh)
    assert "clopos_station_active{" in text(made)


def test_a_station_that_becomes_ignored_shows_at_once(made: Exposition) -> None:
    before = view(station("1"))
    made.update(before)
    made.update(replace(before, ignored=frozenset("1")))
    assert "clopos_station_ignored{" in text(made)


def test_names_limit_the_scrape_to_their_families(made: Exposition) -> None:
    made.update(view(station()))
    assert family_blocks(text(made, "clopos_station_active", "clopos_venue_up").encode())[:2] == [
        "clopos_station_active",
        "clopos_venue_up",
    ]
    assert "clopos_stations{" not in text(made, "clopos_station_active")
    packed = made.scrape(OPENMETRICS_ACCEPT, "gzip", frozenset({"clopos_venue_up"}))
    assert "clopos_venue_up{" in unpacked(packed).decode()


# That it is made once, and only as often as something changed


@pytest.mark.parametrize(("accept", "encoding"), ACCEPTS)
def test_an_unchanged_scrape_is_the_same_bytes(made: Exposition, accept: str, encoding: str) -> None:
    made.update(view(station()))
    first = made.scrape(accept, encoding).body
    assert made.scrape(accept, encoding).body is first
    made.update(view(station()))
    assert made.scrape(accept, encoding).body is first, "a poll that brought nothing new"
    made.update(view(station(active=False)))
    assert made.scrape(accept, encoding).body != first


def test_the_text_about_the_process_is_made_once_a_second(
    made: Exposition, telemetry: Brands, clock: FakeClock
) -> None:
    for seconds in (0.0, TELEMETRY_AGE * 0.9, TELEMETRY_AGE * 0.2):
        clock.forward(seconds)
        made.scrape(TEXT_ACCEPT, "")
        made.scrape(TEXT_ACCEPT, "gzip")
    assert telemetry.asked == 2


def test_only_the_block_of_a_venue_that_changed_is_compressed_again(
    made: Exposition, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3 * BLOCK):
        made.update(view(station(), of=venue(str(number))))
    made.scrape(TEXT_ACCEPT, "gzip")
    compressed: list[bytes] = []
    compress = deflate.compress

    def spy(data: bytes) -> deflate.Deflated:
        compressed.append(data)
        return compress(data)

    monkeypatch.setattr(deflate, "compress", spy)
    made.update(view(station(active=False), of=venue("0")))
    made.scrape(TEXT_ACCEPT, "gzip")
    venues_seen = [data.count(b"clopos_station_active{") for data in compressed]
    assert sorted(venues_seen, reverse=True)[:2] == [BLOCK, 0]


def test_columns_of_many_blocks_that_changed_are_compressed_as_one(
    made: Exposition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MANY_BLOCKS", 2)
    numbers = range(4 * BLOCK)
    for number in numbers:
        made.update(view(station(), of=venue(str(number))))
    compressed: list[bytes] = []
    compress = deflate.compress

    def spy(data: bytes) -> deflate.Deflated:
        compressed.append(data)
        return compress(data)

    monkeypatch.setattr(deflate, "compress", spy)
    cases = ((numbers, 1), (numbers[:1], 4), (numbers[:1], 1), (numbers, 1))  # blocks are compressed when few changed
    for polls, (changed, calls) in enumerate(cases, 1):
        for number in changed:
            made.update(view(station(), of=venue(str(number)), polls=polls))
        compressed.clear()
        body = made.scrape(TEXT_ACCEPT, "gzip").body
        assert sum(b"clopos_venue_polls_total{" in data for data in compressed) == calls
        assert zlib.decompress(body, 31) == made.scrape(TEXT_ACCEPT, "").body


def test_only_the_families_of_the_poll_are_rendered_when_the_stations_are_the_same_object(
    made: Exposition, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = view(station())
    made.update(before)
    rendered: list[str] = []

    def spy(families: Sequence[Family[Any]], seen: VenueView) -> list[bytes]:
        rendered.extend(family.name for family in families)
        return lines(families, seen)

    monkeypatch.setattr(module, "lines", spy)
    made.update(replace(before, state=replace(before.state, polls=2)))
    assert "clopos_venue_polls_total" in rendered
    assert not [name for name in rendered if name.startswith(("clopos_station_active", "clopos_stations"))]
    assert 'clopos_venue_polls_total{brand="tandir-group",venue="Gəncə",venue_id="7"} 2.0\n' in text(made)


def test_scrapes_while_venues_change_are_whole(made: Exposition) -> None:
    done = Event()

    def change() -> None:
        for number in range(300):
            id_ = str(number % 40)
            if number % 7 == 6:
                made.remove(venue(id_).key)
            else:
                made.update(view(station(active=number % 2 == 0), of=venue(id_), polls=number))
        done.set()

    thread = Thread(target=change)
    thread.start()
    scrapes = 0
    while not done.is_set() or not scrapes:
        for accept, encoding in ACCEPTS:
            scrape = made.scrape(accept, encoding)
            body = zlib.decompress(scrape.body, 31) if encoding else scrape.body
            lines = body.decode().split("\n")
            active = [line for line in lines if line.startswith("clopos_station_active{")]
            polls = [line for line in lines if line.startswith("clopos_venue_polls_total{")]
            assert len(active) == len(polls), "a venue is there with all its families or with none"
        scrapes += 1
    thread.join()


def test_a_text_that_is_too_large_for_one_document_comes_in_the_chunks_there_are(
    made: Exposition, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3 * BLOCK):
        made.update(view(station(), of=venue(str(number))))
    with monkeypatch.context() as patch:
        patch.setattr(module, "LARGEST_DOCUMENT", 1000)
        chunks = made.scrape(TEXT_ACCEPT, "").chunks
    whole = made.scrape(TEXT_ACCEPT, "")
    assert len(whole.chunks) == 1
    assert len(chunks) > len(FAMILIES)
    assert b"".join(chunks) == whole.body
