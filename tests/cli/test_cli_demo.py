from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from exporter.cli.demo import TIME_ZONE, opening_hours
from exporter.hours import parse


@pytest.mark.parametrize("hour", range(24))
def test_its_venues_are_open_whenever_it_starts(hour: int) -> None:
    now = datetime(2026, 11, 27, hour, 59, tzinfo=ZoneInfo(TIME_ZONE))
    opening = parse(opening_hours(now), TIME_ZONE).at(now.timestamp())
    assert opening.is_open
    assert opening.next_close is not None
    assert opening.next_close - now.timestamp() > 15 * 3600
