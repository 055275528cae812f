"""The tokens POST /auth gives out: JSON Web Tokens that say when they end, with a signature that means nothing."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from threading import Lock

from exporter.clock import Clock


@dataclass(slots=True)
class Grant:
    """What a token stands for. `expires_at` is epoch seconds."""

    brand: str
    expires_at: float


class Tokens:
    """Issue, look up, expire and revoke tokens. `lifetime` is in seconds."""

    def __init__(self, clock: Clock, lifetime: float = 3600.0) -> None:
        self.lifetime = lifetime
        self._clock = clock
        self._grants: dict[str, Grant] = {}
        self._lock = Lock()

    def issue(self, brand: str) -> tuple[str, Grant]:
        """Issue a new token for the brand; older ones stay valid."""
        grant = Grant(brand, self._clock.wall() + self.lifetime)
        claims = json.dumps({"exp": int(grant.expires_at), "jti": secrets.token_hex(16)}, separators=(",", ":"))
        token = ".".join(_base64(part) for part in (b'{"alg":"HS256"}', claims.encode(), secrets.token_bytes(32)))
        with self._lock:
            self._grants[token] = grant
        return token, grant

    def find(self, token: str) -> Grant | None:
        """Return what a token stands for, expired or not; None for one that was never given or is revoked."""
        return self._grants.get(token)

    def expired(self, grant: Grant) -> bool:
        """Return whether a grant is over."""
        return grant.expires_at <= self._clock.wall()

    def expire(self, brand: str | None = None) -> None:
        """Let the tokens of a brand, or all, expire now: Clopos answers `Token expired`."""
        with self._lock:
            for grant in self._of(brand).values():
                grant.expires_at = min(grant.expires_at, self._clock.wall())

    def revoke(self, brand: str | None = None) -> None:
        """Forget the tokens of a brand, or all: Clopos answers `Invalid token`."""
        with self._lock:
            for token in self._of(brand):
                del self._grants[token]

    def _of(self, brand: str | None) -> dict[str, Grant]:
        return {token: grant for token, grant in self._grants.items() if brand in (None, grant.brand)}


def _base64(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()
