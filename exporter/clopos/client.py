"""Ask Clopos about one brand: complete answers or a reason, within the quota and within the time a poll has."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil
from threading import Event
from typing import Any

import structlog

from exporter.clock import Clock, iso
from exporter.clopos import responses, wire
from exporter.clopos.limits import BrandQuota, IpLimits, RetryBudget
from exporter.clopos.login import Credentials, Login
from exporter.clopos.transport import Observe, Transport
from exporter.errors import CloposError, Stopped
from exporter.model import DEFAULT_VENUE, Discovery, Failure, Reason, Snapshot, Station, Venue

PAGE_SIZE = 200
MIN_PAGE_SIZE = 20
"""Rows of a full page below which a short first page is an odd list, not a limit that the API has clamped."""

MAX_PAGES = 100
MAX_ATTEMPTS = 3
MAX_WALKS = 3
"""Walks through the pages that a poll makes at most; one that is odd the same way each time is then believed."""

_TRANSIENT = frozenset(
    {
        Reason.CONNECTION,
        Reason.GATEWAY,
        Reason.GATEWAY_TIMEOUT,
        Reason.MALFORMED,
        Reason.RATE_LIMITED,
        Reason.TIMEOUT,
    }
)
_AUTHENTICATION = frozenset(
    {Reason.TOKEN, Reason.CREDENTIALS, Reason.CLIENT_DISABLED, Reason.INTEGRATOR, Reason.TEST_MODE}
)
"""Reasons that a new login confirms or removes; what one response says of them may be true of its venue only."""

_REFUSES_DISCOVERY = frozenset({Reason.FORBIDDEN, Reason.NOT_FOUND, Reason.BAD_REQUEST})


@dataclass(frozen=True, slots=True)
class _Walk:
    """One walk through the pages; where the list is odd, `shape` is what the next is compared by, and else empty."""

    stations: tuple[Station, ...]
    requests: int
    unusable: tuple[str, ...]
    shape: tuple[object, ...]


class Client:
    """One brand of Clopos.

    `credentials` may be a ready token; `reread` reads them again where Clopos refuses them. `listed` are the venues to
    watch from the next discovery on, with an empty name where Clopos provides it; None for all that Clopos lists.
    `permitted` says whether this process may send requests for the brand now; where not, everything raises Stopped.
    `give_way` may wait for a moment, before each request and before its response is read.

    `clock_skew` is by how many seconds the clock of this machine is ahead of Clopos', and `sunset` when Clopos says
    that this API ends, epoch seconds; None where not known.
    """

    def __init__(
        self,
        brand: str,
        credentials: Credentials | str,
        *,
        base_url: str,
        requests_per_minute: float,
        clock: Clock,
        stop: Event,
        ip_limits: IpLimits,
        observe: Observe,
        reread: Callable[[], Credentials | str] | None = None,
        listed: tuple[Venue, ...] | None = None,
        connections: int = 16,
        permitted: Callable[[], bool] = lambda: True,
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        self.brand = brand
        self.quota = BrandQuota(requests_per_minute, clock, stop)
        self.clock_skew: float | None = None
        self.sunset: float | None = None
        self._transport = Transport(
            base_url, connections=connections, observe=observe, permitted=permitted, give_way=give_way
        )
        self.login = Login(
            credentials,
            transport=self._transport,
            quota=self.quota,
            ip_limits=ip_limits,
            clock=clock,
            reread=reread,
        )
        self.listed = listed
        self._clock, self._stop, self._ip_limits = clock, stop, ip_limits
        self._failures = ip_limits.failure_budget(brand)
        self._retries = RetryBudget()
        self._give_way = give_way
        self._sort: dict[str, Any] = {}
        self._odd: dict[tuple[object, ...], tuple[tuple[object, ...], int]] = {}
        self._deprecation: tuple[float | None, float | None] = (None, None)
        self._log = structlog.get_logger(__name__)

    @property
    def default_venue(self) -> Venue:
        """Return the venue that the token itself stands for; listed alone, it is what `venues: default` means."""
        return Venue(self.brand, DEFAULT_VENUE, self.brand)

    def close(self) -> None:
        """End what is running and close the connections."""
        self._transport.close()

    def reset_backoff(self) -> None:
        """Ask at once, even what was refused or held back: a person says that the cause is gone."""
        self.login.backoff.reset()
        self.quota.reset()
        self._ip_limits.logins.lift()

    def poll(self, venue: Venue, seconds: float) -> Snapshot | Failure:
        """Read a venue's stations, each page within so many seconds, and return the outcome. Raises Stopped only."""
        began = self._clock.monotonic()
        try:
            return self.stations(venue, seconds)
        except CloposError as error:
            return self._failure(error, began)

    def discover(self, seconds: float, known: Iterable[Venue] = ()) -> Discovery | Failure:
        """Log in, read which venues there are and return the outcome; `known` as for `venues`. Raises Stopped only.

        A refused list is a failure, whose `fallback` is the token's default venue where no other is known.
        """
        began = self._clock.monotonic()
        known = tuple(known)
        try:
            venues = self.venues(seconds, known)
        except CloposError as error:
            failure = self._failure(error, began)
            refused = error.reason in _REFUSES_DISCOVERY and not error.brand_wide
            if refused and not any(venue.id != DEFAULT_VENUE for venue in known):
                return replace(failure, fallback=(self.default_venue,))
            return failure
        at = self._clock.now()
        return Discovery(
            venues,
            at,
            at.monotonic - began,
            listed=self.listed is not None,
            token_used=not self._are_named(self.listed),
        )

    def stations(
        self, venue: Venue, seconds: float, *, status: int | None = None, can_print: bool | None = None
    ) -> Snapshot:
        """Read all stations of a venue, filtered by the API's own parameters.

        `seconds` are for each page: how many there are is known after the first. Raises CloposError; `incomplete` where
        the list moved under several walks in a row. A list that is odd the same way in three walks in a row, be it
        that it names stations twice or that its total never fits, does not move: it is taken for what it shows.
        """
        began = self._clock.monotonic()
        params: dict[str, Any] = {"limit": PAGE_SIZE}
        if status is not None:
            params["status"] = status
        if can_print is not None:
            params["can_print"] = str(can_print).lower()
        key = (venue.id, status, can_print)
        for _ in range(MAX_WALKS):
            walk = self._walk(venue, params, seconds)
            shape, times = self._odd.pop(key, (walk.shape, 0))
            times = times + 1 if shape == walk.shape else 1
            if walk.shape:
                self._odd[key] = (walk.shape, times)
            if not walk.shape or times >= MAX_WALKS:
                at = self._clock.now()
                return Snapshot(walk.stations, at, at.monotonic - began, walk.requests, walk.unusable)
        raise CloposError(Reason.INCOMPLETE, f"the list of stations changed in {MAX_WALKS} readings in a row")

    def venues(self, seconds: float, known: Iterable[Venue] = ()) -> tuple[Venue, ...]:
        """Read the venues to watch: those listed in the configuration, else those that Clopos lists.

        Listed venues without a name take it from Clopos, or from those `known` where Clopos refuses the list. Raises
        CloposError.
        """
        listed = self.listed
        if listed is not None and self._are_named(listed):
            self.login.token(self._clock.monotonic() + seconds)
            return listed
        try:
            venues = {venue.id: venue for venue in wire.venues(self._get("venues", {}, None, seconds), self.brand)}
        except CloposError as error:
            if error.reason not in _REFUSES_DISCOVERY or error.brand_wide:
                raise
            if listed is None:
                advice = "list the ids under `venues`, or say `venues: default` to watch the token's own venue only"
                raise CloposError(error.reason, f"the list of venues is refused: {error.message}; {advice}") from error
            venues = {venue.id: venue for venue in known}
        if listed is None:
            return tuple(venues.values())
        return tuple(
            Venue(v.brand, v.id, v.name or (venues[v.id].name if v.id in venues else f"Venue {v.id}")) for v in listed
        )

    @staticmethod
    def _are_named(venues: tuple[Venue, ...] | None) -> bool:
        return venues is not None and all(venue.name for venue in venues)

    def _walk(self, venue: Venue, params: Mapping[str, Any], seconds: float) -> _Walk:
        """Read page after page."""
        first = wire.page(self._get("stations", {**params, **self._sort, "page": 1}, venue, seconds))
        full = len(first.rows)
        # An API that clamps `limit` shows by its first page how many rows each has.
        clamped = MIN_PAGE_SIZE <= full < min(first.total, PAGE_SIZE)
        pages = ceil(first.total / (full if clamped else PAGE_SIZE))
        if pages > MAX_PAGES:
            raise CloposError(Reason.TOO_LARGE, f"Clopos claims {first.total} stations in one venue")
        if pages > 1 and not self._sort and first.sorts_by_id:
            # The default order moves new rows to the front; ordered by id, rows that are there stay in place.
            self._sort = {"sort[0]": "id", "sort[1]": 1}
            return self._walk(venue, params, seconds)
        rows, totals = list(first.rows), [first.total]
        for number in range(2, pages + 1):
            page = wire.page(self._get("stations", {**params, **self._sort, "page": number}, venue, seconds))
            totals.append(page.total)
            rows += page.rows
        stations, unusable = wire.stations(rows)
        ids = Counter(station.id for station in stations)
        twice = [id_ for id_, times in ids.items() if times > 1]
        oddity = None
        if len(set(totals)) > 1:
            oddity = f"pages of one list claim different totals: {', '.join(map(str, sorted(set(totals))[:5]))}"
        elif twice:
            oddity = f"the list names stations twice: {', '.join(twice[:5])}"
        elif len(rows) != first.total:
            oddity = f"the list shows {len(rows)} rows and claims {first.total}"
        if twice:  # Of rows with the same id, the one that was updated last counts.
            by_update = sorted(stations, key=lambda station: station.updated_at or 0.0)
            stations = list({station.id: station for station in by_update}.values())
        shape: tuple[object, ...] = ()
        if oddity is not None:
            unusable.append(oddity)
            shape = (*totals, *ids.items())
        return _Walk(tuple(stations), max(pages, 1), tuple(unusable), shape)

    def _get(self, endpoint: str, params: Mapping[str, Any], venue: Venue | None, seconds: float) -> Mapping[str, Any]:
        """Ask until there is an answer, the reason speaks against a retry, or the time is over."""
        deadline = self._clock.monotonic() + seconds
        scope = f"{endpoint}:{venue.id if venue else ''}"
        self.login.backoff.check(scope)
        attempt = 1
        earlier: CloposError | None = None
        while True:
            try:
                document = self._authenticated(endpoint, params, venue, scope, deadline)
            except CloposError as error:
                if error.reason is Reason.THROTTLED and earlier is not None:
                    raise earlier from error  # What made us retry says more than that there is no time to.
                earlier = error
                if not self._retry(error, attempt, deadline):
                    raise
                attempt += 1
            else:
                self._retries.succeeded()
                return document

    def _authenticated(
        self, endpoint: str, params: Mapping[str, Any], venue: Venue | None, scope: str, deadline: float
    ) -> Mapping[str, Any]:
        """Send a request with a token, and once more with another where that is refused, in whatever words."""
        replaced = False
        while True:
            token = self.login.token(deadline)
            try:
                document = self._request(endpoint, params, venue, token, deadline)
            except CloposError as error:
                if error.reason in _AUTHENTICATION:
                    # Nothing else is asked where there is one venue, or where the first list of them is refused.
                    alone = len(self.listed or ()) == 1 or (venue is None and not self.login.proven)
                    if not replaced and self.login.replace(token, scope, deadline, only_scope=alone):
                        replaced = True
                        continue
                    raise self.login.refused(scope, token, error, only_scope=alone) from error
                if error.reason.is_configuration:
                    self.login.backoff.record(scope, error)
                raise
            self.login.accepted(scope, token)
            return document

    def _request(
        self, endpoint: str, params: Mapping[str, Any], venue: Venue | None, token: str, deadline: float
    ) -> Mapping[str, Any]:
        headers = {"x-token": token}
        if venue is not None and venue.id != DEFAULT_VENUE:
            headers["x-venue"] = venue.id
        self._give_way()
        self._failures.reserve(deadline)
        failed = False
        try:
            self.quota.acquire(deadline)
            response = self._transport.get(endpoint, params, headers)
            failed = response.status >= 400  # noqa: PLR2004 - the HTTP class that Clopos counts as failed
        finally:
            self._failures.release(failed=failed)
        self._read_headers(response.headers)
        if response.status == 429:  # noqa: PLR2004 - the HTTP status
            # What it says of a rest may be about another tier's window: it sets no rate beyond this wait.
            self.quota.rate_limited(responses.retry_after(response.headers))
        elif not failed and (limit := responses.rate_limit(response.headers)) is not None:
            self.quota.update(*limit)
        responses.raise_for_error(response, self.login.mask(token))
        return response.document

    def _read_headers(self, headers: Mapping[str, str]) -> None:
        """Take in what every response says of the time, and of the end of the API (RFC 8594)."""
        date = responses.http_date(headers.get("Date"))
        if date is not None:
            self.clock_skew = self._clock.wall() - date - 0.5  # A Date is cut to whole seconds.
        deprecation = responses.http_date(headers.get("Sunset")), responses.deprecated_since(headers)
        if deprecation not in ((None, None), self._deprecation):
            self._deprecation = deprecation
            self.sunset = deprecation[0]
            sunset, since = (None if at is None else iso(at, "seconds") for at in deprecation)
            self._log.warning("api.deprecated", brand=self.brand, sunset=sunset, deprecated_since=since)

    def _retry(self, error: CloposError, attempt: int, deadline: float) -> bool:
        """Wait for the right moment to ask again, and return whether to."""
        if error.reason not in _TRANSIENT or attempt >= MAX_ATTEMPTS or not self._retries.spend():
            return False
        # Full jitter around a doubling pause; a refused rate waits in the quota besides.
        pause = 0.5 * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - spreading, not secrecy
        if max(self._clock.monotonic() + pause, self.quota.next_at()) > deadline:
            return False
        if self._clock.wait(self._stop, pause):
            raise Stopped
        return True

    def _failure(self, error: CloposError, began: float) -> Failure:
        at = self._clock.now()
        return Failure(error.reason, error.message, at, at.monotonic - began, error.brand_wide)
