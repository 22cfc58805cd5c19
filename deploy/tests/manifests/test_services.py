"""Each service is deployed by the conventions, hardened, scaled by what it pulls, and set up with real settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.manifests.declarations import Declared, declared_services
from deploy.manifests.topology import apps
from deploy.tests.manifests.tree import APPS, Document, app_document, documents_of
from handler_base.config import Settings
from handler_base.messages.streams import STREAMS

SERVICES = {service.name: service for service in declared_services()}
NAMES = tuple(SERVICES)
FILES = {
    *("deployment.yaml", "kustomization.yaml", "networkpolicy.yaml", "poddisruptionbudget.yaml", "podmonitor.yaml"),
    *("scaledobject.yaml", "serviceaccount.yaml"),
}
OF_THE_POD = {"POD_NAME", "NODE_NAME"}

pytestmark = pytest.mark.parametrize("name", NAMES)


def pod(name: str) -> Document:
    found: Document = app_document(name, "Deployment")["spec"]["template"]["spec"]
    return found


def container(name: str) -> Document:
    (found,) = pod(name)["containers"]
    return dict(found)


def test_it_has_its_folder(name: str) -> None:
    files = {path.name for path in (APPS / name / "app").iterdir()}
    assert files == FILES | ({"role.yaml"} if name == "pipeline-bridge" else set())
    assert (APPS / name / "ks.yaml").exists()


def test_it_bears_the_labels(name: str) -> None:
    deployment = app_document(name, "Deployment")
    wanted = {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/component": "handler",
        "app.kubernetes.io/part-of": "ai-platform",
        "app.kubernetes.io/version": SERVICES[name].version,
        "app.kubernetes.io/managed-by": "flux",
    }
    assert deployment["metadata"]["labels"] == deployment["spec"]["template"]["metadata"]["labels"] == wanted
    assert deployment["metadata"]["annotations"]["reloader.stakater.com/auto"] == "true"
    assert deployment["metadata"]["annotations"]["description"]


def test_it_is_probed_and_bounded_by_the_conventions(name: str) -> None:
    one = container(name)
    assert one["resources"]["requests"] == {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "64Mi"}
    assert one["resources"]["limits"] == {"cpu": "500m", "memory": "512Mi", "ephemeral-storage": "256Mi"}
    assert one["ports"] == [{"name": "health", "containerPort": 8080, "protocol": "TCP"}]
    for probe, path, delay, period in (("livenessProbe", "/health", 10, 30), ("readinessProbe", "/ready", 5, 10)):
        assert one[probe]["httpGet"] == {"path": path, "port": "health"}
        assert (one[probe]["initialDelaySeconds"], one[probe]["periodSeconds"]) == (delay, period)


def test_its_image_has_a_version(name: str) -> None:
    image = container(name)["image"]
    assert re.fullmatch(r"registry\.example\.com/ai-services/[a-z-]+:\d+\.\d+\.\d+", image)


def test_it_is_hardened(name: str) -> None:
    inside, outside = container(name)["securityContext"], pod(name)["securityContext"]
    assert inside["capabilities"] == {"drop": ["ALL"]}
    assert (inside["readOnlyRootFilesystem"], inside["allowPrivilegeEscalation"], inside["privileged"]) == (
        *(True, False),
        False,
    )
    assert outside["runAsNonRoot"] is True
    assert min(outside["runAsUser"], outside["runAsGroup"]) > 10_000
    assert outside["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(name)["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod(name).keys()
    written = [mount for mount in container(name)["volumeMounts"] if not mount.get("readOnly")]
    assert [mount["mountPath"] for mount in written] == ["/tmp"]  # noqa: S108 - of a container


def test_only_the_pipeline_bridge_has_a_token_and_a_role(name: str) -> None:
    projected = [volume for volume in pod(name)["volumes"] if "projected" in volume]
    assert pod(name)["automountServiceAccountToken"] is False
    assert app_document(name, "ServiceAccount")["automountServiceAccountToken"] is False
    assert bool(projected) == (name == "pipeline-bridge")
    roles = {one["metadata"]["name"]: one["rules"] for one in documents_of("Role")}
    assert roles.keys() == {"pipeline-bridge", "pipelines"}, "the second is that of the runs, not of a service"
    rules = roles["pipeline-bridge"]
    assert "*" not in str(rules)
    assert {resource for rule in rules for resource in rule["resources"]} == {"workflows", "workflowtemplates"}


def test_what_selects_its_pods_selects_them(name: str) -> None:
    labels = app_document(name, "Deployment")["spec"]["template"]["metadata"]["labels"]
    wanted = {key: labels[key] for key in ("app.kubernetes.io/name", "app.kubernetes.io/instance")}
    assert app_document(name, "Deployment")["spec"]["selector"]["matchLabels"] == wanted
    assert app_document(name, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == wanted
    assert app_document(name, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == wanted
    assert app_document(name, "PodMonitor")["spec"]["selector"]["matchLabels"] == wanted
    (spread,) = pod(name)["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == wanted
    assert app_document(name, "PodDisruptionBudget")["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_its_variables_are_settings_of_the_service(name: str) -> None:
    known = {field.upper() for field in type(SERVICES[name].settings).model_fields}
    if SERVICES[name].handler is None:
        return
    named = {item["name"].removesuffix("_FILE") for item in container(name)["env"]} - OF_THE_POD
    assert named <= known
    assert not [item for item in container(name)["env"] if "PASSWORD" in item["name"] and "_FILE" not in item["name"]]


def test_the_common_settings_are_settings(name: str) -> None:
    del name
    config = app_document("ai-services-config", "ConfigMap")
    known = {field.upper() for service in SERVICES.values() for field in type(service.settings).model_fields}
    assert config["data"].keys() <= known
    assert config["data"]["STREAMS_MODE"] == "verify"


def test_its_settings_are_valid(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the pod gets is what the service accepts, secrets in files included."""
    config = app_document("ai-services-config", "ConfigMap")
    secret = tmp_path / "secret"
    secret.write_text("redis://:x@valkey:6379/0", encoding="utf-8")
    values = dict(config["data"])
    for item in container(name)["env"]:
        if "value" in item:
            values[item["name"]] = str(secret) if item["name"].endswith("_FILE") else item["value"]
    for key, value in values.items():
        monkeypatch.setenv(key, value)
    settings: Settings = type(SERVICES[name].settings)()
    assert settings.nats_user == name
    assert settings.nats_password.get_secret_value()
    assert settings.streams_mode == "verify"


