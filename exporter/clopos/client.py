"""Ask Clopos about one brand: complete answers or a reason, within the quota and within the time a poll has."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from threading import Event
from typing import Any

from exporter.clock import Clock
from exporter.clopos import responses, wire
from exporter.clopos.limits import BrandQuota, IpLimits, RetryBudget
from exporter.clopos.login import BRAND, Credentials, Login
from exporter.clopos.transport import Observe, Transport
from exporter.errors import CloposError, Stopped
from exporter.model import Discovery, Failure, Reason, Snapshot, Station, Venue

DEFAULT_VENUE = "default"
"""Id of the venue that the token itself stands for, where Clopos does not tell which venues there are."""

PAGE_SIZE = 200
MAX_PAGES = 100
MAX_ATTEMPTS = 3

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
_REFUSES_DISCOVERY = frozenset({Reason.FORBIDDEN, Reason.NOT_FOUND, Reason.BAD_REQUEST})


@dataclass(frozen=True, slots=True)
class Listing:
    """All stations of a venue at one time; `requests` is how many pages that took, `unusable` describes odd rows."""

    stations: tuple[Station, ...]
    requests: int
    unusable: tuple[str, ...]


class Client:
    """One brand of Clopos.

    `venues` lists what to watch, None for all that Clopos tells. `on_unusable` is told of rows without a usable id.
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
        venues: tuple[Venue, ...] | None = None,
        connections: int = 16,
        on_unusable: Callable[[Venue, str], None] = lambda _venue, _row: None,
    ) -> None:
        self.brand = brand
        self.quota = BrandQuota(requests_per_minute, clock, stop)
        self._transport = Transport(base_url, connections=connections, observe=observe)
        self.login = Login(credentials, transport=self._transport, quota=self.quota, ip_limits=ip_limits, clock=clock)
        self._venues = venues
        self._clock, self._stop, self._ip_limits = clock, stop, ip_limits
        self._retries = RetryBudget()
        self._on_unusable = on_unusable
        self._sort: dict[str, Any] = {}

    def close(self) -> None:
        """Cut what is running and let the connections go."""
        self._transport.close()

    def reset_backoff(self) -> None:
        """Forget what was refused: somebody says that it is mended."""
        self.login.backoff.reset()

    def poll(self, venue: Venue, seconds: float) -> Snapshot | Failure:
        """Ask for a venue's stations, each page within so many seconds, and give the outcome. Raises Stopped only."""
        began = self._clock.monotonic()
        try:
            listing = self.stations(venue, seconds)
        except CloposError as error:
            return self._failure(error, began)
        for row in listing.unusable:
            self._on_unusable(venue, row)
        at = self._clock.now()
        duration, partial = at.monotonic - began, bool(listing.unusable)
        return Snapshot(listing.stations, at, duration, listing.requests, partial=partial, began=began)

    def discover(self, seconds: float, known: Iterable[Venue] = ()) -> Discovery | Failure:
        """Log in, ask which venues there are and give the outcome; `known` as for `venues`. Raises Stopped only."""
        began = self._clock.monotonic()
        try:
            venues = self.venues(seconds, known)
        except CloposError as error:
            return self._failure(error, began)
        at = self._clock.now()
        return Discovery(venues, at, at.monotonic - began, listed=self._venues is not None, began=began)

    def stations(
        self, venue: Venue, seconds: float, *, status: int | None = None, can_print: bool | None = None
    ) -> Listing:
        """Read all stations of a venue, filtered by the API's own parameters.

        `seconds` are for each page: how many there are is known after the first. Raises CloposError; `incomplete` where
        the list moved under two walks in a row.
        """
        params: dict[str, Any] = {"limit": PAGE_SIZE}
        if status is not None:
            params["status"] = status
        if can_print is not None:
            params["can_print"] = str(can_print).lower()
        listing = self._walk(venue, params, seconds) or self._walk(venue, params, seconds)
        if listing is None:
            raise CloposError(Reason.INCOMPLETE, "the list of stations changed while it was read, twice in a row")
        return listing

    def venues(self, seconds: float, known: Iterable[Venue] = ()) -> tuple[Venue, ...]:
        """Read the venues to watch: those listed in the configuration, else those that Clopos tells.

        Where Clopos refuses to tell, the token's default venue stands for the brand, unless others are `known` from
        before. Raises CloposError.
        """
        listed = self._venues
        if listed is not None and all(venue.name for venue in listed):
            self.login.token(self._clock.monotonic() + seconds)
            return listed
        try:
            told = {venue.id: venue for venue in wire.venues(self._get("venues", {}, None, seconds), self.brand)}
        except CloposError as error:
            if error.reason not in _REFUSES_DISCOVERY or error.brand_wide:
                raise
            told = {venue.id: venue for venue in known}
            if listed is None and told.keys() - {DEFAULT_VENUE}:
                raise  # Being refused the list unmakes none of them.
            listed = listed or (Venue(self.brand, DEFAULT_VENUE, self.brand),)
        if listed is None:
            return tuple(told.values())
        return tuple(
            Venue(v.brand, v.id, v.name or (told[v.id].name if v.id in told else f"Venue {v.id}")) for v in listed
        )

    def _walk(self, venue: Venue, params: Mapping[str, Any], seconds: float) -> Listing | None:
        """Read page after page; None where the list moved meanwhile, so that the walk proves nothing."""
        first = wire.page(self._get("stations", {**params, **self._sort, "page": 1}, venue, seconds))
        pages = ceil(first.total / PAGE_SIZE)
        if pages > MAX_PAGES:
            raise CloposError(Reason.TOO_LARGE, f"Clopos claims {first.total} stations in one venue")
        if pages > 1 and not self._sort and "id" in first.sorts:
            # The default order moves new rows to the front; ordered by id, rows that are there stay in place.
            self._sort = {"sort[0]": "id", "sort[1]": 1}
            return self._walk(venue, params, seconds)
        rows = list(first.rows)
        for number in range(2, pages + 1):
            page = wire.page(self._get("stations", {**params, **self._sort, "page": number}, venue, seconds))
            if page.total != first.total:
                return None
            rows += page.rows
        stations, unusable = wire.stations(rows)
        if len(rows) != first.total or len({station.id for station in stations}) != len(stations):
            return None
        return Listing(tuple(stations), max(pages, 1), tuple(unusable))

    def _get(self, endpoint: str, params: Mapping[str, Any], venue: Venue | None, seconds: float) -> Mapping[str, Any]:
        """Ask until there is an answer, the reason speaks against asking again, or the time is over."""
        deadline = self._clock.monotonic() + seconds
        scope = f"{endpoint}:{venue.id if venue else ''}"
        self.login.backoff.check(scope)
        renewed = False
        attempt = 1
        earlier: CloposError | None = None
        while True:
            token = ""
            try:
                token = self.login.token(deadline)
                document = self._once(endpoint, params, venue, token, deadline)
            except CloposError as error:
                if error.reason is Reason.TOKEN and self.login.renewable and not renewed:
                    renewed = True
                    self.login.invalidate(token)
                    continue
                if error.reason is Reason.THROTTLED and earlier is not None:
                    raise earlier from error  # What made us ask again says more than that there is no time to.
                earlier = error
                if not self._again(error, attempt, deadline):
                    if error.reason.is_configuration:
                        self.login.backoff.record(BRAND if error.brand_wide else scope, error)
                    raise
                attempt += 1
            else:
                self._retries.succeeded()
                self.login.backoff.clear(scope)
                self.login.backoff.clear(BRAND)
                return document

    def _once(
        self, endpoint: str, params: Mapping[str, Any], venue: Venue | None, token: str, deadline: float
    ) -> Mapping[str, Any]:
        headers = {"x-token": token}
        if venue is not None and venue.id != DEFAULT_VENUE:
            headers["x-venue"] = venue.id
        counted = self._ip_limits.failures.reserve(deadline)
        self.quota.acquire(deadline)
        answer = self._transport.get(endpoint, params, headers)
        failed = answer.status >= 400  # noqa: PLR2004 - the HTTP class that Clopos counts as failed
        self._ip_limits.failures.release(failed=failed, counted=counted)
        if answer.status == 429:  # noqa: PLR2004 - the HTTP status
            # What it says of a rest may be about another tier's window: it sets no pace beyond this wait.
            self.quota.rate_limited(responses.retry_after(answer.headers))
        elif (told := responses.rate_limit(answer.headers)) is not None:
            self.quota.update(*told)
        responses.raise_for_error(answer, self.login.secrets(token))
        return answer.document

    def _again(self, error: CloposError, attempt: int, deadline: float) -> bool:
        """Wait for the right moment to ask again, and tell whether to."""
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
        return Failure(error.reason, error.message, at, at.monotonic - began, error.brand_wide, began=began)
