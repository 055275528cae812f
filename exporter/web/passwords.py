"""Check passwords against bcrypt hashes, without revealing by time who exists and without delaying known logins."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

import anyio.to_thread
import bcrypt
from pydantic import SecretStr

REMEMBERED = 256
"""Right logins that are remembered, as keyed digests: more than anybody has users."""
WAITING_PER_PEER = 8
"""Passwords of one peer that may wait; each takes the time of one bcrypt, and bcrypt takes a whole core."""
WAITING_PEERS = 64
"""Peers that may wait, each for one bcrypt of every other."""
BCRYPT_READS = 72
"""Bytes of a password that bcrypt looks at."""


class LoginResult(Enum):
    """The outcome of a password check."""

    RIGHT = auto()
    WRONG = auto()
    BUSY = auto()


@dataclass(slots=True)
class _PeerQueue:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class PasswordChecker:
    """Check one password at a time in a thread, and remember the right ones by a digest under a key of this process.

    Peers are served round robin, so that one that guesses delays another by one password at most.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._right: set[bytes] = set()
        self._peers: dict[str, _PeerQueue] = {}
        self._bcrypt = asyncio.Lock()  # first come, first served, and each peer waits here once
        self._thread = anyio.CapacityLimiter(1)  # of its own: the threads of pages may all be at work

    def is_remembered(self, users: Mapping[str, SecretStr], name: str, password: bytes) -> bool:
        """Return whether this login was right before; it costs microseconds."""
        return self._digest(users, name, password) in self._right

    async def check(self, users: Mapping[str, SecretStr], name: str, password: bytes, peer: str) -> LoginResult:
        """Return whether the password is the user's. An unknown user costs as much work as one of the known."""
        if self.is_remembered(users, name, password):
            return LoginResult.RIGHT
        queue = self._peers.get(peer)
        if queue is None:
            if len(self._peers) >= WAITING_PEERS:
                return LoginResult.BUSY
            queue = self._peers[peer] = _PeerQueue()
        if queue.waiting >= WAITING_PER_PEER:
            return LoginResult.BUSY
        hashed = users[name].get_secret_value() if name in users else self._decoy(users, name)
        queue.waiting += 1
        try:
            async with queue.lock, self._bcrypt:
                began = time.perf_counter()
                matches = await anyio.to_thread.run_sync(
                    bcrypt.checkpw, password[:BCRYPT_READS], hashed.encode(), limiter=self._thread
                )
                if not matches:
                    # Guesses may have half of a core: scrapes need the rest of a small machine.
                    await asyncio.sleep(time.perf_counter() - began)
        finally:
            queue.waiting -= 1
            if not queue.waiting:
                del self._peers[peer]
        if not matches or name not in users:
            return LoginResult.WRONG
        if len(self._right) >= REMEMBERED:
            self._right.clear()
        self._right.add(self._digest(users, name, password))
        return LoginResult.RIGHT

    def _digest(self, users: Mapping[str, SecretStr], name: str, password: bytes) -> bytes:
        hashed = users[name].get_secret_value() if name in users else ""
        parts = (hashed.encode(), name.encode(), password)
        return hmac.digest(self._key, b"".join(b"%d:%s" % (len(part), part) for part in parts), "sha256")

    def _decoy(self, users: Mapping[str, SecretStr], name: str) -> str:
        """Return a hash that nobody has the password of, with the cost of some user, the same for the same name."""
        hashes = sorted(secret.get_secret_value() for secret in users.values())
        chosen = hashes[hmac.digest(self._key, name.encode(), "sha256")[0] % len(hashes)]
        return f"{chosen[:29]}{'.' * 31}"


def parse_basic(value: str) -> tuple[str, bytes] | None:
    """Parse user and password from an Authorization header; None where it is no such thing."""
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (name.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
