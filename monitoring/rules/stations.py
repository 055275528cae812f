"""Alerts for those who run the restaurants."""

from __future__ import annotations

from monitoring.rules.model import Alert, Audience, Scope, Severity
from monitoring.rules.recording import HOLD

KITCHEN_OFF = 'station:clopos_station_active:open{kind="kitchen"} == 0'

MANY = Alert(
    name="CloposManyVenuesInactive",
    meaning="Kitchen stations of many venues of a brand turned inactive at about the same time.",
    # At once: five venues that were not affected a quarter of an hour ago. Once it fires it stays until less than five
    # venues or a tenth of them are left, so that the venues' own alerts do not follow one after the other.
    expr=f"""
    count by (brand) (group by (brand, venue_id) ({KITCHEN_OFF})) >= 5
    and on (brand)
    count by (brand) (group by (brand, venue_id) ({KITCHEN_OFF}))
    / on (brand)
    count by (brand) (venue:clopos_venue_open:current == 1) >= 0.1
    and on (brand)
    (
      count by (brand) (
        group by (brand, venue_id) ({KITCHEN_OFF})
        unless on (brand, venue_id)
        station:clopos_station_active:open{{kind="kitchen"}} offset 15m == 0
      ) >= 5
      or on (brand)
      ALERTS{{alertname="CloposManyVenuesInactive", alertstate="firing"}}
    )
    """,
    wait="1m",
    severity=Severity.CRITICAL,
    scope=Scope.BRAND,
    audience=Audience.BUSINESS,
    summary="Kitchen stations of <value> venues of <brand> turned inactive at once",
    description="""
    <value> venues of <brand> have an inactive kitchen station during opening hours, most of them since a short
    while ago: probably one bulk edit in Clopos. Undo it there for all of them. This page stands for those of the single
    venues. Some of them: <affected>.
    """,
)

