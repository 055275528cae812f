"""What the chart renders is valid, safe, and what the exporter, Prometheus and Kubernetes take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import CHART, CI_VALUES, Chart, RefusedError, pod_specs

import exporter

Program = Callable[..., str]

each_values_file = pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)


@each_values_file
def test_helm_lints_strictly(chart: Chart, values: Path) -> None:
    assert "0 chart(s) failed" in chart.run("lint", "--strict", CHART, "--values", values)


class Loader(yaml.CSafeLoader):
    """Read `=`, an operator in some definitions, as text; YAML 1.1 has a type of its own for it."""


Loader.add_constructor("tag:yaml.org,2002:value", Loader.construct_yaml_str)


@pytest.fixture(scope="session")
def custom_resource_schemas(tool_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Turn custom resource definitions into JSON schemas that refuse unknown keys."""
    folder = tmp_path_factory.mktemp("custom-resources")
    kinds = ("grafanadashboards", "podmonitors", "prometheusrules", "scrapeconfigs", "servicemonitors")
    for path in chain.from_iterable(tool_data("crds").glob(f"*_{kind}.yaml") for kind in kinds):
        definition = yaml.load(path.read_bytes(), Loader=Loader)["spec"]  # noqa: S506 - a safe loader
        for version in definition["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"])
            name = f"{definition['group']}-{definition['names']['kind'].lower()}-{version['name']}.json"
            folder.joinpath(name).write_text(json.dumps(schema))
    return folder


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


@pytest.fixture(scope="session")
def schemas(tool_data: Callable[[str], Path], custom_resource_schemas: Path) -> list[str]:
    """Say where kubeconform finds the schemas of Kubernetes itself and of the custom resources."""
    builtin = (
        tool_data("kubernetes-schemas") / "{{.NormalizedKubernetesVersion}}" / "{{.ResourceKind}}{{.KindSuffix}}.json"
    )
    custom = custom_resource_schemas / "{{.Group}}-{{.ResourceKind}}-{{.ResourceAPIVersion}}.json"
    return ["-schema-location", str(builtin), "-schema-location", str(custom)]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.34.0", "1.35.0", "1.36.0", "1.37.0"])
def test_the_last_four_kubernetes_versions_take_every_manifest(
    chart: Chart, program: Program, schemas: list[str], version: str
) -> None:
    flags = ["-strict", "-summary", "-output", "json", "-kubernetes-version", version]
    done = subprocess.run(
        [program("kubeconform"), *flags, *schemas],
        input="\n---\n".join(chart.text("--values", values, "--kube-version", version) for values in CI_VALUES),
        capture_output=True,
        text=True,
        check=False,
    )
    result = json.loads(done.stdout)
    assert not result.get("resources")
    assert result["summary"]["valid"] > 30
    assert result["summary"]["skipped"] == 0


@each_values_file
def test_pods_keep_to_pod_security_restricted(chart: Chart, values: Path) -> None:
    """Check the level "restricted" of https://kubernetes.io/docs/concepts/security/pod-security-standards/."""
    ours = 0
    for name, pod in pod_specs(chart.manifests("--values", values)):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
        assert all((volume.keys() - {"name"}) <= allowed for volume in pod.get("volumes", ())), name
        for container in pod["containers"]:
            if container["name"] not in ("exporter", "ask"):
                continue
            ours += 1
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container.get("ports", ()))
    assert ours == 2


@each_values_file
def test_the_exporter_accepts_the_rendered_configuration(chart: Chart, values: Path, tmp_path: Path) -> None:
    manifests = chart.manifests("--values", values)
    text = next(m for m in manifests if m["kind"] == "ConfigMap" and "clopos-exporter.yaml" in m["data"])["data"][
        "clopos-exporter.yaml"
    ]
    file = tmp_path / "clopos-exporter.yaml"
    file.write_text(
        text.replace("/etc/clopos-exporter", str(tmp_path)).replace("/var/lib/clopos-exporter", str(tmp_path))
    )
    brands = yaml.safe_load(text).get("brands", [])
    for brand in brands:
        for key, path in brand.items():
            if key.endswith("_file"):
                secret = tmp_path / Path(path).relative_to("/etc/clopos-exporter")
                secret.parent.mkdir(parents=True, exist_ok=True)
                secret.write_text("fake")
    done = subprocess.run(
        [sys.executable, "-m", "exporter", "check", "--offline", f"--config.file={file}"],
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("CLOPOS_")},
    )
    said = done.stdout + done.stderr
    if brands:
        assert done.returncode == 0, said
    else:
        assert done.returncode == 1
        assert "brands" in said


