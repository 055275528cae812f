"""Fuzz a target guided by coverage: `make fuzz ARGS="wire -max_total_time=60"`; the rest of ARGS goes to libFuzzer."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["exporter"]):
    import targets


def wire(data: bytes) -> None:
    """Take the input for the answers to polls, one after the other, between NUL bytes."""
    state, emitted = targets.polled([targets.LOGIN, targets.VENUES, *map(targets.Reply, data.split(b"\0")[:8])])
    targets.are_emitted_as_json(emitted)
    targets.served_rightly(state)


TARGETS = {"wire": wire, "configuration": targets.configuration, "web": targets.web_configuration}


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"name a target: {', '.join(TARGETS)}")
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, lambda data: target(data) and None)
    atheris.Fuzz()
