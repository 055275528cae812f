from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from fakes import NOON

from exporter.metrics import incidents as module
from exporter.metrics.families import INCIDENT_FAMILIES
from exporter.metrics.incidents import IncidentLines
from exporter.metrics.render import lines
from exporter.model import Incident, IncidentKind, Venue

KIND = IncidentKind.KITCHEN_STATION_INACTIVE


def firing(number: int) -> Incident:
    venue = Venue("tandir-group", str(number), f"Venue {number}")
    return Incident(KIND, KIND.severity, "tandir-group", NOON + number, venue, "1", "Grill", fired_at=NOON + number)


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[Incident]:
    """Return the incidents that were rendered, in their order."""
    found: list[Incident] = []

    def count(families: Sequence[object], incident: Incident) -> list[bytes]:
        assert families is INCIDENT_FAMILIES
        found.append(incident)
        return lines(INCIDENT_FAMILIES, incident)

    monkeypatch.setattr(module, "lines", count)
    return found


def test_a_thousand_incidents_are_rendered_once_however_often_they_are_scraped(rendered: list[Incident]) -> None:
    kept, incidents = IncidentLines(), [firing(number) for number in range(1_000)]
    first = kept.columns(incidents)
    assert all(kept.columns(list(incidents)) is first for _ in range(10))
    assert len(rendered) == 1_000


def test_only_an_incident_that_is_new_is_rendered(rendered: list[Incident]) -> None:
    kept, incidents = IncidentLines(), [firing(number) for number in range(1_000)]
    kept.columns(incidents)
    rendered.clear()
    begun = firing(1_000)
    for now in ([*incidents, begun], [begun, *incidents[1:]], incidents[1:500]):
        assert kept.columns(now) == rendered_anew(now)
    assert rendered == [begun]
    changed = [replace(incidents[1], began_at=NOON - 60), *incidents[2:500]]
    assert kept.columns(changed) == rendered_anew(changed)
    assert rendered == [begun, changed[0]]


def test_there_are_no_lines_without_incidents_and_none_are_left_of_those_that_ended() -> None:
    kept = IncidentLines()
    assert kept.columns(()) == [b"", b""]
    kept.columns([firing(1)])
    assert kept.columns(()) == [b"", b""]


def test_an_incident_of_a_station_started_when_that_was_switched() -> None:
    switched = replace(firing(1), details={"since": NOON - 100.0})
    assert float(IncidentLines().columns([switched])[1].split()[-1]) == NOON - 100.0


def rendered_anew(incidents: Sequence[Incident]) -> list[bytes]:
    """Return the lines as they are without anything kept."""
    by_age = sorted(incidents, key=lambda incident: incident.began_at)
    return [b"".join(column) for column in zip(*(lines(INCIDENT_FAMILIES, one) for one in by_age), strict=True)]
