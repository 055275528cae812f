"""Check passwords against bcrypt hashes, without telling by time who exists and without holding up who is known."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum, auto

import anyio.to_thread
import bcrypt
from pydantic import SecretStr

REMEMBERED = 256
"""Right passwords that are remembered, as keyed digests."""
WAITING = 16
"""Passwords that may wait for their turn; each takes the time of one bcrypt, and bcrypt takes a whole core."""
BCRYPT_READS = 72
"""Bytes of a password that bcrypt looks at."""


class Verdict(Enum):
    """What became of a password."""

    RIGHT = auto()
    WRONG = auto()
    BUSY = auto()


class Passwords:
    """Check one password at a time in a thread, and remember the right ones by a digest under a key of this process."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._turn = anyio.CapacityLimiter(1)
        self._waiting = 0

    async def check(self, users: Mapping[str, SecretStr], name: str, password: bytes) -> Verdict:
        """Tell whether the password is the user's. An unknown user costs as much work as one of the known."""
        digest = self._digest(users, name, password)
        if digest in self._right:
            self._right.move_to_end(digest)
            return Verdict.RIGHT
        if self._waiting >= WAITING:
            return Verdict.BUSY
        hashed = users[name].get_secret_value() if name in users else self._decoy(users, name)
        self._waiting += 1
        try:
            matches = await anyio.to_thread.run_sync(
                bcrypt.checkpw, password[:BCRYPT_READS], hashed.encode(), limiter=self._turn
            )
        finally:
            self._waiting -= 1
        if not matches or name not in users:
            return Verdict.WRONG
        self._right[digest] = None
        if len(self._right) > REMEMBERED:
            self._right.popitem(last=False)
        return Verdict.RIGHT

    def _digest(self, users: Mapping[str, SecretStr], name: str, password: bytes) -> bytes:
        hashed = users[name].get_secret_value() if name in users else ""
        parts = (hashed.encode(), name.encode(), password)
        return hmac.digest(self._key, b"".join(b"%d:%s" % (len(part), part) for part in parts), "sha256")

    def _decoy(self, users: Mapping[str, SecretStr], name: str) -> str:
        """Make a hash that nobody has the password of, with the cost of some user, always the same one for a name."""
        hashes = sorted(secret.get_secret_value() for secret in users.values())
        chosen = hashes[hmac.digest(self._key, name.encode(), "sha256")[0] % len(hashes)]
        return f"{chosen[:29]}{'.' * 31}"


def parse_basic(value: str) -> tuple[str, bytes] | None:
    """Read user and password from an Authorization header; None where it is no such thing."""
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (name.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
