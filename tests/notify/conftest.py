from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from receivers import Service, Telegram

sys.path.append(str(Path(__file__).parents[1] / "incidents"))  # for their histories


@pytest.fixture
def service() -> Iterator[Service]:
    """Any service that takes JSON."""
    with Service() as service:
        yield service


@pytest.fixture
def telegram(monkeypatch: pytest.MonkeyPatch) -> Iterator[Telegram]:
    """Telegram on loopback."""
    from apprise.plugins.telegram import NotifyTelegram  # noqa: PLC0415 - only where it is needed

    with Telegram() as telegram:
        monkeypatch.setattr(NotifyTelegram, "notify_url", f"http://{telegram.address}/bot")
        yield telegram
