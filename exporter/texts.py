"""What is said of each kind of incident; English is the message id of the catalogues in exporter/locale."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.model import Ended, Incident, IncidentKind, Reason


def N_(message: str) -> str:  # noqa: N802 - the name that gettext's tools look for
    """Mark a message for translation; it is translated where it is used."""
    return message


@dataclass(frozen=True, slots=True)
class Texts:
    """The sentences of a kind: it began, it is over, it was over before anybody knew; what it means and what to do."""

    firing: str
    resolved: str
    past: str
    advice: str


_UNWATCHED = N_("Where Clopos cannot be read, nobody is notified of stations that are inactive.")

TEXTS = {
    IncidentKind.KITCHEN_STATION_INACTIVE: Texts(
        N_("{station} has been inactive since {since}, {venue}"),
        N_("{station} is active again, {venue}"),
        N_("{station} was inactive from {since} to {until}, {venue}"),
        N_(
            "Orders for it do not reach the kitchen. Switch it on in the Clopos back office, under stations. "
            "If it is meant to be inactive, tell IT."
        ),
    ),
    IncidentKind.STATION_INACTIVE: Texts(
        N_("{station} has been inactive since {since}, {venue}"),
        N_("{station} is active again, {venue}"),
        N_("{station} was inactive from {since} to {until}, {venue}"),
        N_(
            "Orders for it are not sent. Switch it on in the Clopos back office, under stations. "
            "If it is meant to be inactive, tell IT."
        ),
    ),
    IncidentKind.VENUE_NO_ACTIVE_STATION: Texts(
        N_("All stations of {venue} have been inactive since {since}"),
        N_("{venue} has an active station again"),
        N_("All stations of {venue} were inactive from {since} to {until}"),
        N_(
            "No order reaches anybody. Switch the stations on in the Clopos back office now, "
            "and carry orders to the kitchen by hand until then."
        ),
    ),
    IncidentKind.MANY_VENUES_INACTIVE: Texts(
        N_("Stations of many venues have been inactive since {since}, {brand}"),
        N_("Stations of many venues are no longer inactive, {brand}"),
        N_("Stations of many venues were inactive from {since} to {until}, {brand}"),
        N_(
            "Probably one change made centrally: whoever made it should undo it for all. "
            "Individual venues get no messages of their own meanwhile."
        ),
    ),
    IncidentKind.STATION_NOT_READY: Texts(
        N_("{station} is still inactive shortly before opening, {venue}"),
        N_("{station} is active before opening, {venue}"),
        N_("{station} was inactive shortly before opening, until {until}, {venue}"),
        N_("Switch it on in the Clopos back office, under stations, before the doors open."),
    ),
    IncidentKind.PRINTING_DISABLED: Texts(
        N_("Printing has been switched off at {station} since {since}, {venue}"),
        N_("Printing is switched on again at {station}, {venue}"),
        N_("Printing was switched off at {station} from {since} to {until}, {venue}"),
        N_(
            "Its orders may show on a screen only. If nobody meant that, "
            "switch printing on again in the Clopos back office."
        ),
    ),
    IncidentKind.STATION_FLAPPING: Texts(
        N_("{station} is repeatedly switched off and on, {venue}"),
        N_("{station} is no longer switched off and on, {venue}"),
        N_("{station} was repeatedly switched off and on from {since} to {until}, {venue}"),
        N_("Find out who does that, and agree on another way to slow orders down."),
    ),
    IncidentKind.STATION_REMOVED: Texts(
        N_("{station} is gone from Clopos, {venue}"),
        N_("{station} is in Clopos again, {venue}"),
        N_("{station} was gone from Clopos from {since} to {until}, {venue}"),
        N_("If it was deleted by mistake, recreate it and route the dishes to it again."),
    ),
    IncidentKind.STATION_UNCLEAR: Texts(
        N_("The status of stations has been unclear since {since}, {venue}"),
        N_("The status of all stations is clear again, {venue}"),
        N_("The status of stations was unclear from {since} to {until}, {venue}"),
        N_("Their status in Clopos cannot be interpreted. Look at them in the Clopos back office."),
    ),
    IncidentKind.VENUE_DATA_STALE: Texts(
        N_("No data from Clopos since {since}, {venue}"),
        N_("Data from Clopos again, {venue}"),
        N_("No data from Clopos from {since} to {until}, {venue}"),
        _UNWATCHED,
    ),
    IncidentKind.BRAND_UNREACHABLE: Texts(
        N_("Clopos has been unreachable since {since}, {brand}"),
        N_("Clopos can be reached again, {brand}"),
        N_("Clopos could not be reached from {since} to {until}, {brand}"),
        _UNWATCHED,
    ),
    IncidentKind.LOGIN_FAILING: Texts(
        N_("Login to Clopos has been failing since {since}, {brand}"),
        N_("Login to Clopos works again, {brand}"),
        N_("Login to Clopos failed from {since} to {until}, {brand}"),
        _UNWATCHED,
    ),
    IncidentKind.TOKEN_EXPIRING: Texts(
        N_("The token for Clopos expires soon, {brand}"),
        N_("The token for Clopos is renewed, {brand}"),
        N_("The token for Clopos was about to expire from {since} to {until}, {brand}"),
        N_("Supply a new token, or client_id and client_secret instead."),
    ),
    IncidentKind.CLOCK_SKEW: Texts(
        N_("The clock of the exporter has been wrong since {since}"),
        N_("The clock of the exporter is right again"),
        N_("The clock of the exporter was wrong from {since} to {until}"),
        N_("Synchronise the clock of its machine: until then, times and opening hours are wrong."),
    ),
    IncidentKind.STATE_UNAVAILABLE: Texts(
        N_("The state has not been writable since {since}"),
        N_("The state can be written again"),
        N_("The state could not be written from {since} to {until}"),
        N_("Look at the disk or the database of the state. Meanwhile a restart would forget what happened."),
    ),
    IncidentKind.LOG_UNAVAILABLE: Texts(
        N_("The log has not been writable since {since}"),
        N_("The log can be written again"),
        N_("The log could not be written from {since} to {until}"),
        N_("Look at what reads the output of the exporter. What is not written yet is written later."),
    ),
    IncidentKind.RELOAD_FAILED: Texts(
        N_("The new configuration has errors and is not in force"),
        N_("The new configuration had errors; they are corrected, and it is in force"),
        N_("The new configuration had errors from {since} to {until}"),
        N_(
            "The command clopos-exporter check --offline, with the same --config.file, names every fault. "
            "After correcting them, reload with SIGHUP or POST /-/reload, unless that is automatic. "
            "Until then the configuration from before stays in force."
        ),
    ),
    IncidentKind.CHANNEL_DOWN: Texts(
        N_("Messages to the channel {channel} have not been delivered since {since}"),
        N_("Messages to the channel {channel} are delivered again"),
        N_("Messages to the channel {channel} were not delivered from {since} to {until}"),
        N_(
            "The command clopos-exporter notify, with the same --config.file, tries it. "
            "Messages are kept meanwhile and sent later."
        ),
    ),
}

VENUE_NOT_READY = Texts(
    N_("All stations are still inactive shortly before opening, {venue}"),
    N_("A station is active before opening, {venue}"),
    N_("All stations were inactive shortly before opening, until {until}, {venue}"),
    N_("Switch the stations on in the Clopos back office, under stations, before the doors open."),
)
"""What is said where no station of a venue is ready."""

ENDED: dict[str, str] = {
    Ended.IGNORED: N_("{station} is left out of the alerts now, {venue}"),
    Ended.REMOVED: N_("{station} was removed from Clopos, {venue}"),
    Ended.RETIRED: N_("{station} has been inactive for a long time and is no longer reported, {venue}"),
}
"""What is said of the end of a station's incident that is over for another reason than that all is well."""

