"""What must fire and what must not: at least one of each for every alert, and the special cases of real life."""

from __future__ import annotations

from rule_worlds import Case, World

from exporter.model import IncidentKind as Kind

KITCHEN = "CloposKitchenStationInactive station_id=1"
STILL = "CloposStationStillInactive station_id=1"
STALE = "CloposVenueDataStale venue_id=7"
MISSING = "CloposVenueMissing venue_id=7"
MANY = "CloposManyVenuesInactive brand=tandir"
BRAND = "CloposBrandUnreachable brand=tandir"
PRINTING = "CloposStationPrintingDisabled station_id=1"
NO_PRINTING = "CloposVenueNoPrintingStation venue_id=7"
QUOTA = "CloposQuotaNearlyExhausted brand=tandir"
BURN = "CloposPollErrorBudgetBurn brand=tandir"
HOURS = "CloposHoursMissing brand=tandir"
RELOAD = "CloposExporterReloadFailed instance=a"
STORE = "CloposExporterStoreDown instance=a"
LOG = "CloposExporterLogDown instance=a"
CHANNEL = "CloposNotificationChannelDown instance=a channel=shift"
SHARD = "CloposShardMissing"
VANISHED = "CloposBrandVanished brand=tandir"
OWNERS = "CloposBrandOwners brand=tandir"
LATE = "CloposPollsLate brand=tandir"
CRASHES = "CloposExporterCrashLooping instance=a"
DIFFER = "CloposReplicasDiffer brand=tandir"
DOWN = "CloposExporterDown instance=a"
ABSENT = "CloposExporterAbsent"

OFF = "- 10:1"
PRINTED = "clopos_stations_printable"
WHITE_CITY = {"brand": "tandir", "venue_id": "7", "venue": "White City"}

BY_KIND = {
    Kind.KITCHEN_STATION_INACTIVE: KITCHEN,
    Kind.STATION_INACTIVE: "CloposStationInactive station_id=1",
    Kind.PRINTING_DISABLED: PRINTING,
    Kind.STATION_FLAPPING: "CloposStationFlapping station_id=1",
    Kind.STATION_REMOVED: "CloposStationDisappeared station_id=1",
    Kind.STATION_NOT_READY: "CloposStationNotReady station_id=1",
    Kind.VENUE_NO_ACTIVE_STATION: "CloposVenueNoActiveStation venue_id=7",
    Kind.STATION_UNCLEAR: "CloposStationUnclear venue_id=7",
    Kind.VENUE_DATA_STALE: STALE,
    Kind.MANY_VENUES_INACTIVE: MANY,
    Kind.BRAND_UNREACHABLE: BRAND,
    Kind.LOGIN_FAILING: "CloposLoginFailing brand=tandir",
    Kind.TOKEN_EXPIRING: "CloposTokenExpiring brand=tandir",
    Kind.CLOCK_SKEW: "CloposClockSkew brand=tandir",
}


def off(course: str = OFF, **more: object) -> World:
    """Return a world in which a kitchen station's incident fires."""
    return World(**more).incident(Kind.KITCHEN_STATION_INACTIVE, course, station_id="1")  # type: ignore[arg-type]


def other(**more: object) -> World:
    return World(instance="b", **more)  # type: ignore[arg-type]


def scope(alert: str) -> dict[str, str]:
    """Return the ids that an alert's incident has."""
    if "station_id" in alert:
        return {"station_id": "1"}
    return {} if "venue_id" in alert else {"venue_id": ""}


