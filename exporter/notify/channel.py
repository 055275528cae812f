"""One channel: its deliveries are planned, written as messages and sent on a thread of its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from threading import Event, Thread

import structlog

from exporter.clock import Clock
from exporter.model import Incident
from exporter.notify.messages import Renderer
from exporter.notify.plan import Form, Notice, Plan, Timing, plan
from exporter.notify.transport import SPACING_SECONDS, AppriseTransport, Outcome
from exporter.outbox import Delivery, Outbox
from exporter.views import ChannelState

LOG = structlog.get_logger()

SHORTEST_BACKOFF, LONGEST_BACKOFF = 5.0, 600.0

FAILURES_UNTIL_DOWN = 5
"""Failed attempts in a row after which a channel counts as down: a minute or so."""

STUCK_SECONDS = 60.0
"""How long one attempt may take before the channel counts as down."""

_SHORTEST_WAIT, _LONGEST_WAIT = 0.5, 3600.0
_OUTCOMES = ("sent", "retried", "expired", "merged")


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """A configured channel: which incidents it gets is the business of the outbox' routes. `url` is a secret."""

    name: str
    url: str = field(repr=False)
    renderer: Renderer = field(default_factory=Renderer)
    timing: Timing = field(default_factory=Timing)


class ChannelWorker(Thread):
    """Deliver what the outbox holds for one channel on a thread, in order, until the channel accepts it.

    `owns` returns whether this process delivers for a brand; `still_firing` is asked before an incident is repeated.
    `outage` returns the incident that says that the channel is down: nobody would know that it works again before the
    next message, so that it is tried with the news of its own end while nothing else waits.
    """

    def __init__(
        self,
        settings: ChannelSettings,
        outbox: Outbox,
        clock: Clock,
        *,
        transport: Callable[[str], AppriseTransport] = AppriseTransport,
        owns: Callable[[str], bool] = lambda _: True,
        still_firing: Callable[[Incident], bool] = lambda _: True,
        outage: Callable[[str], Incident | None] = lambda _: None,
    ) -> None:
        super().__init__(name=f"notify-{settings.name}", daemon=True)
        self.settings = settings
        self._outbox, self._clock = outbox, clock
        self._make_transport = transport
        self._transport: AppriseTransport | None = None
        self._owns, self._still_firing, self._outage = owns, still_firing, outage
        self._wake, self._stopping = Event(), Event()
        self._created: dict[int, float] = {}
        self._counts = dict.fromkeys(_OUTCOMES, 0)
        self._waiting: tuple[Delivery, ...] = ()
        self._failures = 0
        self._up: bool | None = None
        self._failing_since: float | None = None
        self._problem = ""
        self._not_before = -inf
        self._sending_since: float | None = None

    def wake(self) -> None:
        """Let it look at the outbox now."""
        self._wake.set()

    def retry(self) -> None:
        """Try again now what failed: a person says that the cause is gone."""
        self._not_before = -inf
        self._wake.set()

    def stop(self) -> None:
        """Let it end after the attempt that is under way, which may still be marked when it is accepted."""
        self._stopping.set()
        self._wake.set()

    @property
    def state(self) -> ChannelState:
        """Return what readers see of it; takes no lock and asks no store."""
        began, waiting = self._sending_since, self._waiting
        stuck = began is not None and self._clock.monotonic() - began > STUCK_SECONDS
        return ChannelState(
            name=self.settings.name,
            up=False if stuck else self._up,
            failing_since=self._failing_since,
            problem=self._problem,
            queue_length=len(waiting),
            oldest_at=min((row.created_at for row in waiting), default=None),
            counts=dict(self._counts),
        )

    def step(self) -> float:
        """Do what is due now, and return after how many seconds to look again, unless something new comes before."""
        now = self._clock.now()
        rows = [row for row in self._outbox.deliveries(self.settings.name) if self._owns(row.incident.brand)]
        # Seconds of the monotonic clock, so that a wall clock which jumps neither gives up nor holds back a message.
        self._created = {
            row.id: self._created.get(row.id, now.monotonic - max(0.0, now.wall - row.created_at)) for row in rows
        }
        due = plan(
            rows,
            now.wall,
            self.settings.timing,
            age=lambda row: now.monotonic - self._created[row.id],
            still_firing=self._still_firing,
        )
        self._waiting = due.waiting
        if due.done:
            self._outbox.update_deliveries(due.done)
        if due.expired:
            self._counts["expired"] += len(due.expired)
            LOG.error("notification.expired", channel=self.settings.name, count=len(due.expired), problem=self._problem)
        if not due.notices and not due.waiting and not self._up and (outage := self._outage(self.settings.name)):
            due = replace(due, notices=(Notice(Form.RESOLVED, outage, now.wall),))
        if not due.notices:
            return due.wait
        pause = self._not_before - now.monotonic
        return pause if pause > 0.0 else self._deliver(due, now.wall)

    def _deliver(self, due: Plan, wall: float) -> float:
        """Send a message and write what became of it; return after how many seconds to go on."""
        try:
            transport = self._transport = self._transport or self._make_transport(self.settings.url)
        except ValueError as error:
            return self._fail(Outcome(accepted=False, problem=f"the URL cannot be used: {error}"), wall)
        self._sending_since = self._clock.monotonic()
        try:
            message = self.settings.renderer.render(due.notices, wall, transport.message_length)
            if not all(self._owns(notice.incident.brand) for notice in due.notices):
                return 0.0  # The process was stopped in between: another may have sent this by now, and its end.
            outcome = transport.send(message)
        finally:
            self._sending_since = None
        if not outcome.accepted:
            return self._fail(outcome, wall)
        self._outbox.update_deliveries(due.accepted)
        self._waiting = ()
        self._counts["sent"] += 1
        self._counts["merged"] += max(0, len(due.waiting) - 1)
        LOG.info("notification.sent", channel=self.settings.name, title=message.title)
        self._not_before = self._clock.monotonic() + SPACING_SECONDS
        self._failures, self._failing_since, self._problem = 0, None, ""
        self._up = True
        return 0.0

    def _fail(self, outcome: Outcome, wall: float) -> float:
        """Note a failed attempt; return after how many seconds to try again."""
        self._counts["retried"] += 1
        self._failures += 1
        self._problem = outcome.problem
        if self._failing_since is None:
            self._failing_since = wall
            LOG.warning("notification.failed", channel=self.settings.name, problem=outcome.problem)
        backoff = SHORTEST_BACKOFF * 2.0 ** min(self._failures - 1, 10) * random.uniform(1.0, 1.25)  # noqa: S311
        wait = max(min(backoff, LONGEST_BACKOFF), outcome.retry_after)
        self._not_before = self._clock.monotonic() + wait
        if self._failures >= FAILURES_UNTIL_DOWN:
            self._up = False
        return wait

    def run(self) -> None:
        """Deliver until it is stopped."""
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                wait = self.step()
            except Exception:  # a fault of ours must not end the notifications of a channel
                LOG.exception("notification.crashed", channel=self.settings.name)
                wait = self._fail(Outcome(accepted=False, problem="a fault in the exporter"), self._clock.wall())
            # Every incident wakes it: with a thousand that are open, each look costs 5 ms.
            if not self._clock.wait(self._stopping, _SHORTEST_WAIT):
                self._clock.wait(self._wake, min(wait, _LONGEST_WAIT))
