"""The manifests for Kubernetes, as far as that can be said without a cluster."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.jobs.alive import ALIVE
from app.settings import Settings

FOLDER = Path(__file__).parents[1] / "deploy" / "kubernetes"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
Manifest = dict[str, Any]


def manifests(*names: str) -> list[Manifest]:
    return [
        document
        for name in names
        for document in yaml.safe_load_all((FOLDER / name).read_text())
        if document
    ]


MANIFESTS = manifests(*KUSTOMIZATION["resources"])
EXAMPLES = manifests(*(path.name for path in sorted(FOLDER.glob("*.example.yaml"))))
DEPLOYMENTS = {each["metadata"]["name"]: each for each in MANIFESTS if each["kind"] == "Deployment"}
SERVICE = {"app.kubernetes.io/name": "cohort", "app.kubernetes.io/component": "service"}

each_deployment = pytest.mark.parametrize("name", DEPLOYMENTS)


def one(kind: str, name: str = "cohort") -> Manifest:
    (found,) = (
        each
        for each in [*MANIFESTS, *EXAMPLES]
        if (each["kind"], each["metadata"]["name"]) == (kind, name)
    )
    return found


def pod_of(name: str) -> Manifest:
    pod: Manifest = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    return pod


def container_of(name: str) -> Manifest:
    container: Manifest
    (container,) = pod_of(name)["containers"]
    return container


def environment_of(name: str) -> dict[str, str]:
    settings: dict[str, str] = one("ConfigMap", "cohort-settings")["data"]
    return settings | {each["name"]: each["value"] for each in container_of(name)["env"]}


def in_bytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([KMGT]i)", quantity).groups()  # type: ignore[union-attr]
    size: int = int(number) * 1024 ** ("KMGT".index(unit[0]) + 1)
    return size


def test_every_manifest_is_used_or_an_example() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    examples = {name for name in files if name.endswith(".example.yaml")}
    assert files - examples == set(KUSTOMIZATION["resources"])
    assert examples == {"ingress.example.yaml", "service-monitor.example.yaml"}
    kinds = {each["kind"] for each in MANIFESTS}
    assert kinds == {
        "Namespace",
        "ConfigMap",
        "ServiceAccount",
        "Deployment",
        "Service",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
    }


def test_there_is_no_secret_in_them() -> None:
    assert not [each for each in [*MANIFESTS, *EXAMPLES] if each["kind"] == "Secret"]
    for name in DEPLOYMENTS:
        for variable, value in environment_of(name).items():
            if re.search("PASSWORD|AUTH|KEY|SECRET|TOKEN|DATABASE_URL|REDIS_URL", variable):
                assert variable.endswith("_FILE")
                assert value.startswith("/run/secrets/cohort/")


@each_deployment
def test_the_settings_are_settings_and_their_files_are_mounted(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mounted = [each["mountPath"] for each in container_of(name)["volumeMounts"]]
    assert "/run/secrets/cohort" in mounted
    (tmp_path / "database_url").write_text("postgresql://u:p@h/d")
    (tmp_path / "redis_url").write_text("redis://h/0")
    for variable, value in environment_of(name).items():
        assert variable.removeprefix("COHORT_").lower() in Settings.model_fields
        assert isinstance(value, str), variable
        monkeypatch.setenv(variable, value.replace("/run/secrets/cohort", str(tmp_path)))
    settings = Settings()
    assert settings.bundle_store is not None
    # Pods share no disk.
    assert settings.bundle_store.get_secret_value().startswith("s3://")
    assert settings.inference_workers <= int(container_of(name)["resources"]["limits"]["cpu"])


@each_deployment
def test_images_are_of_a_version(name: str) -> None:
    image = container_of(name)["image"]
    (placed,) = (each for each in KUSTOMIZATION["images"] if each["name"] == image)
    assert re.fullmatch(r"\d+\.\d+\.\d+", placed["newTag"])


@each_deployment
def test_nobody_is_root_or_can_become_it(name: str) -> None:
    pod, container = pod_of(name), container_of(name)
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    labels = one("Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@each_deployment
def test_everything_has_its_bounds(name: str) -> None:
    resources = container_of(name)["resources"]
    assert resources["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}
    assert resources["limits"].keys() == resources["requests"].keys()
    volumes = {each["name"]: each for each in pod_of(name)["volumes"]}
    assert {each["name"] for each in container_of(name)["volumeMounts"]} == volumes.keys()
    on_disk = sum(
        in_bytes(each["emptyDir"]["sizeLimit"]) for each in volumes.values() if "emptyDir" in each
    )
    assert on_disk <= in_bytes(resources["limits"]["ephemeral-storage"])


def test_a_training_has_the_memory_that_it_may_take() -> None:
    limit = in_bytes(container_of("cohort-worker")["resources"]["limits"]["memory"])
    assert int(environment_of("cohort-worker")["COHORT_TRAINING_MEMORY_BYTES"]) < limit


def test_the_service_is_asked_how_it_is() -> None:
    container = container_of("cohort")
    (port,) = container["ports"]
    for probe, path in (("startup", "/readyz"), ("readiness", "/readyz"), ("liveness", "/healthz")):
        asked = container[f"{probe}Probe"]
        assert asked["httpGet"] == {"path": path, "port": port["name"]}
        assert asked["timeoutSeconds"] <= asked["periodSeconds"]
    # A replica that is frozen for twenty seconds comes back; one that hangs for a minute does not.
    liveness = container["livenessProbe"]
    assert 20 < liveness["periodSeconds"] * liveness["failureThreshold"] <= 60


def test_the_worker_is_asked_how_it_is() -> None:
    container = container_of("cohort-worker")
    for probe in ("startupProbe", "livenessProbe"):
        (program, option, script) = container[probe]["exec"]["command"]
        assert (program, option) == ("python", "-c")
        assert f"'/data/{ALIVE}'" in script
    mounted = [each["mountPath"] for each in container["volumeMounts"]]
    assert "/data" in mounted


def test_a_stop_leaves_time_to_drain() -> None:
    grace_s = pod_of("cohort")["terminationGracePeriodSeconds"]
    readiness = container_of("cohort")["readinessProbe"]
    drain_s = float(environment_of("cohort")["COHORT_DRAIN_S"])
    # Until the probe has failed, and the nodes have heard of it.
    assert drain_s > readiness["periodSeconds"] * readiness["failureThreshold"] + 3
    assert grace_s > drain_s + Settings().request_deadline_s


def test_two_replicas_at_least_and_never_all_away_at_once() -> None:
    # The autoscaler says how many: a number in the Deployment would set it back at each apply.
    assert "replicas" not in DEPLOYMENTS["cohort"]["spec"]
    scaler = one("HorizontalPodAutoscaler")["spec"]
    assert scaler["minReplicas"] == 2
    assert scaler["scaleTargetRef"]["name"] == "cohort"
    assert one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert DEPLOYMENTS["cohort"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    spread = pod_of("cohort")["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]


def test_labels_lead_to_the_pods_that_are_meant() -> None:
    for name, deployment in DEPLOYMENTS.items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"] == labels, name
    for selector in (
        one("Service")["spec"]["selector"],
        one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one("NetworkPolicy", "to-the-service")["spec"]["podSelector"]["matchLabels"],
        one("ServiceMonitor")["spec"]["selector"]["matchLabels"],
        *(
            each["labelSelector"]["matchLabels"]
            for each in pod_of("cohort")["topologySpreadConstraints"]
        ),
    ):
        assert (
            selector == SERVICE == DEPLOYMENTS["cohort"]["spec"]["template"]["metadata"]["labels"]
        )
    (port,) = one("Service")["spec"]["ports"]
    assert port["targetPort"] == container_of("cohort")["ports"][0]["name"]


def test_all_that_is_not_said_may_not_talk() -> None:
    nobody = one("NetworkPolicy", "nobody")["spec"]
    assert nobody == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (rule,) = one("NetworkPolicy", "to-the-service")["spec"]["ingress"]
    assert rule["from"]
    (name_server, rest) = one("NetworkPolicy", "from-service-and-worker")["spec"]["egress"]
    assert {each["port"] for each in name_server["ports"]} == {53}
    assert {each["port"] for each in rest["ports"]} == {5432, 6379, 443}


def test_the_ingress_leaves_limits_and_keys_to_the_service() -> None:
    ingress = one("Ingress")
    assert ingress["spec"]["tls"]
    annotations = ingress["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-request-buffering"] == "off"
    assert annotations["nginx.ingress.kubernetes.io/proxy-next-upstream"] == "error"
    assert environment_of("cohort")["COHORT_TRUSTED_PROXIES"] == "1"