ALERTS = (
    MANY,
    Alert(
        name="CloposVenueNoActiveStation",
        meaning="Every station of a venue is inactive in opening hours.",
        expr="""
        max by (brand, venue_id) (station:clopos_station_active:open) == 0
        unless on (brand, venue_id)
        clopos_station_active != clopos_station_active
        """,
        wait="2m",
        severity=Severity.CRITICAL,
        scope=Scope.VENUE,
        audience=Audience.BUSINESS,
        summary="No station of <venue> is active in Clopos",
        description="""
        <venue> (<brand>) is open, and every one of its stations is inactive in Clopos: new orders go nowhere. Switch
        the stations on in the Clopos back office now, and take orders to the kitchen by hand until then.
        """,
    ),
    Alert(
        name="CloposVenueNoPrintingStation",
        meaning="No station of a venue prints any more, though one did within the last twelve hours.",
        # Silent as long as any station may print: one that is neither known to be inactive nor known not to print.
        expr=f"""
        group by (brand, venue_id) (
          max_over_time(station:clopos_station_printable:current[12h:10m]) == 1
          and on (brand, venue_id, station_id)
          station:clopos_station_active:open
        )
        unless on (brand, venue_id)
        (
          last_over_time(clopos_station_active[{HOLD}])
          unless on (brand, venue_id, station_id) station:clopos_station_active:current == 0
          unless on (brand, venue_id, station_id) station:clopos_station_printable:current == 0
          unless on (brand, venue_id, station_id) last_over_time(clopos_station_ignored[{HOLD}]) == 1
        )
        """,
        wait="2m",
        severity=Severity.CRITICAL,
        scope=Scope.VENUE,
        audience=Audience.BUSINESS,
        summary="No station of <venue> prints tickets",
        description="""
        <venue> (<brand>) is open, and no active station of it prints tickets any more, though one did today. Orders may
        show on screens only. Switch a printing station on, or printing on again, in the Clopos back office.
        """,
    ),
    Alert(
        name="CloposKitchenStationInactive",
        meaning="A kitchen station is inactive in opening hours.",
        expr=KITCHEN_OFF,
        wait="2m",
        severity=Severity.CRITICAL,
        scope=Scope.STATION,
        audience=Audience.BUSINESS,
        summary="Kitchen station <station> of <venue> is inactive in Clopos",
        description="""
        The kitchen station <station> of <venue> (<brand>) is disabled in Clopos during opening hours: new orders are
        not sent to it. Switch it on in the Clopos back office, under stations. <ignore>
        """,
    ),
    Alert(
        name="CloposStationInactive",
        meaning="A station other than a kitchen's is inactive in opening hours.",
        expr='station:clopos_station_active:open{kind!="kitchen"} == 0',
        wait="5m",
        severity=Severity.WARNING,
        scope=Scope.STATION,
        audience=Audience.BUSINESS,
        summary="Station <station> of <venue> is inactive in Clopos",
        description="""
        The station <station> of <venue> (<brand>) is disabled in Clopos during opening hours: new orders are not sent
        to it. Switch it on in the Clopos back office, under stations. <ignore>
        """,
    ),
    Alert(
        name="CloposStationPrintingDisabled",
        meaning="Printing was switched off for an active station within the last twelve hours.",
        expr="""
        (
          station:clopos_station_printable:current == 0
          and on (brand, venue_id, station_id)
          max_over_time(station:clopos_station_printable:current[12h:10m]) == 1
        )
        and on (brand, venue_id, station_id)
        station:clopos_station_active:open == 1
        """,
        wait="2m",
        severity=Severity.WARNING,
        scope=Scope.STATION,
        audience=Audience.BUSINESS,
        summary="Printing was disabled for station <station> of <venue>",
        description="""
        The station <station> of <venue> (<brand>) printed tickets until a while ago, and Clopos now says that it does
        not. Orders may show on its screen only. If nobody meant that, enable printing for it in the Clopos back office.
        """,
    ),
    Alert(
        name="CloposStationDisappeared",
        meaning="A station that was active within the last twelve hours is gone from Clopos.",
        expr="""
        (
          max by (brand, venue_id, station_id) (
            max_over_time(station:clopos_station_active:watched[12h:10m])
          ) == 1
          unless on (brand, venue_id, station_id) clopos_station_active
        )
        and on (brand, venue_id) venue:clopos_venue_up:max == 1
        and on (brand, venue_id) venue:clopos_venue_open:current == 1
        """,
        wait="5m",
        severity=Severity.WARNING,
        scope=Scope.STATION,
        audience=Audience.BUSINESS,
        summary="Station <station> of <venue> is gone from Clopos",
        description="""
        The station <station> of <venue> (<brand>) was active today and is no longer among the stations that Clopos
        lists. If it was deleted by mistake, create it anew in the Clopos back office and check what is routed to it.
        """,
    ),
    Alert(
        name="CloposStationFlapping",
        meaning="A station was switched off and on three times within an hour.",
        expr="changes(station:clopos_station_active:open[1h]) >= 6",
        wait=None,
        severity=Severity.WARNING,
        scope=Scope.STATION,
        audience=Audience.BUSINESS,
        summary="Station <station> of <venue> is switched off and on again and again",
        description="""
        The station <station> of <venue> (<brand>) changed its status <value> times within an hour. Find out who
        or what switches it: staff who stop orders that way, or another program with access to Clopos.
        """,
    ),
    Alert(
        name="CloposStationNotReady",
        meaning="A station is inactive half an hour before its venue opens.",
        expr=f"""
        station:clopos_station_active:watched == 0
        and on (brand, venue_id) venue:clopos_venue_open:current == 0
        and on (brand, venue_id) last_over_time(clopos_venue_next_open_timestamp_seconds[{HOLD}]) - time() < 1800
        """,
        wait="1m",
        severity=Severity.WARNING,
        scope=Scope.STATION,
        audience=Audience.BUSINESS,
        summary="Station <station> of <venue> is not ready for opening",
        description="""
        <venue> (<brand>) opens within half an hour, and its station <station> is still inactive in Clopos. Switch it on
        in the Clopos back office, under stations. <ignore>
        """,
    ),
)