def test_its_end_leaves_time_for_what_it_does(name: str) -> None:
    (app,) = (one for one in apps() if one.name == name)
    drain = next(item["value"] for item in container(name)["env"] if item["name"] == "DRAIN_TIMEOUT")
    assert int(drain) == app.lifecycle.drain_timeout >= 25
    assert pod(name)["terminationGracePeriodSeconds"] == app.lifecycle.grace >= int(drain) + 10


def test_it_is_scaled_by_consumers_that_are_made(name: str) -> None:
    scaled = app_document(name, "ScaledObject")["spec"]
    made = {(one["spec"]["streamName"], one["spec"]["durableName"]) for one in documents_of("Consumer")}
    pulled = {(one.stream, one.durable) for one in deployed(name).consumers}
    lags = [trigger["metadata"] for trigger in scaled["triggers"] if trigger["type"] == "nats-jetstream"]
    assert {(one["stream"], one["consumer"]) for one in lags} == pulled <= made
    assert scaled["scaleTargetRef"]["name"] == name
    assert scaled["minReplicaCount"] >= 1, "questions on core NATS wait for nobody"
    assert "replicas" not in app_document(name, "Deployment")["spec"], "the scaler and Flux would fight"
    assert ("fallback" in scaled) == bool(lags)
    for one in lags:
        assert one["natsServerMonitoringEndpoint"].startswith("nats-headless."), "the leader is asked by its own name"
        assert one["account"] == "AI"


def deployed(name: str) -> Declared:
    return next(app.service for app in apps() if app.name == name)


def test_its_streams_and_consumers_are_made_as_the_code_says(name: str) -> None:
    consumers = {
        (one["spec"]["streamName"], one["spec"]["durableName"]): one["spec"] for one in documents_of("Consumer")
    }
    for wanted in deployed(name).consumers:
        spec = consumers[wanted.stream, wanted.durable]
        filters = spec.get("filterSubjects") or [spec["filterSubject"]]
        assert tuple(filters) == wanted.filter_subjects
        assert spec["ackWait"] == f"{int(wanted.ack_wait.total_seconds())}s"
        assert (spec["maxDeliver"], spec["maxAckPending"]) == (wanted.max_deliver, wanted.max_ack_pending)
        assert (spec["deliverPolicy"], spec.get("description", "")) == (wanted.deliver, wanted.description)
    streams = {one["spec"]["name"]: one for one in documents_of("Stream")}
    assert {stream.name: list(stream.subjects) for stream in STREAMS} == {
        stream: one["spec"]["subjects"] for stream, one in streams.items()
    }
    kept = [*streams.values(), *documents_of("Consumer"), *documents_of("KeyValue"), *documents_of("ObjectStore")]
    for one in kept:
        assert one["metadata"]["annotations"] == {"kustomize.toolkit.fluxcd.io/prune": "disabled"}
    assert {one["spec"]["bucket"] for one in documents_of("KeyValue")} >= {one.name for one in deployed(name).buckets}


def test_it_reaches_what_its_settings_point_at_and_nothing_else(name: str) -> None:
    policy = app_document(name, "NetworkPolicy")["spec"]
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    reached = {str(rule["to"]) for rule in policy["egress"]}
    assert "ipBlock" not in str(policy)
    assert any("'nats'" in one for one in reached)
    assert any("kube-dns" in one for one in reached)
    assert ("argo" in str(reached)) == (name == "pipeline-bridge")
    (heard,) = policy["ingress"]
    assert heard["ports"] == [{"protocol": "TCP", "port": 8080}]
