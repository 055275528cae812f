from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate
from time import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.clopos import responses
from exporter.clopos.transport import ApiResponse
from exporter.errors import CloposError
from exporter.model import Reason


def refused(status: int, document: Mapping[str, Any]) -> CloposError:
    with pytest.raises(CloposError) as caught:
        responses.raise_for_error(ApiResponse(status, {}, document))
    return caught.value


@pytest.mark.parametrize("document", [{"success": True}, {}, {"data": []}, {"success": None}])
def test_an_answer_that_does_not_say_otherwise_succeeded(document: dict[str, Any]) -> None:
    responses.raise_for_error(ApiResponse(200, {}, document))


@pytest.mark.parametrize(
    ("status", "message", "error", "reason"),
    [
        (200, "Integrator is in test mode. But brand is not in test mode", None, Reason.TEST_MODE),
        (401, "Integrator is in test mode. But brand is not in test mode", None, Reason.TEST_MODE),
        (200, "Something else", None, Reason.BAD_REQUEST),
        (400, "The client_id field is required", "validation_failed", Reason.BAD_REQUEST),
        (400, "Headers are missing", None, Reason.BAD_REQUEST),
        (400, "Page must be a number", "invalid_parameter", Reason.BAD_REQUEST),
        (400, "Invalid integrator_id", None, Reason.INTEGRATOR),
        (400, "Sorry", "Invalid integrator_id", Reason.INTEGRATOR),
        (401, "Token expired", None, Reason.TOKEN),
        (401, "Invalid token", "unauthorized", Reason.TOKEN),
        (401, "Your session has ended", "Token expired", Reason.TOKEN),
        (401, "INVALID TOKEN", None, Reason.TOKEN),
        (401, "Missing authentication headers", "unauthorized", Reason.CREDENTIALS),
        (401, "Invalid credentials", None, Reason.CREDENTIALS),
        (401, "Client is disabled", None, Reason.CLIENT_DISABLED),
        (403, "This action is unauthorized", "forbidden", Reason.FORBIDDEN),
        (404, "Resource not found", "resource_not_found", Reason.NOT_FOUND),
        (404, None, "not_found", Reason.NOT_FOUND),
        (405, "Method not allowed", None, Reason.BAD_REQUEST),
        (418, "I am a teapot", None, Reason.BAD_REQUEST),
        (429, "Too many requests", None, Reason.RATE_LIMITED),
        (500, "Internal server error", None, Reason.GATEWAY),
        (502, None, None, Reason.GATEWAY),
        (503, "Service unavailable", None, Reason.GATEWAY),
        (504, "Upstream did not answer in time", None, Reason.GATEWAY_TIMEOUT),
        (599, None, None, Reason.GATEWAY),
    ],
)
def test_every_answer_of_the_error_table_has_its_reason(
    status: int, message: str | None, error: str | None, reason: Reason
) -> None:
    said = {"success": False, "message": message, "error": error}
    found = refused(status, {key: value for key, value in said.items() if value is not None})
    assert found.reason is reason
    assert f"(HTTP {status})" in found.message


def test_success_is_read_before_the_status() -> None:
    assert refused(200, {"success": False, "message": "no"}).message == "no (HTTP 200)"


def test_a_status_of_failure_counts_whatever_the_body_claims() -> None:
    assert refused(500, {"success": True, "data": []}).reason is Reason.GATEWAY


def test_a_failure_without_a_body_says_so() -> None:
    assert refused(502, {}).message == "HTTP 502 without a JSON body"


@pytest.mark.parametrize(
    ("status", "message", "brand_wide"),
    [
        (401, "Invalid credentials", True),
        (401, "Client is disabled", True),
        (401, "Token expired", True),
        (400, "Invalid integrator_id", True),
        (200, "Integrator is in test mode", True),
        (403, "forbidden", False),
        (404, "not found", False),
        (400, "bad", False),
        (429, "slow down", False),
        (503, "later", False),
    ],
)
def test_what_hits_the_whole_brand_says_so(status: int, message: str, *, brand_wide: bool) -> None:
    assert refused(status, {"success": False, "message": message}).brand_wide is brand_wide


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 60.0),
        ({"RateLimit-Reset": "5"}, 5.0),
        ({"Retry-After": "7"}, 7.0),
        ({"RateLimit-Reset": "5", "Retry-After": "7"}, 7.0),
        ({"RateLimit-Reset": "9", "Retry-After": "7"}, 9.0),
        ({"RateLimit-Reset": "0"}, 1.0),
        ({"RateLimit-Reset": "99999"}, responses.MAX_WAIT),
        ({"RateLimit-Reset": "-5", "Retry-After": "-5"}, 60.0),
        ({"RateLimit-Reset": "soon", "Retry-After": "later"}, 60.0),
        ({"Retry-After": "9" * 5000}, 60.0),
        ({"RateLimit-Reset": "9" * 5000}, 60.0),
        ({"Retry-After": "Fri, 31 Dec 99999 23:59:59 GMT"}, 60.0),
    ],
)
def test_a_429_waits_for_the_longer_of_what_the_headers_say_within_bounds(
    headers: dict[str, str], seconds: float
) -> None:
    assert responses.retry_after(headers) == seconds


def test_retry_after_may_be_a_date() -> None:
    assert 25 <= responses.retry_after({"Retry-After": formatdate(time() + 30, usegmt=True)}) <= 30


@given(st.dictionaries(st.sampled_from(["RateLimit-Reset", "Retry-After"]), st.text(max_size=30)))
def test_no_header_makes_a_wait_endless_or_a_crash(headers: dict[str, str]) -> None:
    assert 1.0 <= responses.retry_after(headers) <= responses.MAX_WAIT


@pytest.mark.parametrize(
    ("limit", "remaining", "reset", "expected"),
    [
        ("300", "299", "60", (300, 299, 60.0)),
        ("300", "0", "0", (300, 0, 0.0)),
        ("0", "0", "0", None),
        ("-1", "0", "0", None),
        ("300", "many", "60", None),
        ("300", None, "60", None),
        ("3" * 5000, "1", "1", None),
        ("²", "1", "1", None),
    ],
)
def test_the_quota_is_taken_from_its_headers_where_all_make_sense(
    limit: str, remaining: str | None, reset: str, expected: object
) -> None:
    headers = {"RateLimit-Limit": limit, "RateLimit-Remaining": remaining, "RateLimit-Reset": reset}
    assert responses.rate_limit({key: value for key, value in headers.items() if value is not None}) == expected
