"""All channels of the process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from exporter.clock import Deadline
from exporter.notify.channel import ChannelSettings, ChannelWorker
from exporter.outbox import Outbox
from exporter.views import ChannelState

STOP_SECONDS = 1.5
"""How long the end of the process waits for messages that are on their way."""


class Notifier:
    """Deliver incidents to every configured channel, each on a thread of its own: `worker` makes that of a channel."""

    def __init__(self, outbox: Outbox, worker: Callable[[ChannelSettings], ChannelWorker]) -> None:
        self._outbox, self._worker = outbox, worker
        self._workers: dict[str, ChannelWorker] = {}

    def apply(self, channels: Sequence[ChannelSettings]) -> None:
        """Let these channels be in force: start, replace and stop workers. What waits for a removed one is dropped."""
        wanted = {channel.name: channel for channel in channels}
        kept = {
            name: worker
            for name, worker in self._workers.items()
            if wanted.get(name) == worker.settings and worker.is_alive()
        }
        self._end(worker for name, worker in self._workers.items() if name not in kept)
        self._outbox.retain_channels(wanted)
        new = {name: self._worker(channel) for name, channel in wanted.items() if name not in kept}
        self._workers = {name: kept.get(name) or new[name] for name in wanted}
        for worker in new.values():
            worker.start()
        for worker in kept.values():
            worker.retry()

    def wake(self) -> None:
        """Let every channel look at the outbox now."""
        for worker in self._workers.values():
            worker.wake()

    def states(self) -> Sequence[ChannelState]:
        """Return what readers see of the channels; takes no lock and asks no store."""
        return [worker.state for worker in self._workers.values()]

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """End all channels, for so many seconds at the most; what waits stays in the outbox."""
        self._end(self._workers.values(), seconds)

    @staticmethod
    def _end(workers: Iterable[ChannelWorker], seconds: float = STOP_SECONDS) -> None:
        ending = list(workers)
        for worker in ending:
            worker.stop()
        deadline = Deadline(seconds)
        for worker in ending:
            if worker.is_alive():  # not where the system had no thread for it
                worker.join(deadline.left())
