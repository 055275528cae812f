from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from email.utils import formatdate
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


@pytest.mark.parametrize("status", [200, 201, 206])
def test_success_is_a_success(status: int) -> None:
    responses.raise_for_error(ApiResponse(status, {}, {"success": True, "data": []}))


@pytest.mark.parametrize("success", [None, 0, 1, "true", "false", "", [], {}, 1.0])
def test_nothing_but_true_is_a_success(success: object) -> None:
    error = refused(200, {"success": success, "data": [], "total": 0})
    assert (error.reason, error.message) == (Reason.MALFORMED, 'HTTP 200 without "success": true')


@pytest.mark.parametrize("document", [{}, {"data": [], "total": 0}])
def test_a_response_that_does_not_speak_of_success_is_none(document: dict[str, Any]) -> None:
    assert refused(200, document).reason is Reason.MALFORMED


def test_a_message_explains_more_than_a_missing_success() -> None:
    assert refused(200, {"success": None, "message": "Client is disabled"}).reason is Reason.CLIENT_DISABLED


def test_a_status_beyond_the_successful_ones_is_none() -> None:
    assert refused(304, {"success": True}).reason is Reason.MALFORMED


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
        ({"RateLimit-Reset": "1.5"}, 1.5),
        ({"Retry-After": "2.25"}, 2.25),
        ({"RateLimit-Reset": "0.05"}, 1.0),
        ({"RateLimit-Reset": " 5 "}, 5.0),
        ({"RateLimit-Reset": "9" * 5000}, 60.0),
        ({"Retry-After": "Fri, 31 Dec 99999 23:59:59 GMT"}, 60.0),
    ],
)
def test_a_429_waits_for_the_longer_of_what_the_headers_say_within_bounds(
    headers: dict[str, str], seconds: float
) -> None:
    assert responses.retry_after(headers) == seconds


def test_retry_after_may_be_a_date() -> None:
    assert 25 <= responses.retry_after({"Retry-After": formatdate(time.time() + 30, usegmt=True)}) <= 30


@pytest.fixture
def far_from_greenwich() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Baku")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_greenwich")
def test_a_date_without_a_time_zone_is_in_utc_wherever_we_are() -> None:
    assert responses.http_date("Sun Nov  6 08:49:37 1994") == 784111777.0
    assert 25 <= responses.retry_after({"Retry-After": time.asctime(time.gmtime(time.time() + 30))}) <= 30


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
        ("300", "299", "0.25", (300, 299, 0.25)),
        ("1", "0", "60", (1, 0, 60.0)),
        ("1000000000", "999999999", "60", (10**9, 10**9 - 1, 60.0)),
    ],
)
def test_the_quota_is_taken_from_its_headers_where_all_make_sense(
    limit: str, remaining: str | None, reset: str, expected: object
) -> None:
    headers = {"RateLimit-Limit": limit, "RateLimit-Remaining": remaining, "RateLimit-Reset": reset}
    assert responses.rate_limit({key: value for key, value in headers.items() if value is not None}) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Wed, 11 Nov 2026 11:11:11 GMT", 1794395471.0),
        ("Sat, 31 Dec 2050 23:59:59 GMT", 2556143999.0),
        ("2026-11-11", None),
        ("true", None),
        ("", None),
        ("Fri, 99 Foo 99999 99:99:99 GMT", None),
    ],
)
def test_a_date_is_read_as_http_has_it(value: str, expected: float | None) -> None:
    assert responses.http_date(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("@1688169599", 1688169599.0),
        ("Wed, 11 Nov 2026 11:11:11 GMT", 1794395471.0),
        ("@", None),
        ("@soon", None),
        ("@999999999999", None),
        ("true", None),
        ("", None),
    ],
)
def test_a_deprecation_is_a_structured_date_or_that_of_the_drafts(value: str, expected: float | None) -> None:
    assert responses.deprecated_since({"Deprecation": value}) == expected


def test_headers_that_are_not_there_say_nothing() -> None:
    assert (responses.http_date(None), responses.deprecated_since({})) == (None, None)
