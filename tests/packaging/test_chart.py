"""What the chart renders is valid, safe, and what the exporter, Prometheus and Kubernetes take."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from rendering import CHART, CI_VALUES, Chart, pod_specs

import exporter
from exporter.cli import main

Program = Callable[..., str]

each_values_file = pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)


@each_values_file
def test_helm_lints_strictly(chart: Chart, values: Path) -> None:
    assert "0 chart(s) failed" in chart.run("lint", "--strict", CHART, "--values", values)


class Loader(yaml.CSafeLoader):
    """Read `=`, an operator in some definitions, as text; YAML 1.1 has a type of its own for it."""


Loader.add_constructor("tag:yaml.org,2002:value", yaml.constructor.SafeConstructor.construct_yaml_str)  # type: ignore[type-var]


@pytest.fixture(scope="session")
def custom_resource_schemas(tool_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Turn custom resource definitions into JSON schemas that refuse unknown keys."""
    folder = tmp_path_factory.mktemp("custom-resources")
    kinds = {"grafanadashboards", "httproutes", "verticalpodautoscalers"}
    kinds |= {"podmonitors", "prometheusrules", "scrapeconfigs", "servicemonitors"}
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
    for name, pod in pod_specs(chart.manifests_of(values)):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
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


FAKES = {
    "heartbeat": "https://beat.example.com/fake",
    "it": "json://it.example.com",
    "shift": "tgram://1234567890:fake/-100",
    "state": "postgresql://user:fake@localhost/name",
}
"""By the folder of the secret: what is more than any text."""


@each_values_file
def test_the_exporter_accepts_the_rendered_configuration(chart: Chart, values: Path, tmp_path: Path) -> None:
    manifests = chart.manifests_of(values)
    text = next(m for m in manifests if m["kind"] == "ConfigMap" and "clopos-exporter.yaml" in m["data"])["data"][
        "clopos-exporter.yaml"
    ]
    file = tmp_path / "clopos-exporter.yaml"
    file.write_text(re.sub("/(etc/clopos-exporter|var/lib/clopos-exporter|run/agent)", str(tmp_path), text))
    for path in re.findall(rf"_file: ({re.escape(str(tmp_path))}.*)", file.read_text()):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(FAKES.get(Path(path).parts[-2], "fake"))
    brands = yaml.safe_load(text).get("brands", [])
    foreign = {name: None for name in os.environ if name.startswith("CLOPOS_")}
    done = CliRunner().invoke(main, ["check", "--offline", f"--config.file={file}"], env=foreign)
    if brands:
        assert done.exit_code == 0, done.output
    else:
        assert done.exit_code == 1
        assert "brands" in done.output


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
    for alert in alerts_of(rule):
        assert alert["annotations"].pop("runbook_url") == f"https://wiki.chain.test/clopos/{alert['alert']}.md"
        assert alert["annotations"].pop("dashboard_url").startswith("https://graphs.chain.test/d/clopos-")
    assert rule["spec"] == yaml.load(CHART.joinpath("files/rules.yaml").read_text(), Loader=yaml.CSafeLoader)


def alerts_of(rule: dict[str, Any]) -> list[dict[str, Any]]:
    return [r for group in rule["spec"]["groups"] for r in group["rules"] if "alert" in r]


def test_an_alert_leads_to_a_dashboard_and_fills_its_variables(chart: Chart) -> None:
    filled = {}
    for alert in alerts_of(rule_with(chart, grafanaUrl="https://graphs.chain.test")):
        uid, _, query = (
            alert["annotations"]["dashboard_url"].removeprefix("https://graphs.chain.test/d/").partition("?")
        )
        variables = json.loads(CHART.joinpath(f"files/dashboards/{uid}.json").read_text())["templating"]["list"]
        names = re.findall(r"var-(\w+)={{ \$labels\.\w+ \| urlquery }}", query)
        assert set(names) <= {variable["name"] for variable in variables}
        filled[alert["alert"]] = (uid, names)
    assert filled["CloposKitchenStationInactive"] == ("clopos-venue", ["brand", "venue", "station"])
    assert filled["CloposVenueNoActiveStation"] == ("clopos-venue", ["brand", "venue"])
    assert filled["CloposManyVenuesInactive"] == ("clopos-kitchen", ["brand"])
    assert filled["CloposVenueDataStale"] == ("clopos-exporter", ["brand"])
    assert filled["CloposExporterDown"] == ("clopos-exporter", [])


def test_without_the_addresses_of_a_site_only_an_alert_with_its_own_has_a_link(chart: Chart) -> None:
    rule = rule_with(chart, alerts={"CloposStationInactive": {"annotations": {"runbook_url": "https://own.test"}}})
    linked = {r["alert"] for r in alerts_of(rule) if any(name.endswith("_url") for name in r["annotations"])}
    assert linked == {"CloposStationInactive"}


