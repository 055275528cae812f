"""Alerts for those who run the exporter."""

from __future__ import annotations

from exporter.model import Reason
from monitoring.rules.model import Alert, Audience, Scope, Severity

FOR_A_PERSON = "|".join(reason for reason in Reason if reason.is_configuration)

ALERTS = (
    Alert(
        name="CloposVenueDataStale",
        meaning="A venue has not been read for five of its poll intervals.",
        expr="""
        time() - max by (brand, venue_id) (clopos_venue_last_success_timestamp_seconds)
        > on (brand, venue_id)
        5 * max by (brand, venue_id) (clopos_venue_poll_interval_seconds)
        or
        (
          venue:clopos_venue_up:max == 0
          unless on (brand, venue_id) clopos_venue_last_success_timestamp_seconds
        )
        """,
        wait="3m",
        severity=Severity.WARNING,
        scope=Scope.VENUE,
        audience=Audience.IT,
        summary="The stations of <venue> are not known",
        description="""
        The exporter has not been able to read the stations of <venue> (<brand>) for much longer than its poll interval;
        what is shown of them is old, and their alerts are held back. See the exporter's log for venue.lost.
        """,
    ),
    Alert(
        name="CloposVenueMissing",
        meaning="A venue that was watched within the last twelve hours is no longer listed by Clopos.",
        expr="""
        (
          max by (brand, venue_id) (max_over_time(venue:clopos_venue_up:max[12h:10m])) == 1
          unless on (brand, venue_id) clopos_venue_poll_interval_seconds
        )
        and on (brand)
        clopos_brand_up == 1
        """,
        wait="10m",
        severity=Severity.WARNING,
        scope=Scope.VENUE,
        audience=Audience.IT,
        summary="<venue> is no longer watched",
        description="""
        <venue> (<brand>) was watched today, and Clopos no longer lists it, or the configuration no longer names it,
        while the brand answers. If it was closed for good, this ends by itself after twelve hours.
        """,
    ),
    Alert(
        name="CloposBrandUnreachable",
        meaning="Login or venue discovery of a brand does not work.",
        expr="max by (brand) (clopos_brand_up) == 0",
        wait="5m",
        severity=Severity.CRITICAL,
        scope=Scope.BRAND,
        audience=Audience.IT,
        summary="Clopos cannot be asked for <brand>",
        description="""
        Login or venue discovery of <brand> has been failing: nothing new is known of its stations, and their alerts are
        held back. See the exporter's page and its log for the reason; check Clopos and the way to it.
        """,
        dashboard="clopos-exporter?var-brand={{ $labels.brand | urlquery }}",
    ),
    Alert(
        name="CloposLoginFailing",
        meaning="Clopos refuses the credentials of a brand, which only a person can mend.",
        expr=f"""
        max by (brand) (clopos_brand_up) == 0
        and on (brand)
        sum by (brand) (increase(clopos_exporter_poll_failures_total{{reason=~"{FOR_A_PERSON}"}}[10m])) > 0
        """,
        wait="2m",
        severity=Severity.CRITICAL,
        scope=Scope.BRAND,
        audience=Audience.IT,
        summary="Clopos refuses the credentials of <brand>",
        description="""
        Clopos refuses what the exporter presents for <brand>, and asking again will not help. The log event
        brand.login_failed says what to do: usually to check client_id, client_secret and integrator_id, or that the
        Open API module is switched on for the brand.
        """,
        dashboard="clopos-exporter?var-brand={{ $labels.brand | urlquery }}",
    ),
    Alert(
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
        scope=Scope.BRAND,
        audience=Audience.IT,
        summary="The API quota of <brand> is nearly used up",
        description="""
        <percentage> of the requests per minute that Clopos admits for <brand> is left. The
        exporter slows down by itself; what else uses the brand's API, or lower requests_per_minute.
        """,
        dashboard="clopos-exporter?var-brand={{ $labels.brand | urlquery }}",
    ),
    Alert(
        name="CloposPollErrorBudgetBurn",
        meaning="So many polls of a brand fail that a month's 1 % is used up within days.",
        # Two windows each, after the SRE workbook: the long one says that it matters, the short one that it goes on.
        expr="""
        (
          brand:clopos_venue_poll_failures:ratio_rate1h > 14.4 * 0.01
          and
          brand:clopos_venue_poll_failures:ratio_rate5m > 14.4 * 0.01
        )
        or
        (
          brand:clopos_venue_poll_failures:ratio_rate6h > 6 * 0.01
          and
          brand:clopos_venue_poll_failures:ratio_rate30m > 6 * 0.01
        )
        """,
        wait="2m",
        severity=Severity.WARNING,
        scope=Scope.BRAND,
        audience=Audience.IT,
        summary="Many polls of <brand> fail",
        description="""
        <percentage> of the polls of <brand> fail, where 1 % is the most that is meant to over a
        month. The panel "Failures by reason" of the dashboard says why.
        """,
        dashboard="clopos-exporter?var-brand={{ $labels.brand | urlquery }}",
    ),
    Alert(
        name="CloposHoursMissing",
        meaning="Venues have no opening hours configured and are therefore treated as always open.",
        expr="""
        count by (brand) (
          group by (brand, venue_id) (clopos_venue_up)
          unless on (brand, venue_id)
          clopos_venue_open
        )
        """,
        wait="1h",
        severity=Severity.INFO,
        scope=Scope.BRAND,
        audience=Audience.IT,
        summary="<value> venues of <brand> have no opening hours",
        description="""
        <value> venues of <brand> have no opening_hours in the exporter's configuration: they count as open day
        and night, and a station that is switched off after closing time will alert.
        """,
    ),
    Alert(
        name="CloposExporterReloadFailed",
        meaning="An exporter refused its new configuration and runs on with the old one.",
        expr="clopos_exporter_config_last_reload_successful == 0",
        wait="1m",
        severity=Severity.WARNING,
        scope=Scope.EXPORTER,
        audience=Audience.IT,
        summary="The exporter <instance> refused its new configuration",
        description="""
        The last reload of <instance> failed: it runs on with the configuration from before, and would not
        start with the new one. `clopos-exporter check` names every fault with its place.
        """,
    ),
    Alert(
        name="CloposExporterStoreDown",
        meaning="An exporter cannot write its state.",
        expr="clopos_exporter_store_up == 0",
        wait="5m",
        severity=Severity.WARNING,
        scope=Scope.EXPORTER,
        audience=Audience.IT,
        summary="The exporter <instance> cannot write its state",
        description="""
        <instance> cannot write to its state.path: it works on from memory, and what happens until this is
        mended is forgotten at its next start. Check the volume: full, read-only, or gone?
        """,
    ),
    Alert(
        name="CloposExporterDown",
        meaning="Prometheus cannot scrape an exporter that it scraped within the last day.",
        expr="up == 0 and on (job, instance) last_over_time(clopos_exporter_build_info[1d])",
        wait="3m",
        severity=Severity.CRITICAL,
        scope=Scope.EXPORTER,
        audience=Audience.IT,
        summary="The exporter <instance> cannot be scraped",
        description="""
        Prometheus has not reached <instance> for three minutes. Without another exporter for its brands,
        nothing is known of their stations and no station alert can fire.
        """,
    ),
    Alert(
        name="CloposExporterAbsent",
        meaning="No exporter is scraped at all.",
        expr="absent(clopos_exporter_build_info)",
        wait="10m",
        severity=Severity.CRITICAL,
        scope=Scope.EXPORTER,
        audience=Audience.IT,
        summary="No Clopos exporter is being scraped",
        description="""
        Prometheus has no series of any Clopos exporter: it is not running, or no longer among the scrape targets.
        Nothing is known of any station and no station alert can fire.
        """,
    ),
)
