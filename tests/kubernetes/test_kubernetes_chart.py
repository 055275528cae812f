"""What a real API server, its controllers, the real Helm and the Prometheus Operator make of the chart."""

from __future__ import annotations

import base64
import gzip
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from control_plane import ControlPlane, Object, wait_for
from releases import CI_VALUES, ROOT, Helm, HelmError, brands

Program = Callable[..., str]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kubernetes")]

each_values_file = pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
FULL_NAME = "r-clopos-exporter"
ONE_POD: Object = {"brands": brands("a", "b"), "persistence": {"enabled": True}}
SHARDS: Object = {**ONE_POD, "sharding": {"enabled": True, "shards": 2}}
SHARED: Object = {"brands": brands("a", "b"), "replicas": 2, "state": {"url": "postgresql://user:fake@db/name"}}


@each_values_file
def test_every_values_file_is_installed_tested_and_uninstalled(
    control_plane: ControlPlane, program: Program, tmp_path: Path, values: Path
) -> None:
    """With both versions of Helm at once, which mostly wait."""
    helms = [Helm(program(name), control_plane, tmp_path / name) for name in ("helm", "helm4")]
    with ThreadPoolExecutor() as pool:
        list(
            pool.map(partial(install_test_and_uninstall, values), helms, [control_plane.new_namespace() for _ in helms])
        )


def install_test_and_uninstall(values: Path, helm: Helm, namespace: str) -> None:
    claims = {"brand-values": {FULL_NAME}, "shards-values": {f"state-{FULL_NAME}-{n}" for n in range(3)}}
    if values.stem == "extra-values":
        helm_account(helm, namespace)
    helm.upgrade(namespace, values)
    assert "Phase:          Succeeded" in helm.test(namespace)
    before = helm.objects(namespace)
    helm.upgrade(namespace, values)
    assert generations(helm.objects(namespace)) == generations(before)
    helm.run("uninstall", "r", "--namespace", namespace, "--wait")
    kept = {("PersistentVolumeClaim", name) for name in claims.get(values.stem, ())}
    wait_for("the pods to end", lambda: helm.objects(namespace).keys() == kept)


def helm_account(helm: Helm, namespace: str) -> None:
    """Make the service account that the values take for granted."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "stations", "namespace": namespace}}
    helm.api.create(account)


def generations(objects: dict[tuple[str, str], Object]) -> dict[tuple[str, str], Any]:
    """Return what changes with every change of what is wanted, as opposed to what is."""
    return {
        key: thing["metadata"].get("generation") or thing.get("data")
        for key, thing in objects.items()
        if key[0] != "Pod"
    }


@each_values_file
def test_the_server_takes_every_object_strictly(
    control_plane: ControlPlane, helm: Helm, namespace: str, values: Path
) -> None:
    """Helm's own dry run misses invalid names that the server finds."""
    refused = []
    for thing in filter(None, yaml.safe_load_all(helm.render(namespace, values, "other"))):
        if thing["kind"] == "Pod":
            thing["spec"]["serviceAccountName"] = "default"  # the rendered one is not there in a dry run
        try:
            control_plane.api.create(thing, namespace, dryRun="All", fieldValidation="Strict")
        except requests.HTTPError as error:
            refused.append(str(error))
    assert refused == []


def test_the_block_of_the_documentation_installs_and_tests_it(
    control_plane: ControlPlane, helm: Helm, program: Program, tmp_path: Path
) -> None:
    program("kubectl")
    control_plane.api.request("DELETE", "/api/v1/namespaces/monitoring")
    wait_for("the namespace to end", lambda: "monitoring" not in namespaces(control_plane))
    text = ROOT.joinpath("docs", "install.md").read_text()
    (block,) = re.findall(r"## Kubernetes\n.*?```sh\n(.*?)```", text, re.DOTALL)
    script = block.replace("helm/clopos-exporter", str(ROOT / "helm" / "clopos-exporter"))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=helm.environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Phase:          Succeeded" in done.stdout
    helm.run("uninstall", "clopos", "--namespace", "monitoring")


def namespaces(plane: ControlPlane) -> set[str]:
    return {thing["metadata"]["name"] for thing in plane.api.list("v1", "Namespace")}


