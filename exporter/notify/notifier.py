"""All channels of the process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from exporter.clock import Clock, Deadline
from exporter.model import Incident
from exporter.notify.channel import ChannelSettings, ChannelWorker
from exporter.notify.transport import AppriseTransport
from exporter.outbox import Outbox
from exporter.views import ChannelState

STOP_SECONDS = 1.5
"""How long the end of the process waits for messages that are on their way."""


class Notifier:
    """Deliver incidents to every configured channel, each on a thread of its own.

    `owns` returns whether this process delivers for a brand, `still_firing` whether an incident is known to go on, so
    that it may be repeated, and `outage` the incident that says that a channel is down.
    """

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        *,
        owns: Callable[[str], bool] = lambda _: True,
        still_firing: Callable[[Incident], bool] = lambda _: True,
        outage: Callable[[str], Incident | None] = lambda _: None,
        transport: Callable[[str], AppriseTransport] = AppriseTransport,
    ) -> None:
        self._outbox, self._clock = outbox, clock
        self._owns, self._still_firing, self._outage, self._transport = owns, still_firing, outage, transport
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

    def _worker(self, channel: ChannelSettings) -> ChannelWorker:
        return ChannelWorker(
            channel,
            self._outbox,
            self._clock,
            transport=self._transport,
            owns=self._owns,
            still_firing=self._still_firing,
            outage=self._outage,
        )
