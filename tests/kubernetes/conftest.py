"""The control plane that all tests here share, and the real Helm in front of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from control_plane import PROGRAMS, ControlPlane
from releases import Helm

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clopos-exporter-ci"

KINDS = {
    *("grafanadashboards", "httproutes"),
    *("podmonitors", "probes", "prometheuses", "prometheusrules", "scrapeconfigs", "servicemonitors"),
    "verticalpodautoscalers",
}
"""What the chart makes, and what the operator needs for a Prometheus."""


@pytest.fixture(scope="module")
def control_plane(
    program: Callable[..., str], absent: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """A control plane with the operators' definitions, and with what the `ci/` files take for granted.

    It takes a sixth of a processor while it runs, so that it ends with the module.
    """
    programs = {name: program(name) for name in (*PROGRAMS, "prometheus-operator", "helm")}
    crds = CACHE / "crds"
    if not crds.is_dir():
        absent("crds (fetched by .ci/install)")
    with ControlPlane(tmp_path_factory.mktemp("control-plane"), programs) as plane:
        plane.define(path for path in sorted(crds.glob("*.yaml")) if path.stem.partition("_")[2] in KINDS)
        plane.api.create_namespace("monitoring")
        for kind, name, more in (
            ("StorageClass", "standard", {"provisioner": "kubernetes.io/no-provisioner"}),
            ("StorageClass", "fast", {"provisioner": "kubernetes.io/no-provisioner"}),
            ("PriorityClass", "monitoring", {"value": 1000}),
            ("RuntimeClass", "gvisor", {"handler": "runsc"}),
        ):
            group = {"StorageClass": "storage", "PriorityClass": "scheduling", "RuntimeClass": "node"}[kind]
            default = {"storageclass.kubernetes.io/is-default-class": "true"} if name == "standard" else {}
            metadata = {"name": name, "annotations": default}
            plane.api.create({"apiVersion": f"{group}.k8s.io/v1", "kind": kind, "metadata": metadata, **more})
        for number in range(60):
            plane.api.create(_volume(f"volume-{number}", "standard" if number < 50 else "fast"))
        yield plane


def _volume(name: str, storage_class: str) -> dict[str, Any]:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "hostPath": {"path": f"/nowhere/{name}"},
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": storage_class,
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """A namespace of its own for a test, which enforces Pod Security "restricted"."""
    return control_plane.new_namespace()


@pytest.fixture
def helm(control_plane: ControlPlane, program: Callable[..., str], tmp_path: Path) -> Helm:
    """Helm 3."""
    return Helm(program("helm"), control_plane, tmp_path / "helm")


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> None:
    """The Prometheus Operator, which generates configurations; nothing here starts a Prometheus on them."""
    control_plane.start("prometheus-operator", "--web.listen-address=127.0.0.1:0")