def test_it_goes_over_between_all_its_shapes_and_back(helm: Helm, namespace: str) -> None:
    """Whatever is switched, one workload is there afterwards, with its pods and nothing of the one before."""
    no_claim: Object = {"brands": brands("a", "b")}
    steps: list[tuple[str, Object, str, int]] = [
        ("one pod", no_claim, "Deployment", 1),
        ("keeps its state", ONE_POD, "Deployment", 1),
        ("sharded", SHARDS, "StatefulSet", 2),
        (
            "more shards",
            {**SHARDS, "sharding": {"enabled": True, "shards": 3}, "brands": brands("a", "b", "c")},
            "StatefulSet",
            3,
        ),
        ("one pod again", ONE_POD, "Deployment", 1),
        ("shared", SHARED, "Deployment", 2),
        ("another image", {**SHARED, "image": {"tag": "1.2.3"}}, "Deployment", 2),
        ("another configuration", {**SHARED, "config": {"poll_interval": "45s"}}, "Deployment", 2),
        ("another port, with TLS", {**SHARED, **TLS}, "Deployment", 2),
        ("sharded without a claim", {"brands": brands("a", "b"), "sharding": {"enabled": True}}, "StatefulSet", 2),
        ("one pod without a claim", no_claim, "Deployment", 1),
    ]
    for what, values, kind, pods in steps:
        helm.upgrade(namespace, values)
        workloads = [name for name in helm.names(namespace) if name[0] in ("Deployment", "StatefulSet")]
        assert workloads == [(kind, FULL_NAME)], what
        wait_for(f"{pods} pods: {what}", lambda pods=pods: len(helm.running(namespace)) == pods)  # type: ignore[misc]
        assert "Succeeded" in helm.test(namespace), what
    at_last = helm.names(namespace)
    for revision in (3, 6, 11):  # sharded, shared, and as it was last; Helm keeps ten revisions
        helm.run("rollback", "r", str(revision), "--namespace", namespace, "--wait", "--timeout=120s")
        _, _, kind, pods = steps[revision - 1]
        workloads = [name for name in helm.names(namespace) if name[0] in ("Deployment", "StatefulSet")]
        assert workloads == [(kind, FULL_NAME)]
        wait_for(f"{pods} pods", lambda pods=pods: len(helm.running(namespace)) == pods)  # type: ignore[misc]
    assert helm.names(namespace) == at_last


TLS: Object = {
    "web": {"port": 10111, "scheme": "https", "config": {"tls_server_config": {"cert_file": "x", "key_file": "y"}}},
    "service": {"port": 443},
}


def test_the_state_outlives_other_shapes_and_the_release(helm: Helm, namespace: str) -> None:
    def claims() -> dict[str, str]:
        return {
            name: thing["metadata"]["uid"]
            for (kind, name), thing in helm.objects(namespace).items()
            if kind == "PersistentVolumeClaim"
        }

    helm.upgrade(namespace, ONE_POD)
    helm.upgrade(namespace, SHARDS)
    before = claims()
    assert before.keys() == {FULL_NAME, f"state-{FULL_NAME}-0", f"state-{FULL_NAME}-1"}
    helm.upgrade(namespace, ONE_POD)
    helm.run("uninstall", "r", "--namespace", namespace, "--wait")
    assert claims() == before
    helm.upgrade(namespace, ONE_POD)
    helm.upgrade(namespace, SHARDS)
    assert claims() == before


def test_the_state_goes_with_the_release_where_that_is_wanted(helm: Helm, namespace: str) -> None:
    persistence = {"enabled": True, "keep": False}
    helm.upgrade(namespace, {**ONE_POD, "persistence": persistence})
    helm.upgrade(namespace, {**SHARDS, "persistence": persistence})
    helm.run("uninstall", "r", "--namespace", namespace, "--wait")
    wait_for("everything to go", lambda: not helm.objects(namespace))


