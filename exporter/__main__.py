"""Run the command: `clopos-exporter`, and `python -m exporter`."""

import os
import signal
import sys


def end_quietly() -> None:
    """Let the signals that end a process do so without a trace while modules are still imported.

    The daemon replaces them once it can stop in order. SIGHUP asks for the newest configuration, which a start reads
    anyway.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    if {"serve", "demo"} & set(sys.argv[1:]):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def main() -> None:
    """Run the command line."""
    end_quietly()
    from exporter.cli import main as run  # noqa: PLC0415 - this is what takes its time

    run()


if __name__ == "__main__":
    main()
