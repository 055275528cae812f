"""Hold one brand's token: log in when it is needed, refresh it before it expires, back off where login is refused."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from threading import Lock

from exporter.clock import Clock
from exporter.clopos import responses, wire
from exporter.clopos.limits import BrandQuota, IpLimits
from exporter.clopos.transport import ApiResponse, Transport
from exporter.errors import CloposError, ExporterError
from exporter.masking import masker
from exporter.model import Reason

REFRESH_BEFORE = 60.0
"""Seconds before its end at which a token is refreshed; a tenth of its life where that is less."""

MIN_LIFETIME = 20.0
"""Seconds that a token is used at least, so that a nonsensical expiry cannot make every poll log in."""

LOGIN = "login"
REPLACEMENT = "replacement"
"""Keys of what is not tried again at once: the login, and another token where new ones are refused as well."""

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The body of POST /auth."""

    client_id: str
    client_secret: str = field(repr=False)
    brand: str
    integrator_id: str


@dataclass(frozen=True, slots=True)
class Session:
    """A token and its times, published as one value so that no thread ever sees the half of a login.

    `refresh_at` and `ends_at` are monotonic seconds; `expires_at` is epoch seconds as Clopos said it.
    """

    token: str = field(repr=False)
    refresh_at: float = NEVER
    ends_at: float = NEVER
    expires_at: float | None = None


_NONE = Session("", refresh_at=-NEVER, ends_at=-NEVER)
"""The session before the first login and after one that was refused."""


class Backoff:
    """Remember what failed and when asking again makes sense: later each time, within bounds in seconds."""

    FIRST, MAX = 15.0, 300.0
    FIRST_TRANSIENT, MAX_TRANSIENT = 1.0, 15.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[CloposError, float, int]] = {}

    def check(self, key: str) -> None:
        """Raise the remembered CloposError while its time is not over."""
        known = self._known.get(key)  # once: another thread may clear it at any moment
        if known is not None and self._clock.monotonic() < known[1]:
            raise _copy(known[0])

    def holds(self, key: str) -> bool:
        """Return whether the time of a remembered error is not over."""
        known = self._known.get(key)
        return known is not None and self._clock.monotonic() < known[1]

    def last(self, key: str) -> CloposError | None:
        """Return the newest error, also if its time is over; None where it worked since."""
        known = self._known.get(key)
        return None if known is None else _copy(known[0])

    def record(self, key: str, error: CloposError) -> None:
        """Remember an error."""
        _, until, times = self._known.get(key, (error, 0.0, 0))
        now = self._clock.monotonic()
        if now < until:
            return  # One of several requests that were under way together.
        configuration = error.reason.is_configuration
        first, longest = (self.FIRST, self.MAX) if configuration else (self.FIRST_TRANSIENT, self.MAX_TRANSIENT)
        self._known[key] = (error, now + min(longest, first * 2**times), min(times + 1, 16))

    def clear(self, key: str) -> None:
        """Forget one key: it worked."""
        self._known.pop(key, None)

    def reset(self) -> None:
        """Forget everything."""
        self._known.clear()