@pytest.mark.parametrize("reloads", [True, False])
def test_pods_are_replaced_when_something_changed_that_they_cannot_reload(
    helm: Helm, namespace: str, *, reloads: bool
) -> None:
    def pods() -> set[str]:
        wait_for("one pod", lambda: len(helm.running(namespace)) == 1)
        return {pod["metadata"]["uid"] for pod in helm.running(namespace)}

    def values(token: str, password: str, **more: Any) -> Object:
        web = {"config": {"basic_auth_users": {"prometheus": password}}}
        return {
            "brands": brands("a", token=token),
            "web": web,
            "reload": {"interval": "30s" if reloads else ""},
            **more,
        }

    helm.upgrade(namespace, values("fake-one", "one"))
    first = pods()
    helm.upgrade(namespace, values("fake-one", "one", service={"port": 80}))
    assert pods() == first
    helm.upgrade(namespace, values("fake-two", "one", config={"poll_interval": "45s"}))
    second = pods()
    assert (second == first) is reloads
    helm.upgrade(namespace, values("fake-two", "two", config={"poll_interval": "45s"}))
    third = pods()
    assert third != second
    helm.run("rollback", "r", "--namespace", namespace, "--wait", "--timeout=120s")
    assert pods() != third


def test_a_service_has_addresses_of_the_families_that_are_asked_for(helm: Helm, namespace: str) -> None:
    service = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}
    helm.upgrade(namespace, {**SHARDS, "service": service})
    first, second = helm.objects(namespace)["Service", FULL_NAME]["spec"]["clusterIPs"]
    assert (ip_address(first).version, ip_address(second).version) == (6, 4)
    headless = helm.objects(namespace)["Service", f"{FULL_NAME}-headless"]["spec"]
    assert headless["ipFamilies"] == ["IPv6", "IPv4"]


def test_the_notes_say_which_release_has_the_rules_already(helm: Helm, namespace: str) -> None:
    values: Object = {"demo": True, "prometheusRule": {"enabled": True}}
    assert "TWICE" not in helm.upgrade(namespace, values)
    assert "TWICE" not in helm.upgrade(namespace, values)
    assert f"TWICE: {FULL_NAME} in {namespace} has them already" in helm.upgrade(namespace, values, release="other")


def test_a_shared_state_is_updated_without_a_gap(helm: Helm, namespace: str) -> None:
    """As many pods as are wanted are ready, all the time."""
    helm.upgrade(namespace, SHARED)
    seen = set()

    def ready() -> int:
        pods = [one for one in helm.api.list("v1", "Pod", namespace) if "deletionTimestamp" not in one["metadata"]]
        conditions = [{c["type"]: c["status"] for c in pod["status"].get("conditions", ())} for pod in pods]
        return sum(of.get("Ready") == "True" for of in conditions)

    with helm.upgrading(namespace, {**SHARED, "image": {"tag": "1.2.3"}}) as upgrade:
        while upgrade.poll() is None:
            seen.add(ready())
    assert upgrade.returncode == 0
    assert min(seen) >= 2
    deployment = helm.objects(namespace)["Deployment", FULL_NAME]
    assert deployment["status"]["readyReplicas"] == 2
    budget = helm.objects(namespace)["PodDisruptionBudget", FULL_NAME]
    wait_for(
        "the budget", lambda: helm.objects(namespace)["PodDisruptionBudget", FULL_NAME]["status"]["currentHealthy"] == 2
    )
    assert budget["spec"]["maxUnavailable"] == 1


def test_shards_and_replicas_are_spread_over_nodes(helm: Helm, namespace: str) -> None:
    helm.upgrade(namespace, SHARED)
    assert len({pod["spec"]["nodeName"] for pod in helm.running(namespace)}) == 2


def test_one_name_in_two_namespaces_collides_nowhere(helm: Helm, namespace: str, control_plane: ControlPlane) -> None:
    values: Object = {
        "demo": True,
        **{
            name: {"enabled": True, "namespace": "common"}
            for name in ("serviceMonitor", "prometheusRule", "dashboards")
        },
    }
    other = f"{namespace}-other"
    for name in (other, "common"):
        control_plane.api.create_namespace(name)
    helm.upgrade(namespace, values)
    helm.upgrade(other, values)
    rules = {name for kind, name in helm.names("common") if kind == "PrometheusRule"}
    assert rules == {f"{FULL_NAME}-{namespace}", f"{FULL_NAME}-{other}"}


