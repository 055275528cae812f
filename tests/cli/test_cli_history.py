from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from zoneinfo import ZoneInfo

import pytest
from cli_fakes import run
from fakes import station, venue

from exporter.clock import Clock
from exporter.model import Change, Event, Incident, IncidentKind, Severity, Venue, VenueState
from exporter.store import open_store


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A journal of three events: two hours, one hour and a minute ago."""
    store = open_store(tmp_path / "state.db", Clock(), 90 * 86400.0)
    now = time()
    store.commit(
        VenueState(venue()),
        changes=[
            Change(Event.STATION_ADDED, "tandir-group", now - 7200, venue(), station("1", "Bar")),
            Change(
                Event.STATION_DEACTIVATED,
                "tandir-group",
                now - 3600,
                venue(),
                station("2", "Odd\x1b[31m"),
                {"previous_for_seconds": 60.0},
            ),
        ],
    )
    other = Venue("other", "9", "Bakı")
    store.commit(
        VenueState(other), changes=[Change(Event.VENUE_LOST, "other", now - 60, other, details={"reason": "timeout"})]
    )
    store.close()
    return str(tmp_path / "state.db")


@pytest.fixture
def events(path: str) -> Callable[..., list[str]]:
    def ask(*arguments: str) -> list[str]:
        result = run("history", "--state.path", path, "--output", "json", *arguments)
        assert result.exit_code == 0, result.output
        return [json.loads(line)["event"] for line in result.stdout.splitlines()]

    return ask


def test_the_journal_is_printed_with_the_newest_last(path: str) -> None:
    result = run("history", "--state.path", path)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["TIME", "(UTC)", "EVENT", "BRAND", "VENUE", "STATION", "DETAILS"]
    assert [line.split()[2] for line in lines[1:]] == ["station.added", "station.deactivated", "venue.lost"]
    assert lines[2].endswith("  previous for 1m")
    assert "7 Gəncə" in lines[1]
    assert "\x1b" not in result.stdout


def test_json_is_one_object_a_line_with_the_fields_of_the_event(path: str) -> None:
    result = run("history", "--state.path", path, "--output", "json", "--station", "2")
    record = json.loads(result.stdout)
    assert record.pop("observed_at").endswith("Z")
    assert record == {
        "event": "station.deactivated",
        "brand": "tandir-group",
        "venue_id": "7",
        "venue": "Gəncə",
        "station_id": "2",
        "station": "Odd\x1b[31m",
        "kind": "kitchen",
        "updated_at": "1970-01-01T00:00:02.000000Z",
        "previous_for_seconds": 60.0,
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["station.added", "station.deactivated", "venue.lost"]),
        (["--brand", "other"], ["venue.lost"]),
        (["--venue", "7"], ["station.added", "station.deactivated"]),
        (["--station", "1"], ["station.added"]),
        (["--event", "venue.lost", "--event", "station.added"], ["station.added", "venue.lost"]),
        (["--since", "90m"], ["station.deactivated", "venue.lost"]),
        (["--since", "1970-01-01T00:00"], ["station.added", "station.deactivated", "venue.lost"]),
        (["--since", "2999-01-01T00:00+04:00"], []),
        (["--limit", "1"], ["venue.lost"]),
    ],
)
def test_it_can_be_filtered(events: Callable[..., list[str]], arguments: list[str], expected: list[str]) -> None:
    assert events(*arguments) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["--since", "yesterday"],
        ["--since", "-5m"],
        ["--limit", "0"],
        ["--limit", "99999999999999999999"],
        ["--event", "nonsense"],
        ["--output", "xml"],
    ],
)
def test_a_wrong_filter_is_refused(path: str, arguments: list[str]) -> None:
    assert run("history", "--state.path", path, *arguments).exit_code == 2


def test_a_brand_that_the_journal_does_not_know_is_a_wrong_flag(path: str) -> None:
    result = run("history", "--state.path", path, "--brand", "typo")
    assert result.exit_code == 2
    assert "the journal holds no event of 'typo'" in result.output


def test_an_empty_table_says_that_it_is(path: str) -> None:
    result = run("history", "--state.path", path, "--venue", "99")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no event matches\n")


def test_the_path_is_that_of_the_configuration(path: str, tmp_path: Path) -> None:
    (tmp_path / "clopos.yml").write_text(f"state: {{path: {path}}}\nbrands: [{{brand: b, token: ready-made-token}}]\n")
    result = run("history", "--config.file", str(tmp_path / "clopos.yml"))
    assert result.exit_code == 0
    assert "venue.lost" in result.stdout


def written(folder: Path, path: str, *zones: str) -> str:
    brands = [
        {"brand": brand, "token": "ready-made-token", "time_zone": zone}
        for brand, zone in zip(("tandir-group", "other"), zones, strict=True)
    ]
    file = folder / "zones.yml"
    file.write_text(json.dumps({"state": {"path": path}, "brands": brands}))
    file.chmod(0o600)
    return str(file)


def test_times_are_those_of_the_brands_and_the_table_says_which(path: str, tmp_path: Path) -> None:
    config = written(tmp_path, path, "Asia/Baku", "Asia/Baku")
    lines = run("history", "--config.file", config).stdout.splitlines()
    event = json.loads(run("history", "--config.file", config, "--output", "json").stdout.splitlines()[0])
    seen = datetime.fromisoformat(event["observed_at"])
    assert seen.utcoffset() == timedelta(0), "what programs read stays in UTC"
    assert lines[0].startswith("TIME (Asia/Baku)")
    assert lines[1].startswith(f"{seen.astimezone(ZoneInfo('Asia/Baku')):%Y-%m-%d %H:%M:%S}  ")


def test_times_among_the_details_are_those_of_the_table_too(tmp_path: Path) -> None:
    began = datetime(2026, 11, 27, 17, 18, 4, 487981, UTC).timestamp()
    incident = Incident(
        IncidentKind.STATION_INACTIVE,
        Severity.WARNING,
        "tandir-group",
        began,
        venue(),
        station_id="1",
        details={"since": began, "edited_at": {"1": began}},
    )
    store = open_store(tmp_path / "state.db", Clock(), 1e9)
    change = Change(Event.INCIDENT_FIRING, "tandir-group", began + 60, venue(), incident=incident)
    store.commit(VenueState(venue()), changes=[change])
    store.close()
    config = written(tmp_path, str(tmp_path / "state.db"), "Asia/Baku", "UTC")
    details = run("history", "--config.file", config).stdout.splitlines()[1]
    for text in ("began at 2026", "since 2026", "edited at {'1': '2026"):
        assert f"{text}-11-27 21:18:04" in details
    assert "17:18:04" not in details


def test_where_time_zones_differ_each_time_names_its_own(path: str, tmp_path: Path) -> None:
    lines = run("history", "--config.file", written(tmp_path, path, "Asia/Baku", "UTC")).stdout.splitlines()
    assert lines[0].startswith("TIME  ")
    assert [line.split()[2] for line in lines[1:]] == ["Asia/Baku", "Asia/Baku", "UTC"]


def test_a_time_that_is_asked_for_is_one_of_the_table(path: str, tmp_path: Path) -> None:
    config = written(tmp_path, path, "Asia/Baku", "Asia/Baku")
    last = run("history", "--config.file", config).stdout.splitlines()[-1]
    again = run("history", "--config.file", config, "--since", last[:19]).stdout.splitlines()
    assert [line.split() for line in again[1:]] == [last.split()]


def test_without_a_path_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "clopos.yml").write_text("brands: [{brand: b, token: ready-made-token}]\n")
    result = run("history", "--config.file", str(tmp_path / "clopos.yml"))
    assert result.exit_code == 1
    assert "set state.path, or give --state.path" in result.output


@pytest.mark.parametrize("content", [None, b"", b"nonsense" * 1000])
def test_a_file_that_is_no_journal_is_said_to_be_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "state.db").write_bytes(content)
    result = run("history", "--state.path", str(tmp_path / "state.db"))
    assert result.exit_code == 1
    assert result.output.startswith("error: ")
    assert "state.db" in result.output


def test_a_state_file_that_is_not_there_is_named_once_with_the_remedy(tmp_path: Path) -> None:
    result = run("history", "--state.path", str(tmp_path / "none.db"))
    assert result.exit_code == 1
    assert result.output.count("none.db") == 1
    assert "`serve` makes it" in result.output
