"""What the example of an Alertmanager leaves unsaid, because something wider says it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alerting import Alertmanager, Receiver, until

from monitoring.rules import ALERTS
from monitoring.rules.model import Scope

MUTED = (
    ("CloposLoginFailing", "CloposBrandUnreachable"),
    ("CloposLoginFailing", "CloposVenueDataStale"),
    ("CloposBrandUnreachable", "CloposVenueDataStale"),
    ("CloposBrandUnreachable", "CloposPollErrorBudgetBurn"),
    ("CloposVenueNoActiveStation", "CloposVenueNoPrintingStation"),
    ("CloposVenueNoPrintingStation", "CloposStationPrintingDisabled"),
    ("CloposExporterAbsent", "CloposExporterDown"),
    ("CloposStationStillInactive", "CloposKitchenStationInactive"),
    ("CloposStationStillInactive", "CloposStationNotReady"),
)
HEARD = (
    ("CloposManyVenuesInactive", "CloposKitchenStationInactive"),
    ("CloposManyVenuesInactive", "CloposVenueNoActiveStation"),
    ("CloposBrandUnreachable", "CloposKitchenStationInactive"),
    ("CloposLoginFailing", "CloposStationInactive"),
    ("CloposVenueDataStale", "CloposStationInactive"),
    ("CloposVenueMissing", "CloposStationDisappeared"),
    ("CloposKitchenStationInactive", "CloposVenueNoActiveStation"),
    ("CloposKitchenStationInactive", "CloposStationFlapping"),
    ("CloposVenueDataStale", "CloposBrandUnreachable"),
    ("CloposQuotaNearlyExhausted", "CloposKitchenStationInactive"),
    ("CloposPollErrorBudgetBurn", "CloposKitchenStationInactive"),
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def alertmanager(tmp_path: Path, program: Callable[..., str], receiver: Receiver) -> Iterator[Alertmanager]:
    found = program("prometheus-alertmanager", "alertmanager")
    with Alertmanager(found, tmp_path / "alertmanager", receiver) as server:
        yield server


def fired(name: str, brand: str, **changed: str) -> dict[str, object]:
    """Return an alert as Prometheus sends it."""
    alert = next(alert for alert in ALERTS if alert.name == name)
    labels = {"alertname": name, **alert.as_dict()["labels"]}
    ids = {"brand": brand, "venue_id": "7", "station_id": "1"}
    known = {Scope.STATION: 3, Scope.VENUE: 2, Scope.BRAND: 1, Scope.EXPORTER: 0}[alert.scope]
    return {"labels": labels | dict(list(ids.items())[:known]) | changed, "annotations": alert.as_dict()["annotations"]}


@pytest.mark.slow
def test_a_wider_alert_mutes_the_narrower_ones_and_nothing_else(alertmanager: Alertmanager) -> None:
    pairs = list(enumerate([*MUTED, *HEARD]))
    sent = [fired(name, f"brand-{number}") for number, pair in pairs for name in pair]
    # A station that is off in the morning is not the one whose alert the closing ended.
    sent += [
        fired("CloposStationStillInactive", "morning", kind="kitchen_station_inactive"),
        fired("CloposStationNotReady", "morning", kind="station_not_ready"),
    ]
    # Another venue of the same brand is none of a venue's business.
    sent += [fired("CloposVenueNoActiveStation", "other"), fired("CloposStationInactive", "other", venue_id="8")]
    alertmanager.post("/api/v2/alerts", sent)
    shown = until(lambda: len(found := alertmanager.get("/api/v2/alerts")) == len(sent) and found, "alerts", 60)
    muted = {
        (alert["labels"].get("brand", ""), alert["labels"]["alertname"])
        for alert in shown
        if alert["status"]["inhibitedBy"]
    }
    for number, (_, narrower) in pairs:
        brand = "" if narrower == "CloposExporterDown" else f"brand-{number}"
        assert ((brand, narrower) in muted) is (number < len(MUTED)), narrower
    assert all(brand not in ("other", "morning") for brand, _ in muted)


@pytest.mark.slow
def test_an_alert_that_ended_is_called_over_only_when_its_station_is_active(
    alertmanager: Alertmanager, receiver: Receiver
) -> None:
    kitchen = fired("CloposKitchenStationInactive", "tandir", kind="kitchen_station_inactive")
    still = fired("CloposStationStillInactive", "tandir", kind="kitchen_station_inactive")
    began = time.monotonic()
    alertmanager.post("/api/v2/alerts", [kitchen])
    receiver.wait_for("Kitchen station", began)
    over = {"endsAt": datetime.now(UTC).isoformat()}
    alertmanager.post("/api/v2/alerts", [still, kitchen | over])
    time.sleep(8)  # several times the interval of its group
    assert len(receiver.since(began)) == 1
    # Prometheus sends again what ended, for a quarter of an hour.
    alertmanager.post("/api/v2/alerts", [still | over, kitchen | over])
    receiver.wait_for("No longer reported: Kitchen station", began)
