"""Run `clopos-exporter` with what it has no setting for: a clock of its own, and Telegram's Bot API on loopback.

CLOCK holds what `SharedClock.env` says, and TELEGRAM the address of the API.
"""

from __future__ import annotations

import os

from shared_clock import SharedClock

from exporter.cli import main, serve

if "CLOCK" in os.environ:
    vars(serve)["Clock"] = SharedClock.read
if "TELEGRAM" in os.environ:
    from apprise.plugins.telegram import NotifyTelegram

    NotifyTelegram.notify_url = f"http://{os.environ['TELEGRAM']}/bot"
main()
