"""One bounded pool of worker threads for the process, fair between the brands that share it."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Condition, Thread

import structlog

from exporter.errors import Stopped

GUARANTEED = 4
"""Threads that each owner can have whatever the others do: a brand that hangs takes none of these from another."""

SHARED = 64
"""Further threads, which the owners that need more than their own divide among them."""

MAX_PER_OWNER = 32
"""Threads of one owner.

A request that hangs is given up after 12 s. At the 4 a second that a quota allows, 32 carry six such in ten; where all
hang, they still come round in 1.5 times the interval.
"""

IDLE_SECONDS = 30.0
"""Seconds after which a thread without work ends."""

Call = Callable[[], object]


class WorkerPool:
    """Run calls on daemon threads, started as they are needed, each for an owner such as a brand.

    `concurrent.futures` waits at exit for threads that hang in a name lookup or a read; a daemon has to end on time.
    """

    def __init__(self, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._changed = Condition()
        self._running: Counter[str] = Counter()
        self._idle: list[_Worker] = []
        self._started = 0
        self._log = structlog.get_logger(__name__)

    def free(self, owner: str) -> bool:
        """Return whether the owner may start one more call."""
        with self._changed:
            return self._may_start(owner)

    def submit(self, owner: str, call: Call) -> bool:
        """Start a call at once, and return whether that worked: not where the owner has its share, or no thread starts.

        Nothing is queued: who is refused tries again.
        """
        with self._changed:
            if not self._may_start(owner):
                return False
            # The one that became idle last: its caches are warm, and those that idle for long can end.
            worker = self._idle.pop() if self._idle else self._start_worker()
            if worker is None:
                return False
            self._running[owner] += 1
        worker.calls.put((owner, call))
        return True

    def join(self, owner: str, seconds: float) -> bool:
        """Wait until nothing of the owner runs, so many seconds at the most; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running[owner], seconds)

    def _may_start(self, owner: str) -> bool:
        mine = self._running[owner]
        if mine < GUARANTEED:
            return True
        beyond = {other: busy - GUARANTEED for other, busy in self._running.items() if busy > GUARANTEED}
        owners = len(beyond.keys() | {owner})
        return mine < min(MAX_PER_OWNER, GUARANTEED + SHARED // owners) and sum(beyond.values()) < SHARED

    def _start_worker(self) -> _Worker | None:
        worker = _Worker()
        self._started += 1
        try:
            Thread(target=self._run, args=(worker,), name=f"worker-{self._started}", daemon=True).start()
        except RuntimeError as error:  # "can't start new thread"
            self._log.warning("worker.not_started", message=str(error), running=self._running.total())
            return None
        return worker

    def _run(self, worker: _Worker) -> None:
        while True:
            try:
                owner, call = worker.calls.get(timeout=self._idle_seconds)
            except Empty:
                with self._changed:
                    if worker in self._idle:
                        self._idle.remove(worker)
                        return
                continue  # It was given a call at this very moment.
            try:
                call()
            except Stopped:
                pass  # The process ends, or the brand is no longer polled.
            except Exception:  # noqa: BLE001 - logged, and the thread is needed
                self._log.exception("worker.failed", owner=owner)
            with self._changed:
                self._running[owner] -= 1
                if not self._running[owner]:
                    del self._running[owner]
                self._idle.append(worker)
                self._changed.notify_all()


class _Worker:
    """A thread's mailbox."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[tuple[str, Call]] = SimpleQueue()


def raise_open_files_limit() -> int:
    """Raise the soft limit on open files to the hard one, and return what is in force.

    Every request of a worker and every scrape holds a socket; the usual soft limit of 1024 is for `select`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # macOS reports an unlimited hard limit that it does not accept
        return soft
    return hard
