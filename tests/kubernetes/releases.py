"""Releases of the chart by the real Helm, and what is in the cluster because of them."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import count
from pathlib import Path
from typing import Any

from control_plane import TIMEOUT, ControlPlane, Object

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "clopos-exporter"
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))

KINDS = (
    ("v1", "ConfigMap"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Pod"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("monitoring.coreos.com/v1alpha1", "ScrapeConfig"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("autoscaling.k8s.io/v1", "VerticalPodAutoscaler"),
    ("grafana.integreatly.org/v1beta1", "GrafanaDashboard"),
)


class HelmError(Exception):
    """Carry what Helm said."""


class Helm:
    def __init__(self, program: str, plane: ControlPlane, folder: Path) -> None:
        self._program = program
        self.api = plane.api
        self._folder = folder
        folder.mkdir()
        self._numbers = count(1)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "KUBECONFIG": str(plane.kubeconfig),
        }

    def run(self, *arguments: str | Path) -> str:
        command = [self._program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self.environment)
        if done.returncode:
            raise HelmError(done.stdout + done.stderr)
        return done.stdout

    def upgrade(self, namespace: str, values: Object | Path, release: str = "r") -> str:
        """Install or upgrade, and wait until everything is ready."""
        return self.run("upgrade", "--install", *self._flags(namespace, values, release))

    def upgrading(self, namespace: str, values: Object) -> subprocess.Popen[bytes]:
        command = [self._program, "upgrade", *map(str, self._flags(namespace, values, "r"))]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, env=self.environment)

    def _flags(self, namespace: str, values: Object | Path, release: str) -> list[str | Path]:
        if isinstance(values, dict):
            path = self._folder / f"values-{next(self._numbers)}.json"
            path.write_text(json.dumps(values))
            values = path
        wait = ["--wait", f"--timeout={TIMEOUT:.0f}s"]
        return [release, CHART, "--namespace", namespace, "--values", values, *wait]

    def test(self, namespace: str, release: str = "r") -> str:
        return self.run("test", release, "--namespace", namespace, f"--timeout={TIMEOUT:.0f}s")

    def render(self, namespace: str, values: Object | Path, release: str = "r") -> str:
        return self.run("template", *self._flags(namespace, values, release), "--kube-version=1.36.3")

    def objects(self, namespace: str, release: str = "r") -> dict[tuple[str, str], Object]:
        """Return by kind and name what is in a namespace because of a release, but for Helm's own records."""
        selector = f"app.kubernetes.io/instance={release}"
        return {
            (kind, thing["metadata"]["name"]): thing
            for version, kind in KINDS
            for thing in self.api.list(version, kind, namespace, labelSelector=selector)
            if "deletionTimestamp" not in thing["metadata"]
        }

    def names(self, namespace: str, release: str = "r") -> set[tuple[str, str]]:
        """Return kinds and names, but for those of pods that a Deployment made up."""
        return {key for key in self.objects(namespace, release) if key[0] != "Pod"}

    def running(self, namespace: str) -> list[Object]:
        found = self.objects(namespace)
        return [thing for (kind, _), thing in found.items() if kind == "Pod" and thing["status"]["phase"] == "Running"]


def brands(*names: str, **more: Any) -> list[Object]:
    return [{"brand": name, "token": "fake-token", **more} for name in names]
