from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.negotiation import OPENMETRICS, TEXT, accepts_gzip, content_type, prefers_openmetrics

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTOBUF_FIRST = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    "text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        (BROWSER, False),
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        (PROTOBUF_FIRST, False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("Application/OpenMetrics-Text; Version=1.0.0", True),
        ('application/openmetrics-text; version="1.0.0"', True),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;version=2.0.0,application/openmetrics-text;version=0.0.1;q=0.1", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.4", True),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0.4,text/plain;version=9;q=0.5", True),
        ("application/openmetrics-text;q=nonsense", False),
        ("application/openmetrics-text;q=nan", False),
        ("application/openmetrics-text;q=7", False),
        (",;,=;q,application/openmetrics-text", True),
    ],
)
def test_the_format_with_the_highest_q_is_served_and_text_where_in_doubt(accept: str, openmetrics: bool) -> None:  # noqa: FBT001
    assert prefers_openmetrics(accept) is openmetrics


@pytest.mark.parametrize(
    ("encodings", "gzip"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, br", False),
        ("gzip, deflate, br", True),
        ("gzip;q=0", False),
        ("gzip;q=0.5", True),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("identity, gzip", True),
        ("identity, gzip;q=0.5", False),
        ("identity;q=0.5, gzip", True),
        ("gzip;q=-1", False),
    ],
)
def test_gzip_is_used_where_it_is_accepted_and_not_ranked_below_no_encoding(encodings: str, gzip: bool) -> None:  # noqa: FBT001
    assert accepts_gzip(encodings) is gzip


@given(st.text(max_size=60))
def test_no_header_is_a_crash(header: str) -> None:
    assert prefers_openmetrics(header) in (True, False)
    assert accepts_gzip(header) in (True, False)


def test_content_types_are_those_of_the_formats() -> None:
    assert content_type(openmetrics=False) == TEXT
    assert content_type(openmetrics=True) == OPENMETRICS
