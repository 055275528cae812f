"""Run the exporter, which can start no thread as long as the file `no-threads` is in its working directory.

A limit on threads (RLIMIT_NPROC, a cgroup's pids.max) shows in the same error, but does not hold for root.
"""

from __future__ import annotations

import threading
from pathlib import Path

from exporter.__main__ import main

start = threading.Thread.start


def start_unless_limited(thread: threading.Thread) -> None:
    """Start a thread, or fail as it does at a limit."""
    if Path("no-threads").exists():
        raise RuntimeError("can't start new thread")
    start(thread)


threading.Thread.start = start_unless_limited  # type: ignore[assignment, method-assign]
main()
