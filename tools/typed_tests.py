"""Check the types of the tests: `python -m tools.typed_tests [FOLDER...]`.

Each folder of tests is a program of its own, because pytest puts it on the path and each has a conftest.py; mypy takes
only one module of a name.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main(names: list[str]) -> None:
    """Check every folder of tests, or those that are named; exit 1 where one has a fault."""
    folders = [Path(name) for name in names] or sorted({path.parent for path in ROOT.glob("tests/**/*.py")})
    # A few tests share the fakes of the folder above and the histories of incidents.
    environment = {**os.environ, "MYPYPATH": f"{ROOT}/tests:{ROOT}/tests/incidents"}
    faulty = []
    for folder in folders:
        files = sorted(map(str, folder.glob("*.py")))
        command = [sys.executable, "-m", "mypy", "--no-error-summary", *files]
        if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:  # noqa: S603 - our own tool
            faulty.append(folder.name)
    sys.exit(f"faults in {', '.join(faulty)}" if faulty else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
