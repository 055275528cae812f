from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.values import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1s", 1.0),
        ("90s", 90.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("90d", 90 * 86400.0),
        ("1w", 604800.0),
        ("1y", 365 * 86400.0),
        ("1s500ms", 1.5),
        ("1000ms", 1.0),
        ("1.5s", 1.5),
        ("0.5h", 1800.0),
        (" 30s ", 30.0),
    ],
)
def test_durations_are_spelt_as_prometheus_does(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["30", "0"])
def test_a_bare_number_is_asked_for_its_unit(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' has no unit"):
        seconds(text)


@pytest.mark.parametrize(
    "text", ["", "s", "1.s", ".5s", "1,5s", "-1s", "30m1h", "1h 30m", "1H", "30s\n30s", "½s", "1 s"]
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="use a duration such as 30s, 5m or 1h30m"):
        seconds(text)


@pytest.mark.parametrize("text", ["0s", "999ms", "101y", "9" * 400 + "s"])
def test_a_duration_has_bounds(text: str) -> None:
    with pytest.raises(ValueError, match="from 1s to a hundred years"):
        seconds(text)


def test_numbers_are_seconds_already() -> None:
    assert seconds(0.05) == 0.05


@given(st.integers(1, 99), st.integers(0, 59), st.integers(0, 59))
def test_parts_add_up(hours: int, minutes: int, rest: int) -> None:
    assert seconds(f"{hours}h{minutes}m{rest}s") == hours * 3600 + minutes * 60 + rest
