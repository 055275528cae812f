"""Build a substitute for the official Python image from Debian's packages, where no image registry can be reached.

It proves the Dockerfile, not the official image: Python is Debian trixie's own 3.13.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

SUITE = "trixie"
PACKAGES = "ca-certificates,python3,python3-pip,python3-venv"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
CONTAINERFILE = f"""\
FROM scratch
ADD root.tar /
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
ENV PIP_CERT={CERTIFICATES} SSL_CERT_FILE={CERTIFICATES}
CMD ["python3"]
"""


def build(buildah: Sequence[str], tag: str) -> None:
    """Bootstrap Debian with Python and store it under `tag`; takes about a minute.

    Raises `subprocess.CalledProcessError` with the output of what failed, and `FileNotFoundError` without debootstrap.
    """
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder, "context")
        context.mkdir()
        root = Path(folder, "root")
        _run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root)])
        root.joinpath("usr/bin/python").symlink_to("python3")
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()  # the official image lets pip install into the system's Python
        if CERTIFICATES.exists():  # the build downloads through the network of this machine and trusts what it trusts
            shutil.copyfile(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
        _run(
            [
                "tar",
                "--create",
                "--numeric-owner",
                "--exclude=./dev/*",
                f"--file={context}/root.tar",
                f"--directory={root}",
                ".",
            ]
        )
        context.joinpath("Containerfile").write_text(CONTAINERFILE)
        _run([*buildah, "bud", "--quiet", "--isolation", "chroot", "--tag", tag, str(context)])


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
