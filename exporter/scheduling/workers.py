"""A bounded crew of threads per brand: one that hangs holds up nobody else's polls, nor the end of the process."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Condition, Thread

import structlog

from exporter.errors import Stopped


class Workers:
    """Run calls on at most `size` daemon threads, started as they are needed.

    `concurrent.futures` waits at exit for threads that hang in a name lookup or a read; a daemon has to end on time.
    """

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._idle = Condition()
        self._threads = 0
        self._busy = 0
        self._log = structlog.get_logger(__name__)

    @property
    def free(self) -> bool:
        """Tell whether a call would start at once."""
        return self._busy < self.size

    def submit(self, call: Callable[[], object]) -> None:
        """Run a call as soon as a thread is free."""
        with self._idle:
            self._busy += 1
            if self._busy > self._threads and self._threads < self.size:
                self._threads += 1
                Thread(target=self._run, name=f"{self.name}-{self._threads}", daemon=True).start()
        self._calls.put(call)

    def stop(self) -> None:
        """Let the threads end after what they are doing."""
        for _ in range(self._threads):
            self._calls.put(None)

    def join(self, seconds: float) -> None:
        """Wait until nothing runs, so many seconds at the most."""
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0, seconds)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except Stopped:
                pass  # The process ends, or the brand is no longer watched.
            except Exception:  # noqa: BLE001 - logged, and the thread is needed
                # Such as a log that cannot be written to: the poll is not remembered, so the next one tells it again.
                self._log.exception("worker.failed", worker=self.name)
            finally:
                with self._idle:
                    self._busy -= 1
                    self._idle.notify_all()
