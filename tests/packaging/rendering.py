"""The chart as the real Helm renders it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "clopos-exporter"
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))

Manifest = dict[str, Any]


class RefusedError(Exception):
    """Carry what Helm said instead of rendering."""


class Chart:
    def __init__(self, helm: str) -> None:
        self._helm = helm
        self._texts: dict[Path, str] = {}

    def run(self, *arguments: str | Path) -> str:
        done = subprocess.run([self._helm, *map(str, arguments)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RefusedError(done.stdout + done.stderr)
        return done.stdout

    def text(self, *arguments: str | Path, values: dict[str, Any] | None = None) -> str:
        """Render release `r` in namespace `shop`; values are given as JSON, so that any type arrives."""
        if "--kube-version" not in arguments:
            # A Helm that is not built by its own Makefile takes the cluster for one of 1.20.
            arguments = (*arguments, "--kube-version", "1.36.0")
        flags = [flag for key, value in (values or {}).items() for flag in ("--set-json", f"{key}={json.dumps(value)}")]
        return self.run("template", "r", CHART, "--namespace", "shop", *arguments, *flags)

    def manifests(self, *arguments: str | Path, values: dict[str, Any] | None = None) -> list[Manifest]:
        return _loaded(self.text(*arguments, values=values))

    def manifests_of(self, values: Path) -> list[Manifest]:
        """Return what a values file renders to; the same file is rendered once."""
        if values not in self._texts:
            self._texts[values] = self.text("--values", values)
        return _loaded(self._texts[values])


def _loaded(text: str) -> list[Manifest]:
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


def pod_specs(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Return the name and spec of everything that becomes a pod."""
    for manifest in manifests:
        spec = (
            manifest["spec"] if manifest["kind"] == "Pod" else manifest.get("spec", {}).get("template", {}).get("spec")
        )
        if spec:
            yield manifest["metadata"]["name"], spec