class Login:
    """Provide the token of a brand to the threads that poll it; one of them logs in, the others wait for it.

    `credentials` may be a ready token. `reread` reads them again from where they came from: Kubernetes replaces the
    files of a secret that was rotated. `proven` says that some token was accepted already.
    """

    def __init__(
        self,
        credentials: Credentials | str,
        *,
        transport: Transport,
        quota: BrandQuota,
        ip_limits: IpLimits,
        clock: Clock,
        reread: Callable[[], Credentials | str] | None = None,
    ) -> None:
        self.backoff = Backoff(clock)
        self._credentials, self._reread = credentials, reread
        self._session = _ready(credentials) if isinstance(credentials, str) else _NONE
        self._secrets = {_secret(credentials)}
        self._transport, self._quota, self._ip_limits, self._clock = transport, quota, ip_limits, clock
        self._lock = Lock()
        self.proven = False
        self._accepted: str | None = None
        self._refused: dict[str, str] = {}
        self._suspects: set[str] = set()

    @property
    def expires_at(self) -> float | None:
        """Return when the token expires, epoch seconds; None where it does not say so, or without any."""
        return self._session.expires_at

    @property
    def logs_in(self) -> bool:
        """Return whether it gets a new token by itself; a ready one has to be supplied by somebody."""
        return isinstance(self._credentials, Credentials)

    def mask(self, token: str = "") -> Callable[[str], str]:
        """Return a function that masks the credentials in a text, and a token that is perhaps no longer ours."""
        return masker({token, self._session.token, *self._secrets})

    def token(self, deadline: float) -> str:
        """Return a token that is good. Raises CloposError, brand-wide, where none can be had before the deadline."""
        session = self._session
        if self._clock.monotonic() < session.refresh_at:
            return session.token
        usable = self._clock.monotonic() < session.ends_at
        # While another thread refreshes a token that is still good, that serves.
        if not self._acquire(0.0 if usable else deadline):
            if usable:
                return session.token
            raise self._busy()
        try:
            if self._session is session or self._session is _NONE:
                self._session = self._obtain(deadline)
            session = self._session
        except CloposError:
            # A token that is to be refreshed soon is still good while that fails.
            if self._session is not session or self._clock.monotonic() >= session.ends_at:
                raise
        finally:
            self._lock.release()
        return session.token

    def replace(self, token: str, scope: str, deadline: float, *, only_scope: bool = False) -> bool:
        """Get another token after this one was refused for a scope, and return whether there is one.

        A scope that was refused the token before, while others are not, gets no other for it; neither does any where
        new tokens were refused a moment ago. Raises CloposError: brand-wide where the login is refused. Where it merely
        fails, the token may be good elsewhere; it concerns the brand as in `refused`.
        """
        renewable = self.logs_in or self._reread is not None
        if not renewable or self._refused.get(scope) == token == self._accepted:
            return False
        if self.backoff.holds(REPLACEMENT) and token == self._session.token:
            return False
        if not self._acquire(deadline):
            raise self._busy()
        try:
            session = self._session
            if session is _NONE or session.token == token:
                try:
                    self._session = self._obtain(deadline)
                except CloposError as error:
                    dead = error.reason.is_configuration or session is _NONE or self._suspect(scope, only=only_scope)
                    if not dead or error.reason is Reason.THROTTLED:
                        raise CloposError(error.reason, error.message) from error
                    if self.logs_in:
                        self._session = _NONE
                    raise
            return self._session.token != token
        finally:
            self._lock.release()

    def accepted(self, scope: str, token: str) -> None:
        """Note that a token was accepted: it is good, and whoever else is refused it has another fault."""
        self.proven = True
        self._accepted = token
        self._refused.pop(scope, None)
        self.backoff.clear(scope)
        if self._suspects:
            for other in list(self._suspects):
                self.backoff.clear(other)  # It may have been the brand, which works again.
            self._suspects.clear()
            self.backoff.clear(REPLACEMENT)

    def refused(self, scope: str, token: str, error: CloposError, *, only_scope: bool = False) -> CloposError:
        """Note that a token was refused that cannot be replaced, and return what that means.

        It concerns the whole brand once two scopes were refused and none was accepted since, or one where that is all
        there is. Else a new token that is refused says that the scope is forbidden.
        """
        brand_wide = self._suspect(scope, only=only_scope)
        self._refused[scope] = token
        if brand_wide:
            self.backoff.record(REPLACEMENT, error)
            error = CloposError(error.reason, error.message, brand_wide=True)
        elif self.logs_in and error.reason in (Reason.TOKEN, Reason.CREDENTIALS):
            error = CloposError(Reason.FORBIDDEN, f"{error.message}, with a new token too")
        self.backoff.record(scope, error)
        return error

    def _suspect(self, scope: str, *, only: bool) -> bool:
        """Count a scope that is refused, and return whether the whole brand seems to be."""
        self._accepted = None
        if scope not in self._refused:
            self._suspects.add(scope)
        return only or len(self._suspects) > 1

    def _acquire(self, deadline: float) -> bool:
        """Get the lock of whoever logs in, waiting for that where it is likely to help."""
        left = deadline - self._clock.monotonic()
        waits = left > 0 and self.backoff.last(LOGIN) is None
        return self._lock.acquire(timeout=left / self._clock.speed) if waits else self._lock.acquire(blocking=False)

    def _busy(self) -> CloposError:
        """Return why there is no token while another thread logs in."""
        waiting = CloposError(Reason.THROTTLED, "not asked: the brand's login took all the time of the poll")
        return self.backoff.last(LOGIN) or waiting

    def _obtain(self, deadline: float) -> Session:
        """Log in, or take a ready token; once more with other credentials where these are refused."""
        if isinstance(self._credentials, str):
            self._read_again()
        if isinstance(self._credentials, Credentials):
            self.backoff.check(LOGIN)
            last = self.backoff.last(LOGIN)
            if last is not None and not self._ip_limits.login_retries.try_acquire():
                raise last
        try:
            try:
                session = self._log_in(deadline)
            except CloposError as error:
                if not error.reason.is_configuration or not self._read_again():
                    raise
                session = self._log_in(deadline)
        except CloposError as error:
            if error.reason is Reason.THROTTLED:
                raise  # Our own rate limit says nothing of the login.
            refused = CloposError(error.reason, error.message, brand_wide=True)
            self.backoff.record(LOGIN, refused)
            raise refused from error
        self.backoff.clear(LOGIN)
        return session

    def _log_in(self, deadline: float) -> Session:
        if isinstance(self._credentials, str):
            return _ready(self._credentials)
        self._ip_limits.logins.acquire(deadline)
        self._quota.acquire(deadline)
        response = self._transport.post("auth", asdict(self._credentials))
        if response.status == 429:  # noqa: PLR2004 - the HTTP status
            self._ip_limits.logins.hold(responses.retry_after(response.headers))
        responses.raise_for_error(response, self.mask())
        token = wire.token(response.document)
        life = self._lifetime(token, response)
        now = self._clock.monotonic()
        return Session(
            token.value,
            refresh_at=now + max(life - min(REFRESH_BEFORE, life / 10), MIN_LIFETIME),
            ends_at=now + max(life, MIN_LIFETIME),
            expires_at=token.expires_at,
        )

    def _read_again(self) -> bool:
        """Read the credentials again, and return whether they are others."""
        if self._reread is None:
            return False
        try:
            credentials = self._reread()
        except (ExporterError, OSError, ValueError):
            return False  # What we have was refused, which says more than a file that cannot be read.
        if credentials == self._credentials:
            return False
        self._credentials = credentials
        self._secrets = {*self._secrets, _secret(credentials)}
        return True

    def _lifetime(self, token: wire.Token, response: ApiResponse) -> float:
        """Return the seconds the token lives.

        `expires_at` is trusted, counted from the server's own Date: a wrong local clock must neither refresh at every
        poll nor use a dead token. `expires_in` stands in where one of the two is missing.
        """
        date = responses.http_date(response.headers.get("Date"))
        if token.expires_in is not None and None in (token.expires_at, date):
            return token.expires_in
        if token.expires_at is None:
            return 3600.0
        return token.expires_at - (self._clock.wall() if date is None else date)


def _ready(token: str) -> Session:
    """Return the session of a token that was supplied, with its `exp` claim if it is a JSON Web Token (RFC 7519)."""
    try:
        payload = token.split(".")[1]
        expires_at = float(json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return Session(token)
    return Session(token, expires_at=expires_at)


def _secret(credentials: Credentials | str) -> str:
    return credentials if isinstance(credentials, str) else credentials.client_secret


def _copy(error: CloposError) -> CloposError:
    """Return a copy of the error: one that is raised again and again collects tracebacks."""
    return CloposError(error.reason, error.message, brand_wide=error.brand_wide)
