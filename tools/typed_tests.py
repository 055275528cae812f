"""Check the types of the tests: `python -m tools.typed_tests`.

pytest puts every folder of tests on the path, so that a file there is a module without a package. Only the names of
`conftest.py` repeat: mypy knows those by their place.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Check all of them as one program, and exit with the code of mypy."""
    paths = sorted(ROOT.glob("tests/**/*.py"))
    folders = sorted({path.parent for path in paths})
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts) if path.stem == "conftest" else path.stem
        for path in paths
    ]
    environment = {**os.environ, "MYPYPATH": os.pathsep.join(map(str, [ROOT, *folders]))}
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *(f"--module={module}" for module in modules)]
    sys.exit(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)  # noqa: S603 - our own tool


if __name__ == "__main__":
    main()
