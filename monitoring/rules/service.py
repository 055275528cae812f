"""Alerts for those who run the exporter: kinds of incidents, and what only Prometheus can see."""

from __future__ import annotations

from functools import partial

from exporter.model import IncidentKind
from monitoring.rules.model import Alert, Audience, Scope, Severity, incident

_of_exporter = partial(Alert, scope=Scope.EXPORTER, audience=Audience.IT)
_of_brand = partial(Alert, scope=Scope.BRAND, audience=Audience.IT)
_of_venue = partial(Alert, scope=Scope.VENUE, audience=Audience.IT)

INCIDENTS = (
    incident(
        IncidentKind.VENUE_DATA_STALE,
        "CloposVenueDataStale",
        "A venue has not been read for long.",
        "The stations of <venue> are not known",
        description="""
        The exporter has not been able to read the stations of <venue> (<brand>) for long: what is shown of them is old.
        See the exporter's log for venue.lost.
        """,
    ),
    incident(
        IncidentKind.STATION_UNCLEAR,
        "CloposStationUnclear",
        "What Clopos says of stations of a venue cannot be understood.",
        "The status of stations of <venue> is unclear",
        description="""
        Clopos lists stations of <venue> (<brand>) with a status, kind or row that the exporter cannot understand: they
        do not alert. Look at them in the Clopos back office.
        """,
    ),
    incident(
        IncidentKind.BRAND_UNREACHABLE,
        "CloposBrandUnreachable",
        "Clopos does not answer for a brand.",
        "Clopos cannot be reached for <brand>",
        description="""
        Nothing new is known of the stations of <brand>. See the exporter's page and its log for the reason; check
        Clopos and the network between.
        """,
    ),
    incident(
        IncidentKind.LOGIN_FAILING,
        "CloposLoginFailing",
        "Clopos refuses the credentials of a brand, which only a person can fix.",
        "Clopos refuses the credentials of <brand>",
        description="""
        Clopos refuses the login of <brand>, and asking again will not help. The log event brand.login_failed says what
        to do: usually to check client_id, client_secret and integrator_id, or that the Open API module is switched on.
        """,
    ),
    incident(
        IncidentKind.TOKEN_EXPIRING,
        "CloposTokenExpiring",
        "The token of a brand ends soon and cannot be renewed.",
        "The token of <brand> expires soon",
        description="Supply a new token for <brand>, or client_id and client_secret instead.",
    ),
    incident(
        IncidentKind.CLOCK_SKEW,
        "CloposClockSkew",
        "The clock of the exporter differs from that of Clopos.",
        "The clock of the exporter of <brand> is wrong",
        description="Synchronise the clock of its machine: until then, times and opening hours are wrong.",
    ),
)

