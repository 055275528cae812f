"""Values that nobody sends by accident."""

from __future__ import annotations

import gzip
import json
from typing import Any

from hypothesis import strategies as st
from targets import SECRET, Reply

TEXTS = (
    st.text(max_size=20)
    | st.sampled_from(
        ["", "0", "1", "01", "1.0", "true", "٣", "kitchen", "NaN", "{}", "__name__", 'x"} 1\n', "\\", '"']
    )
    | st.sampled_from(
        ["\0", "\n", "\r\n", "\u2028", "\x1b[31m", "\x7f\x85", "\ufeff", "\u202eevil\u202c", "\u2066\u2069"]
    )
    | st.sampled_from(["\ud83c", "\udf7d", "\ud83c\udf7d"])
    | st.sampled_from("aə").flatmap(lambda letter: st.sampled_from([199, 200, 201, 1_000_000]).map(letter.__mul__))
)
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([2**63 - 1, 2**63, -(2**63), 2**64, 10**400, -(10**4200), 1e15, 1e308, -0.0, 5e-324])
)
TIMES = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z") | st.sampled_from(
    [
        "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59.999999-23:59", "9999-12-31T24:00:00Z", "10000-01-01T00:00:00Z", "-001-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z", "2026-01-13", "20260113T140849Z", "2026-W03-2", "2026-01-13T14:08:49.1234567890123Z",
    ]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS | TIMES


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
) | st.sampled_from([30, 900]).map(nested)
FLAGS = st.sampled_from([0, 1, "0", "1", True, False, None]) | SCALARS
ROWS = st.fixed_dictionaries(
    {"id": st.integers(0, 3) | st.sampled_from(["1", "2", "kitchen", "\u202e"])},
    optional={
        "name": TEXTS | VALUES,
        "status": FLAGS,
        "type": FLAGS,
        "printable": FLAGS,
        "can_print": FLAGS,
        "created_at": TIMES | VALUES,
        "updated_at": TIMES | VALUES,
        "deleted_at": st.none() | VALUES,
    },
)
UNIQUE_ROWS = st.lists(ROWS, max_size=4, unique_by=lambda row: str(row["id"]))
"""The rows of a page; ids change their type and come twice from one page to the next."""


def listing(rows: list[Any], more: dict[str, Any]) -> dict[str, Any]:
    return {"success": True, "data": rows, "total": len(rows), **more}


FIELDS = st.dictionaries(
    st.sampled_from(["success", "message", "error", "sorts", "data", "total", "token", "expires_at", "expires_in"]),
    VALUES | st.just(SECRET),
    max_size=2,
)
DOCUMENTS = (
    st.builds(listing, UNIQUE_ROWS, st.just({}))
    | st.builds(listing, UNIQUE_ROWS | st.lists(VALUES | ROWS, max_size=4), FIELDS)
    | st.builds(lambda more: {"success": True, "token": "jwt", "expires_at": 2e9, "expires_in": 3600, **more}, FIELDS)
    | VALUES
)
HEADERS = st.dictionaries(
    st.sampled_from(["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After", "Date"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30)
    | st.sampled_from(
        [
            "0", "1", "300", "-1", "1e9", "nan", " ", "9" * 5000, "Thu, 01 Jan 1970 00:00:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 32 Jan 99999 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 +9999",
            "Sat, 01 Jan 2000 00:00:00 -0000",
        ]
    ),
    max_size=3,
)  # fmt: skip
STATUSES = st.sampled_from([200] * 6 + [204, 301, 400, 401, 403, 404, 429, 500, 504, 999])


def reply(document: Any, status: int, headers: dict[str, str], packing: str) -> Reply:
    """Put a document on the wire: plain, packed, or packed and spoilt."""
    body = json.dumps(document).encode("utf-8", "surrogatepass")
    if packing == "plain":
        return Reply(body, status, headers)
    packed = gzip.compress(body, mtime=0)
    return Reply(packed if packing == "gzip" else packed[:-9], status, {**headers, "Content-Encoding": "gzip"})


REPLIES = st.builds(reply, DOCUMENTS, STATUSES, HEADERS, st.sampled_from(["plain"] * 6 + ["gzip", "torn"])) | st.builds(
    Reply, st.binary(max_size=200), STATUSES, HEADERS
)