@pytest.mark.parametrize("promtool", ["promtool", "promtool3"])
def test_promtool_accepts_the_rendered_rules(chart: Chart, program: Program, tmp_path: Path, promtool: str) -> None:
    overrides = {"CloposStationInactive": {"for": "1h", "severity": "info", "expr": "clopos_station_active == 0"}}
    rule = rule_with(chart, alerts=overrides)
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rule["spec"]))
    done = subprocess.run([program(promtool), "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def rule_with(chart: Chart, **values: Any) -> dict[str, Any]:
    given = {"prometheusRule.enabled": True, **{f"prometheusRule.{name}": value for name, value in values.items()}}
    return next(m for m in chart.manifests(values=given) if m["kind"] == "PrometheusRule")


def test_the_rendered_rules_are_the_tested_ones_with_the_addresses_of_the_site(chart: Chart) -> None:
    rule = rule_with(chart, grafanaUrl="https://graphs.chain.test/", runbooksUrl="https://wiki.chain.test/clopos")
    text = CHART.joinpath("files/rules.yaml").read_text()
    text = text.replace("https://grafana.example.com", "https://graphs.chain.test")
    text = text.replace("https://clopos-exporter.example.com/runbooks", "https://wiki.chain.test/clopos")
    assert rule["spec"] == yaml.safe_load(text)


def test_no_alert_links_to_a_stand_in(chart: Chart) -> None:
    rule = rule_with(chart, alerts={"CloposStationInactive": {"annotations": {"runbook_url": "https://own.test"}}})
    assert "example.com" not in yaml.safe_dump(rule)
    links = {
        r["alert"]: {name for name in r["annotations"] if name.endswith("_url")}
        for group in rule["spec"]["groups"]
        for r in group["rules"]
        if "alert" in r
    }
    assert {name for name, own in links.items() if own} == {"CloposStationInactive"}


@pytest.mark.parametrize("kind", ["ConfigMap", "GrafanaDashboard"])
def test_the_rendered_dashboards_are_the_tested_ones(chart: Chart, kind: str) -> None:
    manifests = chart.manifests(values={"dashboards.enabled": True, "dashboards.kind": kind})
    rendered = [m for m in manifests if m["kind"] == kind and "-dashboard-" in m["metadata"]["name"]]
    texts = [m["spec"]["json"] if kind == "GrafanaDashboard" else next(iter(m["data"].values())) for m in rendered]
    files = sorted(CHART.glob("files/dashboards/*.json"))
    assert files
    assert [json.loads(text) for text in texts] == [json.loads(file.read_text()) for file in files]
    assert all(len(text) < 900_000 for text in texts), "a ConfigMap holds a megabyte"


def test_a_secret_is_nowhere_but_in_secrets(chart: Chart) -> None:
    for manifest in chart.manifests("--values", CHART / "ci" / "shards-values.yaml"):
        if manifest["kind"] != "Secret":
            assert "fake-" not in json.dumps(manifest)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"brand": []}, "brand"),
        ({"config": {"poll_intervall": "30s"}}, "poll_intervall"),
        ({"config": {"poll_interval": "30"}}, "poll_interval"),
        ({"config": {"poll_interval": 30}}, "poll_interval"),
        ({"brands": [{"client_id": "1"}]}, "brand"),
        ({"brands": [{"brand": "a", "client_id": 4711}]}, "client_id"),
        ({"brands": [{"brand": "a", "venue": []}]}, "venue"),
        ({"brands": [{"brand": "a/b"}]}, "brand"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"replicaCount": 2}, "replicaCount"),
        ({"service": {"type": "ExternalName"}}, "type"),
        ({"sharding": {"enabled": True, "shards": 1}}, "shards"),
        ({"web": {"telemetryPath": "metrics"}}, "telemetryPath"),
        ({"prometheusRule": {"alerts": {"CloposStationInactive": {"fro": "5m"}}}}, "fro"),
    ],
    ids=str,
)
def test_the_schema_refuses(chart: Chart, values: dict[str, Any], path: str) -> None:
    with pytest.raises(RefusedError, match=r"(?s)don't meet the specifications of the schema.*" + path):
        chart.text(values=values)