CASES = (
    Case("a healthy world is silent", World(), {5: (), 30: (), 59: ()}),
    *(
        Case(
            f"an incident {kind} alerts while it fires, and no longer",
            World().incident(kind, "- 10:1 20:-", **scope(alert)),
            {9: (), 10: (alert,), 19: (alert,), 20: ()},
        )
        for kind, alert in BY_KIND.items()
    ),
    # Every station of a venue that is not ready: the incident names no station.
    Case(
        "a venue none of whose stations is ready has one alert",
        World().incident(Kind.STATION_NOT_READY, OFF),
        {10: ("CloposStationNotReady venue_id=7",)},
    ),
    # Replicas
    Case(
        "two exporters alert once",
        off().beside(other().incident(Kind.KITCHEN_STATION_INACTIVE, OFF, station_id="1")),
        {9: (), 10: (KITCHEN,)},
    ),
    Case(
        "an exporter that cannot read the venue does not hide what the other sees",
        off().beside(other().venue(up="1 5:0")),
        {10: (KITCHEN,)},
    ),
    Case(
        "an exporter that cannot read the venue is not believed while the other can",
        World().beside(other().venue(up=0).incident(Kind.KITCHEN_STATION_INACTIVE, OFF, station_id="1")),
        {10: (), 40: ()},
    ),
    Case(
        "an incident outlives an outage of Clopos, whoever says it",
        off().venue(up="1 15:0").beside(other().venue(up="1 15:0")),
        {14: (KITCHEN,), 16: (KITCHEN,), 40: (KITCHEN,)},
    ),
    Case(
        "a brand that one of two exporters can reach does not alert",
        World().brand(up=0).incident(Kind.BRAND_UNREACHABLE, OFF, venue_id="").beside(other()),
        {10: (), 40: ()},
    ),
    Case(
        "a brand that neither can reach alerts once",
        World()
        .brand(up=0)
        .incident(Kind.BRAND_UNREACHABLE, OFF, venue_id="")
        .beside(other().brand(up=0).incident(Kind.BRAND_UNREACHABLE, OFF, venue_id="")),
        {10: (BRAND,)},
    ),
    # An exporter that is away
    Case("an exporter that restarts brings no alert", World(restarts=((20, 23),)), {20: (), 22: (), 23: (), 30: ()}),
    Case(
        "an exporter that is away for ten minutes neither resolves nor repeats",
        off(restarts=((20, 30),)),
        {19: (KITCHEN,), 20: (KITCHEN,), 29: (KITCHEN,), 30: (KITCHEN,), 40: (KITCHEN,)},
    ),
    Case(
        "an incident that was over before the exporter went away stays over",
        off("- 10:1 19:-", restarts=((20, 30),)),
        {18: (KITCHEN,), 19: (), 20: (STILL,), 25: (STILL,), 31: ()},
    ),
    Case(
        "an incident that ended meanwhile is over when the exporter is back",
        off("- 10:1 25:-", restarts=((20, 30),)),
        {29: (KITCHEN,), 30: ()},
    ),
    Case(
        "an exporter that is away for good is bridged for a quarter of an hour",
        off(restarts=((20, 60),)).exporter(up="1 20:0"),
        {
            22: (KITCHEN,),
            29: (KITCHEN, DOWN),
            33: (KITCHEN, DOWN, ABSENT),
            35: (STILL, DOWN, ABSENT),
            56: (DOWN, ABSENT),
        },
    ),
    Case(
        "a brand's incident is bridged, too",
        World(restarts=((20, 30),)).incident(Kind.MANY_VENUES_INACTIVE, OFF, venue_id=""),
        {19: (MANY,), 25: (MANY,), 31: (MANY,)},
    ),
    Case(
        "one of two exporters goes away, and the other knows better at once",
        off(restarts=((20, 60),)).beside(other()),
        {19: (KITCHEN,), 20: ()},
    ),
    # What ended without being over
    Case(
        "a station whose venue closed is said to be inactive still, for as long as Prometheus sends what ended",
        off("- 10:1 20:-").station("1", "Grill", active="1 10:0"),
        {19: (KITCHEN,), 20: (STILL,), 38: (STILL,), 40: ()},
    ),
    Case(
        "a station that is not ready and then opens gives way to the one alert",
        World()
        .station("1", "Grill", active=0)
        .incident(Kind.STATION_NOT_READY, "- 5:1 20:-", station_id="1")
        .incident(Kind.KITCHEN_STATION_INACTIVE, "- 20:1", station_id="1"),
        {19: ("CloposStationNotReady station_id=1",), 20: (KITCHEN, STILL), 45: (KITCHEN,)},
    ),
    Case(
        "a venue that closed with all stations inactive is not over, and with one that is active is",
        World()
        .station("1", "Grill", active=0)
        .station("2", "Bar", kind="other", active="0 30:1")
        .says("clopos_stations_active", "0 30:1", kind="other", **WHITE_CITY)
        .incident(Kind.VENUE_NO_ACTIVE_STATION, "- 10:1 25:-"),
        {24: (BY_KIND[Kind.VENUE_NO_ACTIVE_STATION],), 25: ("CloposStationStillInactive venue_id=7",), 30: ()},
    ),
    Case(
        "a station that another alert stands for now is not over",
        off("- 10:1 20:-").station("1", "Grill", active=0).incident(Kind.MANY_VENUES_INACTIVE, "- 20:1", venue_id=""),
        {19: (KITCHEN,), 20: (MANY, STILL)},
    ),
    # Printing
    Case(
        "a venue whose only printing station stops printing has that said for the venue and the station",
        World().incident(Kind.PRINTING_DISABLED, OFF, station_id="1").says(PRINTED, "1 10:0", **WHITE_CITY),
        {10: (PRINTING, NO_PRINTING)},
    ),
    Case(
        "a venue where another station prints has it said for the station",
        World().incident(Kind.PRINTING_DISABLED, OFF, station_id="1").says(PRINTED, "2 10:1", **WHITE_CITY),
        {10: (PRINTING,)},
    ),
    Case("a venue that never printed is silent", World().says(PRINTED, 0, **WHITE_CITY), {10: ()}),
    # What only Prometheus sees
    Case(
        "a venue that is no longer listed is missing",
        World().venue(up="1 10:-", opened="1 10:-", next_open=None, interval="30 10:-", last_success="1 10:-"),
        {19: (), 20: (MISSING,), 30: (MISSING,)},
    ),
    Case(
        "a venue of a brand that cannot be reached is not missing",
        World().brand(up="1 10:0").venue(up="1 10:-", interval="30 10:-", last_success="1 10:-"),
        {40: ()},
    ),
    Case("a quota below a tenth for five minutes warns", World().brand(quota="200 10:20"), {14: (), 15: (QUOTA,)}),
    Case("a quota of which a fifth is left is as planned", World().brand(quota=60), {40: ()}),
    Case("one poll in five that fails burns the budget", World().venue(failures=0.2), {2: (), 8: (BURN,), 40: (BURN,)}),
    Case("one poll in two hundred that fails is within the budget", World().venue(failures=0.005), {8: (), 59: ()}),
    Case("a refused configuration warns", World().exporter(reload="1 10:0"), {10: (), 11: (RELOAD,)}),
    Case("a state that cannot be written warns", World().exporter(store="1 10:0"), {14: (), 15: (STORE,)}),
    Case("no state path is no fault", World().gone("store_up"), {40: ()}),
    Case("a log that cannot be written warns", World().says("clopos_exporter_log_up", "1 10:0"), {14: (), 15: (LOG,)}),
    Case(
        "a channel that keeps failing warns",
        World().says("clopos_exporter_notification_channel_up", "1 10:0", channel="shift"),
        {14: (), 15: (CHANNEL,)},
    ),
    Case(
        "a certificate that ends within a week warns",
        World().says("clopos_exporter_web_certificate_expiry_timestamp_seconds", 7 * 86400 + 600),
        {24: (), 26: ("CloposWebCertificateExpiring instance=a",)},
    ),
    Case(
        "a shard that is replaced by one that never starts is missing",
        World()
        .says("clopos_exporter_total_shards", 2)
        .says("clopos_exporter_shard_ordinal", 0)
        .beside(other().gone("clopos_").says("clopos_exporter_shard_ordinal", "1 10:-")),
        {14: (), 15: (SHARD,)},
    ),
    Case(
        "two exporters of each shard are no fault",
        World()
        .says("clopos_exporter_total_shards", 1)
        .says("clopos_exporter_shard_ordinal", 0)
        .beside(other().says("clopos_exporter_shard_ordinal", 0)),
        {40: ()},
    ),
    Case(
        "a brand that no exporter has any more has vanished",
        World().brand(up="1 10:-").gone("clopos_venue").gone("quota"),
        {19: (), 20: (VANISHED,)},
    ),
    Case("a brand that another exporter took over has not", World().brand(up="1 10:-").beside(other()), {40: ()}),
    Case(
        "a brand that nobody owns alerts",
        World()
        .says("clopos_exporter_brand_owned", "1 10:0", brand="tandir")
        .beside(other().says("clopos_exporter_brand_owned", 0, brand="tandir")),
        {12: (), 13: (OWNERS,)},
    ),
    Case(
        "a brand that two of three processes own alerts",
        World()
        .says("clopos_exporter_brand_owned", 1, brand="tandir")
        .beside(other().says("clopos_exporter_brand_owned", "0 10:1", brand="tandir"))
        .beside(World(instance="c").says("clopos_exporter_brand_owned", 0, brand="tandir")),
        {12: (), 13: (OWNERS,)},
    ),
    Case(
        "two exporters that share nothing may own the same brand",
        World()
        .says("clopos_exporter_brand_owned", 1, brand="tandir")
        .beside(other().says("clopos_exporter_brand_owned", 1, brand="tandir")),
        {40: ()},
    ),
    Case(
        "polls that start late warn after ten minutes",
        World().says("clopos_exporter_poll_lag_seconds", "1 10:90", brand="tandir"),
        {19: (), 20: (LATE,)},
    ),
    Case(
        "polls that start a little late do not",
        World().says("clopos_exporter_poll_lag_seconds", 20, brand="tandir"),
        {40: ()},
    ),
    Case(
        "an exporter that starts again and again warns",
        World().says("process_start_time_seconds", "0 10:600 12:720 14:840"),
        {13: (), 15: (CRASHES,)},
    ),
    Case("an exporter that restarts once does not", World().says("process_start_time_seconds", "0 10:600"), {20: ()}),
    Case(
        "exporters that do not agree on the hours are configured differently",
        World().beside(other().venue(opened="1 10:0")),
        {24: (), 25: (DIFFER,)},
    ),
    Case(
        "exporters that do not have the same venues are configured differently",
        World().venue("8", "Old Town").beside(other()),
        {14: (), 15: (DIFFER,)},
    ),
    Case("exporters that agree are silent", World().beside(other()), {40: ()}),
    Case(
        "an exporter that does not answer alerts",
        World(restarts=((10, 60),)).exporter(up="1 10:0"),
        {12: (), 13: (DOWN,), 19: (DOWN,), 20: (DOWN, ABSENT)},
    ),
    Case(
        "an exporter that does not answer for more than a day still alerts",
        World(minutes=1500, restarts=((10, 1500),)).exporter(up="1 10:0"),
        {1440: (DOWN, ABSENT), 1495: (DOWN, ABSENT)},
        every="5m",
    ),
    Case(
        "a target that never answered alerts",
        World().says("up", 0, instance="b"),
        {4: ("CloposExporterDown instance=b",)},
    ),
    Case("an exporter that was taken away is absent", World(restarts=((10, 60),)).gone("up{"), {19: (), 20: (ABSENT,)}),
    Case(
        "another job that is down is none of ours",
        World().says("up", 0, job="node", instance="node"),
        {40: ()},
    ),
    Case(
        "venues without hours are said once, after an hour",
        World(minutes=70).venue(opened=None),
        {59: (), 61: (HOURS,)},
    ),
    Case("venues with hours are not", World(minutes=70), {61: ()}),
)
