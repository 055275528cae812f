from __future__ import annotations

from fakes import FakeClock, venue

from exporter.app.others import _view
from exporter.config import Settings
from exporter.model import Outage, Reason, VenueState
from exporter.web.troubles import is_current

SETTINGS = Settings.model_validate({"brands": [{"brand": "tandir", "token": "token-of-tandir"}]})


def test_a_venue_that_another_process_reads_is_as_current_as_there() -> None:
    now = FakeClock().now()
    read = VenueState(venue("1"), {}, last_success=now.wall - 20, fresh_at=now.monotonic - 20, restored=True)
    lost = VenueState(venue("2"), {}, outage=Outage(now.wall - 60, Reason.TLS, "expired"), restored=True)
    states = [read, lost, VenueState(venue("3"))]
    views = [_view(state, SETTINGS.brands[0], SETTINGS, now) for state in states]
    assert [(view.up, is_current(view)) for view in views] == [(True, True), (False, False), (None, False)]
