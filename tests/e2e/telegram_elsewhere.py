"""Run `clopos-exporter` with Telegram's Bot API at the address in TELEGRAM, which has no setting for it."""

from __future__ import annotations

import os

from apprise.plugins.telegram import NotifyTelegram

from exporter.cli import main

NotifyTelegram.notify_url = f"http://{os.environ['TELEGRAM']}/bot"
main()
