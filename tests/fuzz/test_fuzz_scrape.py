"""Whatever a scraper says it accepts, it gets one of the two formats, packed only if it can unpack."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from targets import scrape

WORDS = st.sampled_from(
    ["text/plain", "application/openmetrics-text", "*/*", "text/*", "gzip", "identity", "*", "br", ",", ";", "=", "q="]
) | st.sampled_from(
    ["q=0", "0.5", "1", "nan", "inf", "-1", "1e400", "version=1.0.0", "version=0.0.4", 'version="1.0.0"', " ", "\t"]
)
HEADERS = st.lists(WORDS | st.text(max_size=5), max_size=20).map("".join)


@settings(deadline=None, derandomize=True)
@given(HEADERS, HEADERS)
@example(",;=" * 20_000, ";q=" * 20_000)
@example(f"text/plain;q={'9' * 5000}", f"gzip;q=0.{'0' * 5000}1")
def test_any_wishes_are_met_or_left_aside(accept: str, encoding: str) -> None:
    scrape(accept, encoding)