ALERTS = (
    *INCIDENTS,
    _of_venue(
        name="CloposVenueMissing",
        meaning="A venue that was watched within the last twelve hours is no longer listed by Clopos.",
        expr="""
        max_over_time(venue:clopos_venue_up:max[12h:1h]) == 1
        unless on (brand, venue_id) clopos_venue_poll_interval_seconds
        and on (brand) clopos_brand_up == 1
        """,
        wait="10m",
        severity=Severity.WARNING,
        summary="Venue <venue> of <brand> is no longer watched",
        description="""
        Venue <venue> (<brand>) was watched today, and Clopos no longer lists it, or the configuration no longer names
        it, while the brand answers. If it was closed for good, this ends by itself after twelve hours.
        """,
    ),
    _of_brand(
        name="CloposQuotaNearlyExhausted",
        meaning="Less than a tenth of a brand's API requests per minute is left.",
        expr="""
        min by (brand) (clopos_exporter_api_quota_remaining)
        / on (brand)
        min by (brand) (clopos_exporter_api_quota_limit)
        < 0.1
        """,
        wait="5m",
        severity=Severity.WARNING,
        summary="The API quota of <brand> is nearly used up",
        description="""
        <percentage> of the requests per minute that Clopos allows for <brand> is left. The
        exporter slows down by itself; what else uses the brand's API, or lower requests_per_minute.
        """,
    ),
    _of_brand(
        name="CloposPollErrorBudgetBurn",
        meaning="So many polls of a brand fail that a month's 1 % is used up within days.",
        # Two windows each, after the SRE workbook: the long one says that it matters, the short one that it goes on. A
        # month's 1 % is used up in two days at 14.4 times as many failures, and in five at 6 times.
        expr="""
        brand:clopos_venue_poll_failures:ratio_rate1h > 0.144 and brand:clopos_venue_poll_failures:ratio_rate5m > 0.144
        or
        brand:clopos_venue_poll_failures:ratio_rate6h > 0.06 and brand:clopos_venue_poll_failures:ratio_rate30m > 0.06
        """,
        wait="2m",
        severity=Severity.WARNING,
        summary="Many polls of <brand> fail",
        description="""
        <percentage> of the polls of <brand> fail, where 1 % is the most that is meant to over a
        month. The panel "Failures by reason" of the dashboard says why.
        """,
    ),
    _of_brand(
        name="CloposHoursMissing",
        meaning="Venues have no opening hours configured and are therefore treated as always open.",
        expr="count by (brand) (venue:clopos_venue_up:max unless on (brand, venue_id) clopos_venue_open)",
        wait="1h",
        severity=Severity.INFO,
        summary="<value> venues of <brand> have no opening hours",
        description="""
        <value> venues of <brand> have no opening_hours in the exporter's configuration: they count as open day
        and night, and a station that is switched off after closing time will alert.
        """,
    ),
    _of_exporter(
        name="CloposExporterReloadFailed",
        meaning="An exporter refused its new configuration and runs on with the old one.",
        expr="clopos_exporter_config_last_reload_successful == 0",
        wait="1m",
        severity=Severity.WARNING,
        summary="The exporter <instance> refused its new configuration",
        description="""
        The last reload of <instance> failed: it runs on with the configuration from before, and would not
        start with the new one. `clopos-exporter check --offline`, with the same --config.file, names every fault.
        """,
    ),
    _of_exporter(
        name="CloposExporterStoreDown",
        meaning="An exporter cannot write its state.",
        expr="clopos_exporter_store_up == 0",
        wait="5m",
        severity=Severity.WARNING,
        summary="The exporter <instance> cannot write its state",
        description="""
        <instance> cannot write to its state.path: it works on from memory, and what happens until this is
        fixed is forgotten at its next start. Check the volume: full, read-only, or gone?
        """,
    ),
    _of_exporter(
        name="CloposExporterLogDown",
        meaning="An exporter cannot write its log.",
        expr="clopos_exporter_log_up == 0",
        wait="5m",
        severity=Severity.WARNING,
        summary="The exporter <instance> cannot write its log",
        description="""
        Look at what reads the output of <instance>: what is not written yet is written later.
        """,
    ),
    _of_exporter(
        name="CloposNotificationChannelDown",
        meaning="Messages to a notification channel are not delivered.",
        expr="clopos_exporter_notification_channel_up == 0",
        wait="5m",
        severity=Severity.WARNING,
        summary="Messages of <instance> to the channel <channel> are not delivered",
        description="""
        `clopos-exporter notify`, with the same --config.file, says why. Messages are kept meanwhile and sent later, up
        to their max_age.
        """,
    ),
    _of_exporter(
        name="CloposWebCertificateExpiring",
        meaning="The certificate of an exporter's web listener ends soon.",
        expr="clopos_exporter_web_certificate_expiry_timestamp_seconds - time() < 7 * 86400",
        wait="15m",
        severity=Severity.WARNING,
        summary="The certificate of <instance> ends soon",
        description="""
        The certificate that <instance> serves ends in {{ $value | humanizeDuration }}: renew it, or Prometheus will not
        scrape it any more. The exporter reads the new files by itself.
        """,
    ),
    _of_exporter(
        name="CloposShardMissing",
        meaning="A shard is not scraped: nobody watches its brands.",
        expr="""
        count by (job) (count_values by (job) ("shard", clopos_exporter_shard_ordinal))
        < on (job)
        max by (job) (clopos_exporter_total_shards)
        """,
        wait="5m",
        severity=Severity.CRITICAL,
        summary="Only <value> shards of {{ $labels.job }} are scraped",
        description="""
        Fewer shards are scraped than there are to be: nobody watches the brands of those that are missing.
        """,
    ),
    _of_brand(
        name="CloposBrandVanished",
        meaning="A brand that was watched within the last six hours is watched by no exporter.",
        expr="""
        group by (brand) (last_over_time(clopos_brand_up[6h]))
        unless on (brand) clopos_brand_up
        and on () group (clopos_exporter_build_info)
        """,
        wait="10m",
        severity=Severity.CRITICAL,
        summary="<brand> is no longer watched",
        description="""
        No exporter serves metrics of <brand> any more, though one did within six hours. If it was taken out of the
        configuration on purpose, this ends by itself.
        """,
    ),
    _of_brand(
        name="CloposBrandOwners",
        meaning="A brand is polled by none of the processes that share it, or by two.",
        # Exporters that share nothing own all their brands each: only where one owns less do they share.
        expr="sum by (job, brand) (clopos_exporter_brand_owned) != 1 and on (job) clopos_exporter_brand_owned == 0",
        wait="3m",
        severity=Severity.CRITICAL,
        summary="<brand> is polled by <value> processes in place of one",
        description="""
        The processes of {{ $labels.job }} share their brands, and each is polled by exactly one. Check that all of them
        reach the same database, and the clocks of their machines.
        """,
    ),
    _of_brand(
        name="CloposPollsLate",
        meaning="Polls of a brand start late or are skipped.",
        expr="""
        max by (brand) (clopos_exporter_poll_lag_seconds) > 60
        or
        sum by (brand) (increase(clopos_exporter_polls_skipped_total[10m])) > 10
        """,
        wait="10m",
        severity=Severity.WARNING,
        summary="Polls of <brand> start late",
        description="""
        Polls of <brand> start late or are skipped: what is shown is older than the poll interval. Check the load of the
        machine and how fast Clopos answers, and how many venues share the quota.
        """,
    ),
    _of_exporter(
        name="CloposExporterCrashLooping",
        meaning="An exporter was started again and again.",
        expr="""
        changes(process_start_time_seconds[30m]) > 2
        and on (job, instance) last_over_time(clopos_exporter_build_info[30m])
        """,
        wait="1m",
        severity=Severity.WARNING,
        summary="The exporter <instance> restarted <value> times within half an hour",
        description="""
        See the last lines of its log before each start, and whether its memory limit is reached.
        """,
    ),
    _of_brand(
        name="CloposReplicasDiffer",
        meaning="Exporters of the same brand have different venues or opening hours.",
        expr="""
        count by (brand) (stddev by (brand, venue_id) (clopos_venue_open) > 0)
        or stddev by (brand) (count by (brand, job, instance) (clopos_venue_poll_interval_seconds)) > 0
        """,
        wait="15m",
        severity=Severity.WARNING,
        summary="The exporters of <brand> have different configurations",
        description="""
        Exporters of <brand> do not agree on its venues or on which of them are open. Give all of them the same
        configuration.
        """,
    ),
    _of_exporter(
        name="CloposExporterDown",
        meaning="Prometheus cannot scrape an exporter, or a target of a job that is named after it.",
        # The alert keeps itself going, so that it outlasts the day; a job of this name need never have been up.
        expr="""
        up{job=~"clopos.*|.+-clopos-exporter"} == 0
        or up == 0 and on (job, instance) last_over_time(clopos_exporter_build_info[1d])
        or up == 0 and on (job, instance) ALERTS{alertname="CloposExporterDown"}
        """,
        wait="3m",
        severity=Severity.CRITICAL,
        summary="The exporter <instance> cannot be scraped",
        description="""
        Prometheus has not reached <instance> for three minutes. Without another exporter for its brands,
        nothing is known of their stations and no change of a station alerts.
        """,
    ),
    _of_exporter(
        name="CloposExporterAbsent",
        meaning="No exporter is scraped at all.",
        expr="absent(clopos_exporter_build_info)",
        wait="10m",
        severity=Severity.CRITICAL,
        summary="No Clopos exporter is being scraped",
        description="""
        Prometheus has no series of any Clopos exporter: it is not running, or no longer among the scrape targets.
        Nothing is known of any station and no change of a station alerts.
        """,
    ),
    _of_exporter(
        name="CloposWatchdog",
        meaning="Fires always: its absence means that alerts do not arrive.",
        expr="vector(1) == 1",
        wait=None,
        severity=Severity.INFO,
        summary="Alerts arrive",
        description="Fires always. Route it to something that warns you when it stops.",
    ),
)
