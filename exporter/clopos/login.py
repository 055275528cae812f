"""Hold one brand's token: log in when it is needed, renew before it ends, and do not insist where it is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from threading import Lock

from exporter.clock import Clock
from exporter.clopos import responses, wire
from exporter.clopos.limits import BrandQuota, IpLimits
from exporter.clopos.transport import ApiResponse, Transport
from exporter.errors import CloposError
from exporter.model import Reason

REFRESH_BEFORE = 60.0
"""Seconds before its end at which a token is renewed; a tenth of its life where that is less."""

MIN_LIFETIME = 20.0
"""Seconds that a token is used at least, so that a nonsensical expiry cannot make every poll log in."""

LOGIN = "login"
BRAND = "brand"
"""Keys of what can be refused for a whole brand: the login itself, or what is asked with its token."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What POST /auth wants."""

    client_id: str
    client_secret: str = field(repr=False)
    brand: str
    integrator_id: str


class Backoff:
    """Remember what was refused and when asking again makes sense: later each time, up to `longest` seconds."""

    LONGEST = 900.0
    LONGEST_TRANSIENT = 60.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[CloposError, float, int]] = {}

    def check(self, key: str) -> None:
        """Raise the remembered CloposError while its time is not over."""
        known = self._known.get(key)
        if known is not None and self._clock.monotonic() < known[1]:
            error = known[0]
            raise CloposError(error.reason, error.message, brand_wide=error.brand_wide)

    def record(self, key: str, error: CloposError) -> None:
        """Remember a refusal."""
        _, until, times = self._known.get(key, (error, 0.0, 0))
        now = self._clock.monotonic()
        if now < until:
            return  # One of several requests that were under way together.
        first, longest = (15.0, self.LONGEST) if error.reason.is_configuration else (1.0, self.LONGEST_TRANSIENT)
        self._known[key] = (error, now + min(longest, first * 2**times), min(times + 1, 16))

    def clear(self, key: str) -> None:
        """Forget: it worked."""
        self._known.pop(key, None)

    def reset(self) -> None:
        """Forget everything."""
        self._known.clear()


class Login:
    """Give the token of a brand to the threads that poll it; one of them logs in, the others wait for it.

    `expires_at` is epoch seconds as Clopos said it, None with a ready token or before the first login.
    """

    def __init__(
        self,
        credentials: Credentials | str,
        *,
        transport: Transport,
        quota: BrandQuota,
        ip_limits: IpLimits,
        clock: Clock,
    ) -> None:
        self.expires_at: float | None = None
        self.backoff = Backoff(clock)
        self._credentials = credentials if isinstance(credentials, Credentials) else None
        self._token = credentials if isinstance(credentials, str) else None
        self._renew_at = self._ends_at = float("inf")
        self._transport, self._quota, self._ip_limits, self._clock = transport, quota, ip_limits, clock
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"Login(expires_at={self.expires_at})"

    @property
    def renewable(self) -> bool:
        """Tell whether a token that is no longer good can be replaced."""
        return self._credentials is not None

    def secrets(self, token: str = "") -> Callable[[str], str]:
        """Give a function that masks the credentials in a text, and a token that is perhaps no longer ours."""
        known = [token, self._token, self._credentials and self._credentials.client_secret]

        def mask(text: str) -> str:
            for secret in known:
                if secret:
                    text = text.replace(secret, "<secret>")
            return text

        return mask

    def token(self, deadline: float) -> str:
        """Give a token that is good. Raises CloposError, brand-wide, where none can be had before the deadline."""
        self.backoff.check(BRAND)
        if self._token is not None and self._clock.monotonic() < self._renew_at:
            return self._token
        good = self._token is not None and self._clock.monotonic() < self._ends_at
        # While another thread renews a token that is still good, it serves; else there is no way but to wait.
        wait = 0.0 if good else max(0.0, deadline - self._clock.monotonic()) / self._clock.speed
        if not self._lock.acquire(timeout=wait):
            if self._token is not None and good:
                return self._token
            raise CloposError(Reason.THROTTLED, "waiting for the brand's login took all the time of the poll")
        try:
            if self._token is None or self._clock.monotonic() >= self._renew_at:
                self._token = self._log_in(deadline)
        except CloposError:
            # A token that is to be renewed soon is still good while renewing it fails.
            if self._token is None or self._clock.monotonic() >= self._ends_at:
                raise
        finally:
            self._lock.release()
        return self._token

    def invalidate(self, token: str) -> None:
        """Take note that Clopos no longer accepts a token."""
        if self.renewable and token == self._token:
            self._renew_at = self._ends_at = 0.0

    def _log_in(self, deadline: float) -> str:
        if self._credentials is None:
            raise CloposError(Reason.TOKEN, "there is no token and nothing to log in with", brand_wide=True)
        self.backoff.check(LOGIN)
        body = {
            "client_id": self._credentials.client_id,
            "client_secret": self._credentials.client_secret,
            "brand": self._credentials.brand,
            "integrator_id": self._credentials.integrator_id,
        }
        try:
            self._ip_limits.logins.acquire(deadline)
            self._quota.acquire(deadline)
            answer = self._transport.post("auth", body)
            if answer.status == 429:  # noqa: PLR2004 - the HTTP status
                self._ip_limits.logins.hold(responses.retry_after(answer.headers))
            responses.raise_for_error(answer, self.secrets())
            token = wire.token(answer.document)
        except CloposError as error:
            if error.reason is Reason.THROTTLED:
                raise  # Our own pacing is no refusal.
            refusal = CloposError(error.reason, error.message, brand_wide=True)
            self.backoff.record(LOGIN, refusal)
            raise refusal from error
        life = self._life(token, answer)
        now = self._clock.monotonic()
        self._ends_at = now + max(life, MIN_LIFETIME)
        self._renew_at = now + max(life - min(REFRESH_BEFORE, life / 10), MIN_LIFETIME)
        self.expires_at = token.expires_at
        self.backoff.clear(LOGIN)
        return token.value

    def _life(self, token: wire.Token, answer: ApiResponse) -> float:
        """Give the seconds the token lives.

        `expires_at` is trusted, counted from the server's own Date: a wrong local clock must neither renew at every
        poll nor use a dead token. `expires_in` stands in where one of the two is missing.
        """
        if token.expires_at is not None:
            try:
                said = parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
            except (ValueError, OverflowError):
                said = None
            if said is not None:
                return token.expires_at - said
        if token.expires_in is not None:
            return token.expires_in
        return token.expires_at - self._clock.wall() if token.expires_at is not None else 3600.0