@pytest.mark.parametrize("kind", ["ConfigMap", "GrafanaDashboard"])
def test_the_rendered_dashboards_are_the_tested_ones(chart: Chart, kind: str) -> None:
    manifests = chart.manifests(values={"dashboards.enabled": True, "dashboards.kind": kind})
    rendered = [m for m in manifests if m["kind"] == kind and "-dashboard-" in m["metadata"]["name"]]
    texts = [m["spec"]["json"] if kind == "GrafanaDashboard" else next(iter(m["data"].values())) for m in rendered]
    files = sorted(CHART.glob("files/dashboards/*.json"))
    assert files
    assert [json.loads(text) for text in texts] == [json.loads(file.read_text()) for file in files]
    assert all(len(text) < 900_000 for text in texts), "a ConfigMap holds a megabyte"


@each_values_file
def test_a_secret_is_nowhere_but_in_secrets(chart: Chart, values: Path) -> None:
    for manifest in chart.manifests_of(values):
        if manifest["kind"] != "Secret":
            assert "fake-" not in json.dumps(manifest)


BRANDS = [{"brand": "a", "token": "fake"}, {"brand": "b", "token": "fake"}]


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


def test_a_changed_configuration_replaces_the_pod_where_the_exporter_cannot_reload_it(chart: Chart) -> None:
    def pod(**values: Any) -> dict[str, Any]:
        given = {name.replace("__", "."): value for name, value in values.items()}
        workload = next(m for m in chart.manifests(values=given) if m["kind"] == "Deployment")
        template: dict[str, Any] = workload["spec"]["template"]
        return template

    assert "--config.auto-reload-interval=30s" in pod()["spec"]["containers"][0]["args"]
    assert pod(config__poll_interval="30s") == pod(config__poll_interval="31s")
    assert pod() != pod(config__state={"journal_retention": "7d"})
    assert pod(reload__interval="") == pod(reload__interval="")
    assert pod(reload__interval="") != pod(reload__interval="", config__poll_interval="31s")


def test_no_annotation_reveals_anything_of_a_secret(chart: Chart) -> None:
    """Without a cluster to ask, a rendering is the same whatever the secrets are: nobody can try out guesses."""

    def without_secrets(token: str) -> list[dict[str, Any]]:
        manifests = chart.manifests(values={"brands": [{"brand": "a", "token": token}]})
        return [{**m, "data": None} if m["kind"] == "Secret" else m for m in manifests]

    assert without_secrets("fake-one") == without_secrets("fake-two")


def test_no_key_is_there_twice(chart: Chart) -> None:
    """A later key silently replaces an earlier one; some readers of YAML refuse both."""
    values = {
        "brands": BRANDS,
        "podLabels": {"app.kubernetes.io/name": "other"},
        "commonLabels": {"app.kubernetes.io/part-of": "shop", "team": "a"},
        "podAnnotations": {"kubectl.kubernetes.io/default-container": "other"},
        "service.labels": {"team": "b", "app.kubernetes.io/instance": "other"},
        "persistence": {"enabled": True, "annotations": {"helm.sh/resource-policy": "delete"}},
        "dashboards": {"enabled": True, "annotations": {"grafana_folder": "other"}},
        "serviceMonitor": {"enabled": True, "labels": {"app.kubernetes.io/name": "other"}},
    }
    names = set()
    for manifest in yaml.load_all(chart.text(values=values), Loader=UniqueKeysLoader):
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "r"
        names.add(labels["app.kubernetes.io/name"])
    assert names == {"clopos-exporter"}


class UniqueKeysLoader(yaml.CSafeLoader):
    """Refuse a mapping with the same key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        keys = [self.construct_object(key, deep) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"twice: {keys}"
        return super().construct_mapping(node, deep)


def test_an_umbrella_chart_switches_it_on(chart: Chart, tmp_path: Path) -> None:
    """A parent sets `enabled` and `global`, and renders with its own release."""
    parent = tmp_path / "parent"
    shutil.copytree(CHART, parent / "charts" / "clopos-exporter")
    dependency = {"name": "clopos-exporter", "version": "*", "condition": "clopos-exporter.enabled"}
    parent.joinpath("Chart.yaml").write_text(
        json.dumps({"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]})
    )
    own = {"enabled": True, "demo": True}
    values = {"global": {"imageRegistry": "registry.test", "other": 1}, "clopos-exporter": own}
    parent.joinpath("values.yaml").write_text(json.dumps(values))
    render = ("template", "r", parent, "--kube-version", "1.36.0")
    assert 'image: "registry.test/clopos-exporter:' in chart.run(*render)
    assert "kind:" not in chart.run(*render, "--set", "clopos-exporter.enabled=false")


def test_the_chart_is_of_the_exporters_version() -> None:
    chart = yaml.safe_load(CHART.joinpath("Chart.yaml").read_text())
    assert chart["appVersion"] == exporter.__version__
    assert f"image: clopos-exporter:{exporter.__version__}" in chart["annotations"]["artifacthub.io/images"]


@pytest.mark.slow
def test_helm_unittest_passes(program: Program) -> None:
    done = subprocess.run([program("helm-unittest"), "--strict", CHART], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
