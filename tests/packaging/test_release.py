"""What is released installs into an empty environment and runs, on every Python that is supported."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NoReturn

import pytest
import yaml
from containers import ROOT, Engine
from packaging.requirements import Requirement

from exporter import __version__

Program = Callable[..., str]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("release")]


@pytest.fixture(scope="module")
def dist(checkout: Path, engine: Engine, program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Release a copy of this checkout, as a dry run."""
    for name in ("helm", "make"):
        program(name)
    storage = tmp_path_factory.mktemp("storage") / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{engine.storage}/root"\nrunroot = "{engine.storage}/run"\n'
    )
    git = [program("git"), "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "All"]):
        subprocess.run([*git, *command], cwd=checkout, check=True)
    environment = {
        **os.environ,
        "BUILDAH_ISOLATION": "chroot",
        "CONTAINERS_STORAGE_CONF": str(storage),
        "DRY_RUN": "1",
        "ENGINE": "buildah",
        "PIP_NO_COMPILE": "1",
    }
    done = subprocess.run(
        ["make", "release", f"PYTHON={sys.executable}"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    engine.remove_made()
    assert done.returncode == 0, done.stdout + done.stderr
    assert subprocess.run([*git, "tag"], cwd=checkout, capture_output=True, check=True).stdout == b""
    return checkout / "dist"


def test_everything_is_there_with_its_checksum(dist: Path) -> None:
    chart = yaml.safe_load(ROOT.joinpath("helm", "clopos-exporter", "Chart.yaml").read_text())
    lines = [line.split("  ") for line in dist.joinpath("SHA256SUMS").read_text().splitlines()]
    sums = {name: digest for digest, name in lines}
    assert sums.keys() == {
        f"clopos-exporter-{__version__}.cdx.json",
        f"clopos-exporter-chart-{chart['version']}.tgz",
        f"clopos-exporter-image-{__version__}.tar.gz",
        f"clopos_exporter-{__version__}-py3-none-any.whl",
        f"clopos_exporter-{__version__}.tar.gz",
    }
    for name, digest in sums.items():
        assert hashlib.sha256(dist.joinpath(name).read_bytes()).hexdigest() == digest


def locked_packages() -> set[tuple[str, str]]:
    """Return name and version of every package that is locked for this interpreter and system."""
    lines = ROOT.joinpath("requirements.lock").read_text().splitlines()
    locked = [Requirement(line.removesuffix("\\")) for line in lines if re.match(r"[a-z0-9]", line)]
    return {
        (one.name, str(one.specifier).removeprefix("=="))
        for one in locked
        if one.marker is None or one.marker.evaluate()
    }


class Advisories(ThreadingHTTPServer):
    """A database of vulnerabilities that speaks as osv.dev does and knows of one in `vulnerable`."""

    def __init__(self, vulnerable: str) -> None:
        self.asked: set[tuple[str, str]] = set()
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name, version = question["package"]["name"], question["version"]
                asked.add((name, version))
                dates = {"modified": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z"}
                affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "versions": [version]}]
                known = [{"id": "PYSEC-2026-0", **dates, "summary": "Bad", "details": "Very", "affected": affected}]
                answer = json.dumps({"vulns": known} if name == vulnerable else {}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.mark.parametrize(("vulnerable", "sentence"), [("requests", "PYSEC-2026-0"), ("", "No known vulnerabilities")])
def test_the_audit_asks_for_every_locked_package_and_fails_for_a_vulnerable_one(
    dist: Path, vulnerable: str, sentence: str
) -> None:
    with Advisories(vulnerable) as database:
        Thread(target=database.serve_forever, daemon=True).start()
        arguments = f"--vulnerability-service osv --osv-url http://127.0.0.1:{database.server_port}"
        command = ["make", "audit", f"ARGS={arguments}", f"PYTHON={sys.executable}"]
        done = subprocess.run(command, cwd=dist.parent, capture_output=True, text=True, check=False)
        database.shutdown()
    assert sentence in done.stdout + done.stderr
    assert (done.returncode != 0) is bool(vulnerable)
    assert database.asked >= locked_packages()


def test_the_bill_of_materials_names_every_locked_package(dist: Path, checkout: Path) -> None:
    text = dist.joinpath(f"clopos-exporter-{__version__}.cdx.json").read_text()
    assert str(checkout) not in text
    bill = json.loads(text)
    assert bill["bomFormat"] == "CycloneDX"
    locked = locked_packages()
    listed = {(part["name"].lower().replace("_", "-"), part["version"]) for part in bill["components"]}
    assert {name for name, _ in locked} <= {name for name, _ in listed}
    assert listed - {("clopos-exporter", __version__)} <= locked


@pytest.mark.parametrize("minor", ["3.11", "3.12", "3.13", "3.14"])
def test_wheel_and_sdist_run_from_an_empty_environment(
    dist: Path, program: Program, absent: Callable[[str], NoReturn], tmp_path: Path, minor: str
) -> None:
    if minor == "3.14" and shutil.which("python3.14") is None:
        pytest.skip("absent: python3.14, which not every machine of today can install")  # not even with REQUIRE_ALL
    python = program(f"python{minor}")
    if subprocess.run([python, "-m", "venv", tmp_path], capture_output=True, check=False).returncode:
        absent(f"a python{minor} that works")
    flags = ["--disable-pip-version-check", "install", "--quiet", "--no-compile"]
    pip: list[str | Path] = [tmp_path / "bin" / "pip", *flags]
    subprocess.run([*pip, "--require-hashes", "-r", ROOT / "requirements.lock"], check=True)
    for kind in ("*.whl", "clopos_exporter-*.tar.gz"):
        subprocess.run([*pip, "--no-deps", "--force-reinstall", *dist.glob(kind)], check=True)
        done = subprocess.run(
            [tmp_path / "bin" / "clopos-exporter", "check", "--offline"],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env={"CLOPOS_TOKEN": "fake", "PATH": os.environ["PATH"]},
        )
        assert done.stderr == ""


def test_the_sdist_is_the_whole_checkout(dist: Path) -> None:
    with tarfile.open(dist / f"clopos_exporter-{__version__}.tar.gz") as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"Makefile", "Dockerfile", "requirements-dev.lock", "helm/clopos-exporter/Chart.yaml", "LICENSE"} <= names