BRANDS = [{"brand": "a", "token": "fake"}, {"brand": "b", "token": "fake"}]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"serviceMonitor.enabled": True, "podMonitor.enabled": True}, "Enable one of serviceMonitor and podMonitor"),
        ({"serviceMonitor.enabled": True, "service.enabled": False}, "serviceMonitor.enabled needs service.enabled"),
        ({"brands": BRANDS, "sharding.enabled": True, "sharding.shards": 3}, "shards is 3, but there are 2 brands"),
        (
            {"brands": BRANDS, "sharding.enabled": True, "persistence.existingClaim": "x"},
            "existingClaim cannot be shared",
        ),
        (
            {"brands": BRANDS, "sharding.enabled": True, "service.type": "NodePort"},
            "NodePort cannot be used with shard",
        ),
        ({"brands": BRANDS, "sharding.enabled": True, "service.enabled": False}, "sharding needs service.enabled"),
        ({"demo": True, "brands": BRANDS}, "needs no brands"),
        ({"demo": True, "sharding.enabled": True}, "demo has a single pod"),
        ({"demo": True, "web.existingSecret": "x"}, "of web, only the port can be set"),
        ({"podDisruptionBudget.enabled": True}, "it would block every node drain"),
        ({"web.config": {"basic_auth_users": {}}, "web.existingSecret": "x"}, "exclude each other"),
        ({"web.config": {"tls_server_config": {"cert_file": "x"}}}, "set web.scheme to https"),
        ({"brands": [{"brand": "a"}]}, "exactly one of existingSecret, client_secret and token; it has none"),
        ({"brands": [{"brand": "a", "token": "x", "client_secret": "x"}]}, "it has client_secret and token"),
        ({"brands": [{"brand": "a", "token": "x", "secretKeys": {"token": "x"}}]}, "secretKeys, which are those of an"),
        ({"brands": [BRANDS[0], BRANDS[0]]}, "a is there twice"),
        (
            {"brands": [{"brand": "a.b", "token": "x"}, {"brand": "a_b", "token": "x"}]},
            "a.b and a_b would share the Secret r-clopos-exporter-a-b",
        ),
        (
            {"prometheusRule.enabled": True, "prometheusRule.alerts": {"Nonsense": {"for": "1m"}}},
            "there is no alert Nonsense; there are Clopos",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused_with_a_sentence(chart: Chart, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RefusedError, match=sentence):
        chart.text(values=values)


def test_an_alert_is_switched_off_or_adjusted_by_name(chart: Chart) -> None:
    alerts = {
        "CloposStationInactive": {"enabled": False},
        "CloposManyVenuesInactive": {"for": "2h", "severity": "critical", "labels": {"team": "kitchen"}},
    }
    rule = rule_with(chart, alerts=alerts)
    rendered = {r["alert"]: r for group in rule["spec"]["groups"] for r in group["rules"] if "alert" in r}
    assert "CloposStationInactive" not in rendered
    changed = rendered["CloposManyVenuesInactive"]
    assert changed["for"] == "2h"
    assert changed["labels"]["severity"] == "critical"
    assert changed["labels"]["team"] == "kitchen"


def test_a_changed_configuration_or_secret_replaces_the_pod(chart: Chart) -> None:
    def annotations(secret: str, interval: str) -> dict[str, str]:
        values = {"brands": [{"brand": "a", "client_secret": secret}], "config.poll_interval": interval}
        manifests = chart.manifests(values=values)
        workload = next(m for m in manifests if m["kind"] == "Deployment")
        annotations: dict[str, str] = workload["spec"]["template"]["metadata"]["annotations"]
        return annotations

    before = annotations("one", "30s")
    assert before == annotations("one", "30s")
    assert before["checksum/secrets"] != annotations("two", "30s")["checksum/secrets"]
    assert before["checksum/config"] != annotations("one", "31s")["checksum/config"]


def test_the_chart_is_of_the_exporters_version() -> None:
    chart = yaml.safe_load(CHART.joinpath("Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == exporter.__version__


def test_helm_unittest_passes(program: Program) -> None:
    done = subprocess.run([program("helm-unittest"), "--strict", CHART], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
