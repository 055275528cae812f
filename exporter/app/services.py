"""The parts of the process that the monitors of all brands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from exporter.app.garbage import PermanentGeneration
from exporter.app.registry import ViewRegistry
from exporter.clock import Clock
from exporter.clopos.limits import IpLimits
from exporter.clopos.login import Credentials
from exporter.metrics.telemetry import Telemetry
from exporter.priority import ScrapePriority
from exporter.scheduling.pool import WorkerPool
from exporter.scheduling.scheduler import Scheduler
from exporter.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the process that every brand uses.

    `reread` reads the credentials of a brand again.
    """

    clock: Clock
    stop: Event
    scheduler: Scheduler
    pool: WorkerPool
    ip_limits: IpLimits
    store: Store
    registry: ViewRegistry
    telemetry: Telemetry
    reread: Callable[[str], Credentials | str] | None = None
    permanent: PermanentGeneration = field(default_factory=PermanentGeneration)
    priority: ScrapePriority = field(default_factory=ScrapePriority)
