"""A real Kubernetes control plane on loopback, and a stand-in for the kubelet: no container is ever started."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import requests
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

TIMEOUT = 90.0
"""Seconds that a test waits for what should take one or two: the machine may be busy."""

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")

Object = dict[str, Any]

_TOKENS = """
admin-token,admin,1,"system:masters"
manager-token,system:kube-controller-manager,2
scheduler-token,system:kube-scheduler,3
"""


def wait_for(what: str, condition: Callable[[], Any], seconds: float = TIMEOUT) -> Any:
    """Return what a condition gives once it is true. Fails after some seconds, with the last error."""
    deadline = time.monotonic() + seconds
    while True:
        trouble: object = None
        try:
            if found := condition():
                return found
        except OSError as error:  # requests raises no others
            trouble = error
        assert time.monotonic() < deadline, f"waited in vain for {what}: {trouble}"
        time.sleep(0.1)


class API:
    """The API server, as its administrator sees it."""

    def __init__(self, url: str, certificate: Path) -> None:
        self.url = url
        self._certificate = certificate
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send a request. Raises `requests.HTTPError` with the server's words."""
        content_type = options.pop("content_type", "application/json")
        done = requests.request(
            method,
            f"{self.url}{path}",
            data=None if body is None else json.dumps(body),
            headers={"Authorization": "Bearer admin-token", "Content-Type": content_type},
            params=options,
            verify=str(self._certificate),
            timeout=30,
        )
        if not done.ok:
            raise requests.HTTPError(f"{method} {path}: {done.text}", response=done)
        return done.json() if done.text.startswith("{") else done.text

    def path(self, version: str, kind: str, namespace: str | None = None, name: str | None = None) -> str:
        """Return the path of a kind's objects, or of one."""
        group = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if (version, kind) not in self._kinds:
            for resource in self.request("GET", group)["resources"]:
                if "/" not in resource["name"]:
                    self._kinds[version, resource["kind"]] = (resource["name"], resource["namespaced"])
        plural, namespaced = self._kinds[version, kind]
        place = f"/namespaces/{namespace}" if namespaced and namespace else ""
        return f"{group}{place}/{plural}{f'/{name}' if name else ''}"

    def list(self, version: str, kind: str, namespace: str | None = None, **options: Any) -> list[Object]:
        return list(self.request("GET", self.path(version, kind, namespace), **options)["items"])

    def get(self, version: str, kind: str, namespace: str, name: str) -> Object:
        return dict(self.request("GET", self.path(version, kind, namespace, name)))

    def create(self, thing: Object, namespace: str | None = None, **options: Any) -> Object:
        namespace = thing["metadata"].get("namespace", namespace)
        path = self.path(thing["apiVersion"], thing["kind"], namespace)
        return dict(self.request("POST", path, thing, **options))

    def create_namespace(self, name: str) -> None:
        """Create a namespace that enforces Pod Security "restricted"."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        wait_for("the default service account", lambda: self.list("v1", "ServiceAccount", name))


class ControlPlane:
    """etcd, API server, controller manager and scheduler, in a folder of their own, and what plays the kubelet."""

    def __init__(self, folder: Path, programs: Mapping[str, str]) -> None:
        self._folder = folder
        self._programs = programs
        self._stack = ExitStack()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._kubelet: Kubelet | None = None
        self._namespaces = count(1)
        port = free_port()
        self.api = API(f"https://127.0.0.1:{port}", folder / "certificates" / "apiserver.crt")
        self.kubeconfig = self.kubeconfig_of("admin-token")
        self._port = port

    def new_namespace(self) -> str:
        """Create a namespace with a name of its own, which enforces Pod Security "restricted"."""
        name = f"shop-{next(self._namespaces)}"
        self.api.create_namespace(name)
        return name

    def kubeconfig_of(self, token: str) -> Path:
        path = self._folder / f"{token}.kubeconfig"
        cluster = {"server": self.api.url, "certificate-authority": str(self.api._certificate)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(config))
        return path

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        folder = self._folder
        key = folder / "service-accounts.key"
        private = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        key.write_bytes(private)
        (folder / "tokens.csv").write_text(_TOKENS.lstrip())
        etcd, peer = free_port(), free_port()
        self.start(
            "etcd",
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
        )
        self.start(
            "kube-apiserver",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--cert-dir={folder / 'certificates'}",
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            "--service-cluster-ip-range=10.96.0.0/16,fd00::/112",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--endpoint-reconciler-type=none",
        )
        wait_for("the API server", lambda: self.api.request("GET", "/readyz") == "ok")
        for name, *flags in (
            (
                "kube-controller-manager",
                f"--service-account-private-key-file={key}",
                f"--root-ca-file={self.api._certificate}",
                "--use-service-account-credentials=true",
                "--node-monitor-grace-period=24h",
            ),
            ("kube-scheduler",),
        ):
            config = self.kubeconfig_of(f"{name.rpartition('-')[2]}-token")
            self.start(
                name,
                f"--kubeconfig={config}",
                f"--authentication-kubeconfig={config}",
                f"--authorization-kubeconfig={config}",
                "--bind-address=127.0.0.1",
                f"--secure-port={free_port()}",
                "--leader-elect=false",
                *flags,
            )
        self._kubelet = Kubelet(self.api)
        self._kubelet.start()

    def __exit__(self, *_: object) -> None:
        if self._kubelet:
            self._kubelet.stop()
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._stack.close()

    def start(self, name: str, *flags: str) -> None:
        """Start a program until the end; its output is in `<name>.log`."""
        log = self._stack.enter_context((self._folder / f"{name}.log").open("wb"))
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._folder), "KUBECONFIG": str(self.kubeconfig)}
        self._processes.append(
            subprocess.Popen([self._programs[name], *flags], stdout=log, stderr=log, cwd=self._folder, env=environment)
        )

    def define(self, definitions: Iterator[Path]) -> None:
        """Create custom resource definitions, and wait until they are served."""
        names = []
        for path in definitions:
            for definition in yaml.load_all(path.read_bytes(), Loader=_Loader):
                self.api.create(definition)
                names.append(definition["metadata"]["name"])
        for name in names:
            wait_for(name, partial(self._established, name))

    def _established(self, name: str) -> bool:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
        conditions = self.api.request("GET", path).get("status", {}).get("conditions") or ()
        return any((c["type"], c["status"]) == ("Established", "True") for c in conditions)


class _Loader(yaml.CSafeLoader):
    """Read `=`, an operator in some definitions, as text; YAML 1.1 has a type of its own for it."""


_Loader.add_constructor("tag:yaml.org,2002:value", yaml.constructor.SafeConstructor.construct_yaml_str)  # type: ignore[type-var]


class Kubelet(threading.Thread):
    """Say of scheduled pods what a kubelet would: they run and are ready, end when deleted; a test gets its answer."""

    def __init__(self, api: API) -> None:
        super().__init__(daemon=True)
        self._api = api
        self._stopping = threading.Event()
        self._addresses = 1
        for number in (1, 2):
            name = f"node-{number}"
            api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": _node_labels(name)}})
            self._patch(api.path("v1", "Node", None, name), {"status": _NODE_STATUS})

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        while not self._stopping.wait(0.4):
            try:
                for pod in self._api.list("v1", "Pod"):
                    self._tend(pod)
                for service in self._api.list("v1", "Service"):
                    if service["spec"]["type"] == "LoadBalancer" and not service["status"].get("loadBalancer"):
                        path = self._api.path(
                            "v1", "Service", service["metadata"]["namespace"], service["metadata"]["name"]
                        )
                        self._patch(path, {"status": {"loadBalancer": {"ingress": [{"ip": "127.9.9.9"}]}}})
            except (requests.ConnectionError, requests.HTTPError):
                continue  # gone or changed meanwhile: the next round sees it as it is

    def _tend(self, pod: Object) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        path = self._api.path("v1", "Pod", metadata["namespace"], metadata["name"])
        if "deletionTimestamp" in metadata:
            self._api.request("DELETE", path, {"gracePeriodSeconds": 0})
        elif "nodeName" in spec and pod["status"]["phase"] == "Pending":
            self._addresses += 1
            state, phase = {"running": {"startedAt": metadata["creationTimestamp"]}}, "Running"
            if spec["restartPolicy"] == "Never":
                answer = self._answer(pod)
                phase = "Failed" if answer else "Succeeded"
                state = {"terminated": {"exitCode": 1 if answer else 0, "message": answer}}
            self._patch(
                path,
                {
                    "status": _pod_status(
                        spec, phase, state, f"127.1.{divmod(self._addresses, 250)[0]}.{self._addresses % 250 + 1}"
                    )
                },
            )

    def _patch(self, path: str, body: Object) -> None:
        self._api.request("PATCH", f"{path}/status", body, content_type="application/strategic-merge-patch+json")

    def _answer(self, pod: Object) -> str:
        """Return why a pod could not connect to the addresses among its arguments; empty where it could."""
        namespace = pod["metadata"]["namespace"]
        for argument in pod["spec"]["containers"][0].get("args", ()):
            if not re.match("https?://", argument):
                continue
            url = urlsplit(argument)
            host, _, service_name = (url.hostname or "").rpartition(".")
            service = self._api.get("v1", "Service", namespace, service_name)
            ports = {port["port"] for port in service["spec"]["ports"]}
            pods = [
                other
                for other in self._api.list("v1", "Pod", namespace)
                if service["spec"]["selector"].items() <= other["metadata"]["labels"].items()
                and other["status"]["phase"] == "Running"
                and host in ("", other["metadata"]["name"])
            ]
            if service["spec"].get("clusterIP") == "None":
                ports = {p["containerPort"] for other in pods for p in other["spec"]["containers"][0]["ports"]}
            if url.port not in ports or not pods:
                return f"{argument}: {len(pods)} pods behind {service_name}, whose ports are {ports}"
            for policy in self._api.list("networking.k8s.io/v1", "NetworkPolicy", namespace):
                if _selects(policy["spec"]["podSelector"], pods[0]) and not _lets_in(policy, pod):
                    return f"{argument}: {policy['metadata']['name']} lets {pod['metadata']['labels']} not in"
        return ""


def _selects(selector: Object, pod: Object) -> bool:
    return bool(selector.get("matchLabels", {}).items() <= pod["metadata"]["labels"].items())


def _lets_in(policy: Object, pod: Object) -> bool:
    return any(
        not rule.get("from")
        or any(
            "podSelector" in peer and "namespaceSelector" not in peer and _selects(peer["podSelector"], pod)
            for peer in rule["from"]
        )
        for rule in policy["spec"].get("ingress", ())
    )


def _node_labels(name: str) -> dict[str, str]:
    return {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}


_CAPACITY = {"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "100Gi"}
_NODE_STATUS = {
    "capacity": _CAPACITY,
    "allocatable": _CAPACITY,
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
}


def _pod_status(spec: Object, phase: str, state: Object, address: str) -> Object:
    """Return a status with an address on loopback, so that whoever believes it sends nothing out of the machine."""
    ready = str(phase == "Running")
    conditions = [{"type": kind, "status": ready} for kind in ("Initialized", "ContainersReady", "Ready")]

    def container(of: Object, state: Object) -> Object:
        running = "running" in state
        details = {"image": of["image"], "imageID": "", "ready": running, "started": running, "restartCount": 0}
        return {"name": of["name"], "state": state, **details}

    done = {"terminated": {"exitCode": 0}}
    return {
        "phase": phase,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [*conditions, {"type": "PodScheduled", "status": "True"}],
        "containerStatuses": [container(one, state) for one in spec["containers"]],
        "initContainerStatuses": [container(one, done) for one in spec.get("initContainers", ())],
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
