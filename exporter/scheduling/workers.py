"""A bounded crew of threads per brand: one that hangs holds up nobody else's polls, nor the end of the process."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread


class Workers:
    """Run calls on at most `size` daemon threads, started as they are needed.

    `concurrent.futures` waits at exit for threads that hang in a name lookup or a read; a daemon has to end on time.
    """

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._lock = Lock()
        self._threads = 0
        self._busy = 0

    @property
    def free(self) -> bool:
        """Tell whether a call would start at once."""
        return self._busy < self.size

    def submit(self, call: Callable[[], object]) -> None:
        """Run a call as soon as a thread is free."""
        with self._lock:
            self._busy += 1
            if self._busy > self._threads and self._threads < self.size:
                self._threads += 1
                Thread(target=self._run, name=f"{self.name}-{self._threads}", daemon=True).start()
        self._calls.put(call)

    def stop(self) -> None:
        """Let the threads end after what they are doing."""
        for _ in range(self._threads):
            self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            finally:
                with self._lock:
                    self._busy -= 1
