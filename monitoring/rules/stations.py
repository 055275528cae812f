"""Alerts for those who run the restaurants: each is a kind of incident, which the exporter decides."""

from __future__ import annotations

from exporter.model import IncidentKind
from monitoring.rules.model import Alert, Audience, Scope, Severity, incident

ALERTS = (
    # Before the others, so that Alertmanager knows it when one of them ends.
    Alert(
        name="CloposStationStillInactive",
        meaning="An alert about an inactive station ended, and nobody may say that the station is active again.",
        expr="""
        incident:clopos_incident:ended
        and on (brand, venue_id, station_id) clopos_station_inactive_since_timestamp_seconds
        or incident:clopos_incident:ended{station_id=""} unless on (brand, venue_id) clopos_stations_active > 0
        or incident:clopos_incident:ended unless on (brand, venue_id) venue:clopos_venue_up:max == 1
        """,
        wait=None,
        severity=Severity.INFO,
        scope=Scope.STATION,
        audience=Audience.BUSINESS,
        summary="What was inactive at <venue> is not reported any more, and is not known to be active",
        description="""
        The venue closed, the exporter or Clopos does not answer, or another alert stands for it. Nobody has to be sent
        this: it keeps Alertmanager from saying that an alert is over.
        """,
    ),
    incident(
        IncidentKind.MANY_VENUES_INACTIVE,
        "CloposManyVenuesInactive",
        "Stations of many venues of a brand were switched off at about the same time.",
        "Stations of many venues of <brand> were switched off at once",
    ),
    incident(
        IncidentKind.VENUE_NO_ACTIVE_STATION,
        "CloposVenueNoActiveStation",
        "Every station of a venue is inactive in opening hours.",
        "No station of <venue> is active in Clopos",
    ),
    Alert(
        name="CloposVenueNoPrintingStation",
        meaning="Printing was switched off for a station, and no other station of the venue prints.",
        expr="""
        group by (brand, venue_id, venue) (incident:clopos_incident:seen_timestamp_seconds{kind="printing_disabled"})
        and on (brand, venue_id) max by (brand, venue_id) (clopos_stations_printable) == 0
        """,
        wait=None,
        severity=Severity.CRITICAL,
        scope=Scope.VENUE,
        audience=Audience.BUSINESS,
        summary="No station of <venue> prints tickets",
        description="""
        No station of <venue> prints tickets any more, though one did today. Look at the screens for orders, and switch
        printing on again in the Clopos back office.
        """,
    ),
    incident(
        IncidentKind.KITCHEN_STATION_INACTIVE,
        "CloposKitchenStationInactive",
        "A kitchen station is inactive in opening hours.",
        "Kitchen station <station> of <venue> is inactive in Clopos",
    ),
    incident(
        IncidentKind.STATION_INACTIVE,
        "CloposStationInactive",
        "A station other than a kitchen's is inactive in opening hours.",
        "Station <station> of <venue> is inactive in Clopos",
    ),
    incident(
        IncidentKind.PRINTING_DISABLED,
        "CloposStationPrintingDisabled",
        "Printing was switched off for an active station.",
        "Printing was switched off for station <station> of <venue>",
    ),
    incident(
        IncidentKind.STATION_REMOVED,
        "CloposStationDisappeared",
        "A station that was in use is gone from Clopos.",
        "Station <station> of <venue> is gone from Clopos",
    ),
    incident(
        IncidentKind.STATION_FLAPPING,
        "CloposStationFlapping",
        "A station is switched off and on again and again.",
        "Station <station> of <venue> is switched off and on again and again",
    ),
    incident(
        IncidentKind.STATION_NOT_READY,
        "CloposStationNotReady",
        "A station, or every station of a venue, is inactive half an hour before opening.",
        "{{ with $labels.station }}Station {{ . }}{{ else }}Every station{{ end }} of <venue> is not ready for opening",
    ),
)