UNREPORTED = N_("No longer reported: {text}")
"""The same for an incident of more than one station."""


REASONS = {
    Reason.BAD_REQUEST: N_("Clopos refuses the request"),
    Reason.CLIENT_DISABLED: N_("the Open API module is switched off in Clopos"),
    Reason.CONNECTION: N_("no connection to Clopos"),
    Reason.CREDENTIALS: N_("Clopos refuses the credentials"),
    Reason.FORBIDDEN: N_("the credentials may not read this"),
    Reason.GATEWAY: N_("the gateway of Clopos has a problem"),
    Reason.GATEWAY_TIMEOUT: N_("Clopos takes too long"),
    Reason.INCOMPLETE: N_("the list kept changing while it was read"),
    Reason.INTEGRATOR: N_("Clopos refuses the integrator"),
    Reason.INTERNAL: N_("a fault in the exporter"),
    Reason.MALFORMED: N_("the answer cannot be understood"),
    Reason.NOT_FOUND: N_("Clopos does not know this venue"),
    Reason.RATE_LIMITED: N_("the request quota is used up"),
    Reason.REDIRECTED: N_("Clopos redirects elsewhere"),
    Reason.TEST_MODE: N_("test and production are mixed up"),
    Reason.THROTTLED: N_("our own share of the request quota is used up"),
    Reason.TIMEOUT: N_("no answer in time"),
    Reason.TLS: N_("no secure connection to Clopos"),
    Reason.TOKEN: N_("the token is no longer valid"),
    Reason.TOO_LARGE: N_("the answer is too large"),
}

_OF_CLOPOS = N_(
    "Clopos has a fault of its own, nothing was refused: ask Clopos if it lasts. The exporter keeps trying."
)

REMEDIES = {
    Reason.BAD_REQUEST: N_("Check brand, integrator_id and venue ids in the configuration."),
    Reason.CLIENT_DISABLED: N_("Switch the Open API module on again in the Clopos back office of this brand."),
    Reason.CREDENTIALS: N_("Check client_id, client_secret and brand against the Clopos back office of this brand."),
    Reason.FORBIDDEN: N_("Give the staff user behind the credentials the right to read stations and venues in Clopos."),
    Reason.INTEGRATOR: N_("Check integrator_id with Clopos: it is refused for every brand."),
    Reason.TEST_MODE: N_("Ask Clopos to put integrator and brand both in test mode or both in production."),
    Reason.TOKEN: N_("Supply a new token, or client_id and client_secret instead."),
    Reason.CONNECTION: N_(
        "Check base_url, the network, its DNS, and a proxy if there is one. The exporter keeps trying."
    ),
    Reason.GATEWAY: _OF_CLOPOS,
    Reason.GATEWAY_TIMEOUT: _OF_CLOPOS,
    Reason.TIMEOUT: N_("Check the network, and ask Clopos if it lasts. The exporter keeps trying."),
    Reason.TLS: N_("Check base_url, the certificates and the clock of this machine. The exporter keeps trying."),
}
"""What a person should do about a failure."""


def remedy(reason: Reason) -> str:
    """Return what a person should do about a failure, in English."""
    return REMEDIES.get(reason, "Nothing to do at once: the exporter keeps trying. See the message for the cause.")


def texts_of(incident: Incident) -> Texts:
    """Return what is said of an incident."""
    if incident.kind is IncidentKind.STATION_NOT_READY and incident.station_id is None:
        return VENUE_NOT_READY
    return TEXTS[incident.kind]
