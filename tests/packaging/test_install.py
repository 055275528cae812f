"""What docs/install.md says is done as it stands: each block for the shell is run."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from containers import ROOT, Engine

Program = Callable[..., str]

pytestmark = pytest.mark.slow


def blocks(heading: str) -> list[str]:
    """Return the blocks for the shell under a heading."""
    text = ROOT.joinpath("docs", "install.md").read_text()
    section = next(part for part in text.split("\n## ") if part.startswith(heading))
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def run(script: str, folder: Path, environment: dict[str, str] | None = None) -> str:
    """Run a block in a checkout, with what it would write below the root written below `folder.parent` instead."""
    for top in ("/opt/", "/etc/"):
        script = script.replace(f" {top}", f" '{folder.parent}'{top}").replace(f"\n{top}", f"\n'{folder.parent}'{top}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_NO_COMPILE": "1", **(environment or {})},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pip(checkout: Path) -> None:
    assert "clopos-exporter" in run(blocks("Python")[0], checkout)


def test_pipx(checkout: Path, program: Program, tmp_path: Path) -> None:
    program("pipx")
    places = {"PIPX_HOME": str(tmp_path / "pipx"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    run(blocks("Python")[1], checkout, places)
    assert tmp_path.joinpath("bin", "clopos-exporter").exists()


@pytest.mark.xdist_group("release")  # it makes the same image
def test_the_container(checkout: Path, engine: Engine, tmp_path: Path) -> None:
    storage = tmp_path / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{engine.storage}/root"\nrunroot = "{engine.storage}/run"\n'
    )
    # No daemon, no systemd, and perhaps no network of their own for containers.
    containers = tmp_path / "containers.conf"
    containers.write_text(
        '[containers]\nnetns = "host"\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n'
    )
    environment = {
        "BUILDAH_ISOLATION": "chroot",
        "CONTAINERS_CONF": str(containers),
        "CONTAINERS_STORAGE_CONF": str(storage),
        "ENGINE": "podman",
    }
    (block,) = blocks("Container")
    try:
        run(block, checkout, environment)
    finally:
        engine.podman("rm", "--force", "--time", "0", "clopos-exporter")
        engine.remove_made()


def test_kubernetes(checkout: Path, program: Program) -> None:
    """Render what the block installs; tests/kubernetes installs it."""
    program("helm")
    (block,) = blocks("Kubernetes")
    lines = [line for line in block.splitlines() if not line.startswith(("kubectl ", "helm test "))]
    rendering = "\n".join(lines).replace("helm upgrade --install", "helm template --kube-version 1.36.0")
    rendered = run(rendering.replace(" --wait", ""), checkout)
    assert "kind: Deployment" in rendered
    assert "name: tandir-clopos" in rendered


def test_systemd(checkout: Path, program: Program) -> None:
    (block,) = blocks("systemd")
    run(block, checkout)
    unit = checkout.parent / "etc" / "systemd" / "system" / "clopos-exporter.service"
    command = checkout.parent / "opt" / "clopos-exporter" / "bin" / "clopos-exporter"
    assert checkout.parent.joinpath("etc", "default", "clopos-exporter").stat().st_mode & 0o777 == 0o600
    installed = unit.read_text()
    assert "ExecStart=/opt/clopos-exporter/bin/clopos-exporter serve" in installed
    unit.write_text(installed.replace("/opt/clopos-exporter/bin/clopos-exporter", str(command)))
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
