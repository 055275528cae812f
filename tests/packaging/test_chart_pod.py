"""A pod as the chart renders it really runs: podman takes the part of the kubelet."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from containers import Engine
from rendering import Chart, Manifest
from scraping import scrape

from exporter.simulator import Simulator

FULL_NAME = "r-clopos-exporter"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("image")]


@pytest.fixture
def manifests(chart: Chart, image: str, simulator: Simulator, port: int) -> list[Manifest]:
    repository, _, tag = image.rpartition(":")
    brand = {**simulator.credentials("openapitest"), "base_url": simulator.url}
    return chart.manifests(
        values={"image": {"repository": repository, "tag": tag}, "brands": [brand], "web": {"port": port}}
    )


def test_the_rendered_pod_runs_and_is_scraped(
    engine: Engine, manifests: list[Manifest], port: int, tmp_path: Path
) -> None:
    pod = next(m for m in manifests if m["kind"] == "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    options = [*_user(pod), *_mounts(pod, container, manifests, tmp_path)]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    environment = {variable["name"]: variable["value"] for variable in container.get("env", ())}
    with engine.run(container["image"], *container["args"], environment=environment, options=options) as running:
        text = scrape(port, 'venue="28 May",venue_id="2"} 1.0')
        assert text.count("\nclopos_station_active{") == 8
        assert "clopos_exporter_store_up 1.0" in text
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = container[probe]["httpGet"]["path"]
            assert requests.get(f"http://127.0.0.1:{port}{path}", timeout=5).status_code == 200
        assert _asked(engine, manifests, port) == "ready"
        assert running.stop()[1] == 0, running.logs()


def _asked(engine: Engine, manifests: list[Manifest], port: int) -> str:
    """Run the pod of `helm test`; give what it heard."""
    (container,) = next(m for m in manifests if m["kind"] == "Pod")["spec"]["containers"]
    words: list[str] = [*container["command"], *container["args"]]
    program, *arguments = words
    arguments[-1] = arguments[-1].replace(f"{FULL_NAME}:10110", f"127.0.0.1:{port}")
    with engine.run(container["image"], *arguments, options=("--entrypoint", program)) as asking:
        assert asking.wait() == 0, asking.logs()
        return asking.logs().strip()


def _user(pod: Manifest) -> Iterator[str]:
    context = pod["securityContext"]
    yield from ("--user", f"{context['runAsUser']}:{context['runAsGroup']}", "--group-add", str(context["fsGroup"]))


def _mounts(pod: Manifest, container: Manifest, manifests: list[Manifest], folder: Path) -> Iterator[str]:
    """Make the folders that the kubelet would make of the volumes, owned by the pod's group."""
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    for mount in container["volumeMounts"]:
        volume = next(volume for volume in pod["volumes"] if volume["name"] == mount["name"])
        place = folder / volume["name"]
        place.mkdir()
        for name, content in _files(volume, manifests).items():
            place.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            place.joinpath(name).write_bytes(content)
        for path in (place, *place.rglob("*")):
            path.chmod(0o770 if path.is_dir() else 0o440)
            os.chown(path, 0, pod["securityContext"]["fsGroup"])
        yield from ("--volume", f"{place}:{mount['mountPath']}{':ro' if mount.get('readOnly') else ''}")


def _files(volume: dict[str, Any], manifests: list[Manifest]) -> dict[str, bytes]:
    def find(kind: str, name: str) -> Manifest:
        return next(m for m in manifests if (m["kind"], m["metadata"]["name"]) == (kind, name))

    if "configMap" in volume:
        return {name: text.encode() for name, text in find("ConfigMap", volume["configMap"]["name"])["data"].items()}
    if "projected" in volume:
        (source,) = volume["projected"]["sources"]
        data = find("Secret", source["secret"]["name"])["data"]
        return {item["path"]: b64decode(data[item["key"]]) for item in source["secret"]["items"]}
    assert volume["emptyDir"] == {}
    return {}
