"""Every object in the tree is one that its controller understands, and refers to what is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.manifests.declarations import declared_services
from deploy.manifests.documents import kustomization
from deploy.manifests.nats_accounts import SERVICES_MAY_NOT, password_variables
from deploy.manifests.permissions import owned_by_operator, users
from deploy.tests.manifests.models import MODELS, FluxKustomization
from deploy.tests.manifests.tree import KUBERNETES, Document, documents, documents_of

ELSEWHERE = {"PrometheusRule", "GrafanaDashboard", "WorkflowTemplate"}
"""Made and tested with the alerts, the dashboards and the pipelines."""

BUILT_IN = {
    *("ConfigMap", "Deployment", "Namespace", "NetworkPolicy", "PodDisruptionBudget", "Role", "RoleBinding", "Secret"),
    "ServiceAccount",
}
MADE_FROM = ("kustomize.config.k8s.io/v1beta1", "kustomize.config.k8s.io/v1alpha1")
ROOT = KUBERNETES.parents[1]


@pytest.mark.parametrize("kind", sorted(MODELS), ids=lambda kind: kind[1])
def test_custom_resources_have_known_fields_only(kind: tuple[str, str]) -> None:
    ours = [one for path, one in documents() if (one["apiVersion"], one["kind"]) == kind and ours_is(path)]
    for document in ours:
        msgspec.convert(document, MODELS[kind])


def ours_is(path: Path) -> bool:
    return "fleet-observability" not in path.parts


def test_an_unknown_field_is_an_error() -> None:
    document = json.loads(json.dumps(documents_of("ScaledObject")[0]))
    document["spec"]["minReplicas"] = 1
    with pytest.raises(msgspec.ValidationError, match="minReplicas"):
        msgspec.convert(document, MODELS["keda.sh/v1alpha1", "ScaledObject"])


def test_every_kind_is_looked_at() -> None:
    kinds = {one["kind"] for _, one in documents() if one["apiVersion"] not in MADE_FROM}
    assert kinds - {kind for _, kind in MODELS} - BUILT_IN == ELSEWHERE


def test_no_two_objects_have_one_name() -> None:
    seen = set()
    for path, one in documents():
        if one["apiVersion"] in MADE_FROM or "components" in path.relative_to(KUBERNETES).parts:
            continue
        key = (one["kind"], one["metadata"]["name"], path.relative_to(KUBERNETES).parts[1])
        assert key not in seen
        seen.add(key)


def test_kustomizations_name_files_that_exist_and_all_of_them() -> None:
    for path, one in documents():
        if one["apiVersion"] not in MADE_FROM:
            continue
        named = [*one.get("resources", ()), *one.get("components", ()), *one.get("configurations", ())]
        named += [file for made in one.get("configMapGenerator", ()) for file in made["files"]]
        missing = [name for name in named if not (path.parent / name).exists()]
        assert missing == [], path
        beside = {found.name for found in path.parent.iterdir() if found.is_file()} - {path.name}
        assert beside <= set(named), path


def test_flux_finds_each_app_where_it_says() -> None:
    found = [msgspec.convert(one, FluxKustomization) for path, one in flux() if ours_is(path)]
    names = {one.metadata.name for one in found} | {"fleet-observability"}
    for one in found:
        folder = KUBERNETES.parent / one.spec.path.removeprefix("./")
        assert (folder / "kustomization.yaml").exists()
        assert {needed.name for needed in one.spec.depends_on} <= names
        assert one.metadata.namespace == "flux-system"


def flux() -> list[tuple[Path, Document]]:
    return [(path, one) for path, one in documents() if one["apiVersion"].startswith("kustomize.toolkit.fluxcd.io")]


def test_nothing_waits_for_itself() -> None:
    needs = {
        one["metadata"]["name"]: {needed["name"] for needed in one["spec"].get("dependsOn", ())} for _, one in flux()
    }
    done: set[str] = set()
    while left := {name for name in needs if name not in done}:
        free = {name for name in left if needs[name] <= done}
        assert free, f"a circle among {sorted(left)}"
        done |= free


def test_each_secret_that_is_mounted_is_there_in_both_ways() -> None:
    wanted: dict[str, set[str]] = {}
    for one in documents_of("Deployment"):
        pod = one["spec"]["template"]["spec"]
        names = {volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        (container,) = pod["containers"]
        files = {item["value"] for item in container["env"] if item["name"].endswith("_FILE")}
        for mount in container["volumeMounts"]:
            if mount["name"] in names:
                keys = {file.rpartition("/")[2] for file in files if file.startswith(f"{mount['mountPath']}/")}
                wanted.setdefault(names[mount["name"]], set()).update(keys)
    fetched = {one["metadata"]["name"]: {item["secretKey"] for item in one["spec"]["data"]} for one in external()}
    kept = {one["metadata"]["name"]: needed(one) for one in documents_of("Secret")}
    assert wanted
    for name, keys in wanted.items():
        assert keys == fetched[name] == kept[name]
    assert fetched == kept


def needed(secret: Document) -> set[str]:
    """Return the keys a secret in Git has to be given, as it says itself."""
    return set(secret["metadata"]["annotations"]["description"].removeprefix("Needs: ").split(", "))


def external() -> list[Document]:
    return documents_of("ExternalSecret")


def test_no_secret_has_a_value_in_the_repository() -> None:
    values = [one["stringData"] for one in documents_of("Secret") if one["stringData"]]
    assert values == [{"user": "streams"}]


def test_the_release_of_nats_has_the_accounts_and_all_they_need() -> None:
    services = declared_services()
    (values,) = (one["spec"]["values"] for one in documents_of("HelmRelease") if one["metadata"]["name"] == "nats")
    environment: dict[str, Any] = values["container"]["env"]
    assert json.loads(environment[SERVICES_MAY_NOT]) == list(owned_by_operator(services))
    wanted = set(password_variables(users(services)))
    assert wanted <= environment.keys()
    assert all(environment[name]["valueFrom"]["secretKeyRef"]["key"] == name for name in wanted)
    (accounts,) = (one for one in documents_of("Secret") if one["metadata"]["name"] == "nats-accounts")
    assert needed(accounts) == wanted
    copies = [KUBERNETES / "apps/nats/nats/app/accounts.conf", ROOT / "deploy/nats/accounts.conf"]
    assert copies[0].read_bytes() == copies[1].read_bytes()


def test_all_that_the_streams_set_aside_fits_the_servers() -> None:
    (values,) = (one["spec"]["values"] for one in documents_of("HelmRelease") if one["metadata"]["name"] == "nats")
    jetstream = values["config"]["jetstream"]
    room = {
        "file": int(jetstream["fileStore"]["pvc"]["size"].removesuffix("Gi")) * 1024**3,
        "memory": int(jetstream["memoryStore"]["maxSize"].removesuffix("Mi")) * 1024**2,
    }
    for storage, most in room.items():
        kept = [*documents_of("Stream"), *documents_of("ObjectStore")]
        assert 0 < sum(one["spec"]["maxBytes"] for one in kept if one["spec"]["storage"] == storage) <= 0.9 * most


def test_a_kustomization_holds_what_it_is_given() -> None:
    made = kustomization(["a.yaml"], namespace="x", files={"c": ("d.conf",)})
    assert made["namespace"] == "x"
    assert made["generatorOptions"] == {"disableNameSuffixHash": True}
