"""What is wrong and who has to know: state, opening hours and time make incidents.

Pure: no clock, no log, no store. `BrandIncidents` decides for a brand and its venues, `assess_service` for the process.
Not knowing changes nothing: a venue that is lost, half an answer, an unclear status or a restart fires and resolves
nothing. A pending incident is a condition that holds and has not lasted long enough yet.
"""

from exporter.incidents.context import holds_since, switched_at
from exporter.incidents.monitor import BrandIncidents, Decision, end_all
from exporter.incidents.records import inactive_open_seconds
from exporter.incidents.service import CHANNEL, assess_service
from exporter.incidents.values import BrandFacts, IncidentRules, PartHealth

__all__ = [
    "CHANNEL",
    "BrandFacts",
    "BrandIncidents",
    "Decision",
    "IncidentRules",
    "PartHealth",
    "assess_service",
    "end_all",
    "holds_since",
    "inactive_open_seconds",
    "switched_at",
]