@pytest.mark.parametrize(
    ("before", "after", "remedy"),
    [
        (
            SHARDS,
            {**SHARDS, "persistence": {"enabled": False}},
            f"/apis/apps/v1/namespaces/NAMESPACE/statefulsets/{FULL_NAME}",
        ),
        (
            {"demo": True, "dashboards": {"enabled": True, "kind": "GrafanaDashboard"}},
            {
                "demo": True,
                "dashboards": {
                    "enabled": True,
                    "kind": "GrafanaDashboard",
                    "instanceSelector": {"matchLabels": {"dashboards": "other"}},
                },
            },
            "/apis/grafana.integreatly.org/v1beta1/namespaces/NAMESPACE/grafanadashboards",
        ),
    ],
    ids=["claims of shards", "instanceSelector"],
)
def test_what_can_never_change_is_changed_as_the_readme_says(
    helm: Helm, namespace: str, before: Object, after: Object, remedy: str
) -> None:
    helm.upgrade(namespace, before)
    pods = {pod["metadata"]["uid"] for pod in helm.running(namespace)}
    with pytest.raises(HelmError, match=r"(?i)forbidden|immutable"):
        helm.upgrade(namespace, after)
    helm.api.request("DELETE", remedy.replace("NAMESPACE", namespace), {"propagationPolicy": "Orphan"})
    assert {pod["metadata"]["uid"] for pod in helm.running(namespace)} == pods
    helm.upgrade(namespace, after)
    assert "Succeeded" in helm.test(namespace)


@pytest.mark.parametrize("name", ["web", "a__", "a.-", "A" * 63])
def test_every_name_that_the_schema_takes_is_one_for_kubernetes(helm: Helm, namespace: str, name: str) -> None:
    values = {
        "brands": brands(name),
        "notifications": {"channels": [{"name": name, "url": "json://it.example.com"}]},
        "web": {"config": {"basic_auth_users": {"a": "b"}}},
        "image": {"tag": "0123456789" * 6 + "12.-_" + "0123456789" * 6},
    }
    helm.upgrade(namespace, values, release="a.release-with-dots-".ljust(53, "0"))


@pytest.mark.usefixtures("operator")
class TestOperator:
    """The configuration that the Prometheus Operator generates. No Prometheus is ever started on it."""

    @pytest.fixture
    def configuration(self, control_plane: ControlPlane, namespace: str) -> Callable[[], str]:
        selectors: dict[str, Any] = {
            f"{kind}{what}Selector": {}
            for kind in ("serviceMonitor", "podMonitor", "scrapeConfig", "rule")
            for what in ("", "Namespace")
        }
        for kind in ("serviceMonitor", "podMonitor", "scrapeConfig", "rule"):
            selectors[f"{kind}NamespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        prometheus = {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "Prometheus",
            "metadata": {"name": "p", "namespace": namespace},
            "spec": {"replicas": 0, "version": "v3.5.0", **selectors},
        }
        control_plane.api.create(prometheus)
        path = control_plane.api.path("v1", "Secret", namespace, "prometheus-p")

        def read() -> str:
            data = control_plane.api.request("GET", path)["data"]["prometheus.yaml.gz"]
            return gzip.decompress(base64.b64decode(data)).decode()

        return read

    @pytest.mark.parametrize("stem", ["brand", "demo", "shards", "shared"])
    def test_promtool_accepts_what_it_generates(
        self,
        helm: Helm,
        namespace: str,
        configuration: Callable[[], str],
        promtool: Callable[[str], None],
        stem: str,
    ) -> None:
        values = yaml.safe_load(next(path for path in CI_VALUES if path.stem == f"{stem}-values").read_text())
        for monitor in ("podMonitor", "serviceMonitor"):
            values.get(monitor, {}).pop("namespace", None)
        login = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "exporter-login", "namespace": namespace}}
        helm.api.create({**login, "stringData": {"username": "prometheus", "password": "fake"}})
        helm.upgrade(namespace, values)
        text = wait_for("the configuration", lambda: f"{namespace}/{FULL_NAME}" in (t := configuration()) and t)
        promtool(text)
        (job,) = yaml.safe_load(text)["scrape_configs"]
        assert job["metrics_path"] == {"shared": "/stations/metrics"}.get(stem, "/metrics")

    @pytest.fixture
    def promtool(self, program: Program, tmp_path: Path) -> Callable[[str], None]:
        promtool = program("promtool3")
        file = tmp_path / "prometheus.yaml"

        def check(text: str) -> None:
            file.write_text(text)
            done = subprocess.run(
                [promtool, "check", "config", "--syntax-only", file], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr

        return check
