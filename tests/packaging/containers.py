"""Images and containers, by buildah and podman, in a storage of the tests' own and without a daemon."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import base_image

from exporter import __version__

ROOT = Path(__file__).parents[2]
BASE = "docker.io/library/python:3.13-slim"
BUILD_ARGUMENTS = ("--build-arg", f"VERSION={__version__}", "--build-arg", "REVISION=abc1234")
HARDENED = ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges")


class Engine:
    """Build and run with `storage` as the place of everything; tags are the caller's to remove."""

    def __init__(self, storage: Path, buildah: str, podman: str, runc: str) -> None:
        place = ["--root", f"{storage}/root", "--runroot", f"{storage}/run", "--storage-driver", "overlay"]
        self._buildah = [buildah, *place]
        self._podman = [podman, *place, "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", runc]
        self.storage = storage

    def missing_base(self) -> str | None:
        """Pull the base image, or build a substitute with BASE_IMAGE=debian; return why that failed."""
        with self.storage.joinpath("base.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two workers that build it at once would remove each other's files
            try:
                if os.environ.get("BASE_IMAGE") == "debian":
                    if self.podman("image", "exists", BASE).returncode:
                        base_image.build(self._buildah, BASE)
                else:
                    command = [*self._buildah, "pull", "--quiet", "--policy", "missing", BASE]
                    subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
            except subprocess.CalledProcessError as error:
                return f"{error}: {error.output[-1000:]}"
            except FileNotFoundError as error:
                return str(error)
        return None

    def build(self, tag: str, context: Path, *arguments: str) -> None:
        """Build the Dockerfile of a checkout."""
        flags = ["--quiet", "--isolation", "chroot", "--pull-never", "--format", "docker", "--timestamp", "0"]
        done = subprocess.run(
            [*self._buildah, "bud", *flags, "--tag", tag, *arguments, str(context)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def remove_made(self) -> None:
        """Remove what `make image` made, under both of its tags."""
        self.podman("rmi", "--force", *(f"localhost/clopos-exporter:{tag}" for tag in (__version__, "latest")))

    def digest(self, image: str, folder: Path) -> str:
        """Return the digest under which a registry would know the image."""
        file = folder / "digest"
        subprocess.run(
            [*self._buildah, "push", "--quiet", "--digestfile", file, image, f"oci:{folder}/image"], check=True
        )
        return file.read_text()

    def podman(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._podman, *arguments], capture_output=True, text=True, check=False)

    def inspect(self, image: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.podman("image", "inspect", image).stdout)[0]
        return found

    def run(
        self,
        image: str,
        *command: str,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        network: str = "host",
    ) -> Container:
        """Start a container with nothing that it could write to, and no capability."""
        return Container(self, image, command, environment or {}, ["--network", network, *options])


class Container:
    def __init__(
        self, engine: Engine, image: str, command: Sequence[str], environment: Mapping[str, str], options: Sequence[str]
    ) -> None:
        self._engine = engine
        limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]
        variables = [flag for key, value in environment.items() for flag in ("--env", f"{key}={value}")]
        flags = ["--detach", "--pull=never", *limits, *HARDENED, *variables, *options]
        done = engine.podman("run", *flags, image, *command)
        assert done.returncode == 0, done.stderr
        self.id = done.stdout.strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.podman("rm", "--force", "--time", "0", self.id)

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self._engine.podman("exec", self.id, *command)

    @contextmanager
    def connected(self) -> Iterator[str]:
        """Connect the container's own network namespace to this machine; yield the address under which it is reached.

        Raises `subprocess.CalledProcessError` where no network interface can be made.
        """
        process = self._engine.podman("inspect", "--format", "{{.State.Pid}}", self.id).stdout.strip()
        here, there = f"here{process}"[:15], f"there{process}"[:15]
        network = ipaddress.ip_network((int(ipaddress.ip_address("198.18.0.0")) + int(process) % 2**14 * 4, 30))
        ours, theirs = network.hosts()
        inside = ["nsenter", f"--net=/proc/{process}/ns/net", "ip"]
        subprocess.run(["ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", process], check=True)
        try:
            for ip, link, address in ((["ip"], here, ours), (inside, there, theirs)):
                subprocess.run([*ip, "address", "add", f"{address}/30", "dev", link], check=True)
                subprocess.run([*ip, "link", "set", link, "up"], check=True)
            yield str(theirs)
        finally:
            subprocess.run(["ip", "link", "delete", here], check=False)

    def healthy(self) -> bool:
        """Run the image's own health check, once."""
        return self._engine.podman("healthcheck", "run", self.id).returncode == 0

    def logs(self) -> str:
        done = self._engine.podman("logs", self.id)
        return done.stdout + done.stderr

    def wait(self) -> int:
        """Return the exit code once it ended."""
        return int(self._engine.podman("wait", self.id).stdout)

    def stop(self) -> tuple[float, int]:
        """Send SIGTERM; return the seconds until the end and the exit code."""
        began = time.monotonic()
        self._engine.podman("stop", "--time", "20", self.id)
        return time.monotonic() - began, self.wait()
