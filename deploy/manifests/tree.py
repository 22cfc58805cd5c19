"""The folder `deploy/kubernetes`: which object is in which file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.manifests import charts, streams
from deploy.manifests.charts import CHARTS, helm_release, helm_repository, namespace
from deploy.manifests.declarations import declared_services
from deploy.manifests.documents import (
    NAMESPACE,
    Document,
    component,
    flux_kustomization,
    kustomization,
    labels,
    write_yaml,
)
from deploy.manifests.nats_accounts import accounts_conf, password_variables
from deploy.manifests.network import (
    MONITORING_NAMESPACE,
    cilium_policy,
    default_deny,
    network_policy,
    pipelines_policy,
    platform_policy,
)
from deploy.manifests.permissions import OWNER, SYSTEM, User, owned_by_operator, users
from deploy.manifests.profiles import CONFIG, IMAGES
from deploy.manifests.scaling import scaled_object
from deploy.manifests.secrets import SecretValue, eso_files, sops_files
from deploy.manifests.topology import App, apps
from deploy.manifests.workload import (
    CONFIG_MAP,
    SECRETS_AT,
    deployment,
    disruption_budget,
    pod_monitor,
    role,
    service_account,
)
from handler_base.messages.subjects import CLIENT

__all__ = ["kubernetes_files"]

_KEYS: Final = (
    *("VLLM_API_KEY", "EMBEDDINGS_API_KEY", "RERANKER_API_KEY", "WHISPER_API_KEY", "TTS_API_KEY"),
    "MILVUS_TOKEN",
)
_KEYS_SECRET: Final = "ai-services-keys"  # noqa: S105 - a name
_OBSERVABILITY: Final = "fleet-observability"
_PIPELINES: Final = "pipelines"
_ARGO: Final = Path(__file__).resolve().parents[1] / "argo"

_STREAMS_READY: Final[tuple[Document, ...]] = tuple(
    {
        "apiVersion": "jetstream.nats.io/v1beta2",
        "kind": kind,
        "current": "status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')",
        "failed": "status.conditions.exists(c, c.type == 'Ready' && c.status == 'False')",
    }
    for kind in ("Stream", "Consumer", "KeyValue", "ObjectStore")
)


def kubernetes_files() -> Mapping[str, str]:
    """Return the text of every file, by its path below `deploy/kubernetes`."""
    # Of services with their own defaults, not as they are deployed: the same file serves everybody.
    everybody = users(declared_services())
    found: dict[str, str] = {}
    for app in apps():
        found |= _app_files(app)
        found |= _under(f"components/cilium/{app.name}", _cilium_files(app))
    found |= _config_files() | _streams_files() | _pipelines_files() | _nats_files(everybody)
    found |= _chart_files("nack", charts.nack_values(), depends_on=("nats",))
    found |= _chart_files(
        "milvus", charts.milvus_values(), ports=[(19530, [NAMESPACE]), (9091, [MONITORING_NAMESPACE])]
    )
    valkey = [(6379, [NAMESPACE]), (9121, [MONITORING_NAMESPACE])]
    found |= _chart_files("valkey", charts.valkey_values(), ports=valkey, secrets=True)
    for name, secrets in _secrets(everybody).items():
        found |= _under(f"components/secrets-eso/{name}", eso_files(name, secrets))
        found |= _under(f"components/secrets-sops/{name}", sops_files(name, secrets))
    found |= _under("components/api-keys", _api_keys_files())
    return found | _entry_files()


def _under(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}": text for name, text in files.items()}


def _app_files(app: App) -> dict[str, str]:
    files = {
        "deployment.yaml": write_yaml(deployment(app)),
        "serviceaccount.yaml": write_yaml(service_account(app)),
        "poddisruptionbudget.yaml": write_yaml(disruption_budget(app)),
        "networkpolicy.yaml": write_yaml(network_policy(app)),
        "scaledobject.yaml": write_yaml(scaled_object(app)),
        "podmonitor.yaml": write_yaml(pod_monitor(app)),
    }
    if app.profile.token:
        files["role.yaml"] = write_yaml(*role(app))
    image = f"{IMAGES}/{app.image}"
    files["kustomization.yaml"] = write_yaml(
        kustomization(
            sorted(files),
            namespace=NAMESPACE,
            components=[f"../../../../components/secrets-eso/{app.name}"],
            images=[{"name": image, "newName": image, "newTag": app.service.version}],
        )
    )
    needed = (CONFIG_MAP, streams.APP) if app.service.consumers or app.service.buckets else (CONFIG_MAP, "nats")
    flux = write_yaml(flux_kustomization(app.name, depends_on=needed))
    return {f"apps/{NAMESPACE}/{app.name}/ks.yaml": flux, **_under(f"apps/{NAMESPACE}/{app.name}/app", files)}


def _cilium_files(app: App) -> dict[str, str]:
    return {
        "kustomization.yaml": write_yaml(component(["ciliumnetworkpolicy.yaml"])),
        "ciliumnetworkpolicy.yaml": write_yaml(cilium_policy(app)),
    }


def _config_files() -> dict[str, str]:
    config: Document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP, "labels": labels(CONFIG_MAP, kind="config")},
        "data": dict(CONFIG),
    }
    files = {
        "configmap.yaml": write_yaml(config),
        "networkpolicy.yaml": write_yaml(default_deny(CONFIG_MAP), pipelines_policy()),
        "kustomization.yaml": write_yaml(
            kustomization(
                ["configmap.yaml", "networkpolicy.yaml"],
                namespace=NAMESPACE,
                components=[f"../../../../components/secrets-eso/{CONFIG_MAP}"],
            )
        ),
    }
    base = f"apps/{NAMESPACE}/{CONFIG_MAP}"
    return {f"{base}/ks.yaml": write_yaml(flux_kustomization(CONFIG_MAP)), **_under(f"{base}/app", files)}


def _streams_files() -> dict[str, str]:
    services = [app.service for app in apps()]
    resources = streams.stream_resources(
        [consumer for service in services for consumer in service.consumers],
        [bucket for service in services for bucket in service.buckets],
        [store for service in services for store in service.object_stores],
    )
    files = {name: write_yaml(*documents) for name, documents in resources.items()}
    files["kustomization.yaml"] = write_yaml(
        kustomization(
            list(files), namespace=NAMESPACE, components=[f"../../../../components/secrets-eso/{streams.APP}"]
        )
    )
    base = f"apps/{NAMESPACE}/{streams.APP}"
    flux = flux_kustomization(streams.APP, depends_on=("nats", "nack"), prune=False, checks=_STREAMS_READY)
    return {f"{base}/ks.yaml": write_yaml(flux), **_under(f"{base}/app", files)}


def _pipelines_files() -> dict[str, str]:
    """Return the WorkflowTemplates, as they are in `deploy/argo`: there they can be applied without the rest."""
    base = f"apps/{NAMESPACE}/{_PIPELINES}"
    copied = {path.name: path.read_text(encoding="utf-8") for path in sorted(_ARGO.glob("*.yaml"))}
    flux = write_yaml(flux_kustomization(_PIPELINES, depends_on=(CONFIG_MAP,)))
    return {f"{base}/ks.yaml": flux, **_under(f"{base}/app", copied)}


def _nats_files(everybody: tuple[User, ...]) -> dict[str, str]:
    values = charts.nats_values(password_variables(everybody), owned_by_operator(declared_services()))
    ports = [(4222, [NAMESPACE, "nats"]), (8222, ["keda", MONITORING_NAMESPACE]), (7777, [MONITORING_NAMESPACE])]
    files = _chart_files("nats", values, ports=ports, secrets=True, files={"nats-accounts": ("accounts.conf",)})
    return {**files, "apps/nats/nats/app/accounts.conf": accounts_conf(everybody)}


def _chart_files(
    name: str,
    values: dict[str, object],
    *,
    depends_on: tuple[str, ...] = (),
    ports: list[tuple[int, list[str]]] | None = None,
    secrets: bool = False,
    files: Mapping[str, tuple[str, ...]] | None = None,
) -> dict[str, str]:
    chart = CHARTS[name]
    found = {
        "helmrepository.yaml": write_yaml(helm_repository(chart)),
        "helmrelease.yaml": write_yaml(helm_release(chart, values)),
    }
    if ports is not None:
        found["networkpolicy.yaml"] = write_yaml(platform_policy(name, name, ports))
    components = [f"../../../../components/secrets-eso/{name}"] if secrets else []
    found["kustomization.yaml"] = write_yaml(
        kustomization(sorted(found), namespace=chart.group, components=components, files=files)
    )
    flux = write_yaml(flux_kustomization(name, group=chart.group, depends_on=depends_on))
    return {f"apps/{chart.group}/{name}/ks.yaml": flux, **_under(f"apps/{chart.group}/{name}/app", found)}


def _secrets(everybody: tuple[User, ...]) -> dict[str, tuple[SecretValue, ...]]:
    """Return the secrets of each app; a password that two need is one entry of the vault."""
    found = {}
    for app in apps():
        places = {"nats": f"ai-services/nats#{app.name}"}
        found[app.name] = tuple(
            SecretValue(
                f"{app.name}-{secret.kind}",
                {key: places.get(secret.kind, f"ai-services/{secret.kind}#{key}") for key in secret.variables.values()},
            )
            for secret in app.secrets
        )
    names = (*(user.name for user in everybody), SYSTEM)
    passwords = dict(zip(password_variables(everybody), names, strict=True))
    accounts = {variable: f"ai-services/nats#{user}" for variable, user in passwords.items()}
    login = {"user": f"={OWNER}", "password": f"ai-services/nats#{OWNER}"}
    return {
        **found,
        CONFIG_MAP: (SecretValue(f"{_PIPELINES}-nats", {"password": f"ai-services/nats#{CLIENT}"}),),
        _KEYS_SECRET: (SecretValue(_KEYS_SECRET, {key: f"ai-services/keys#{key.lower()}" for key in _KEYS}),),
        "nats": (SecretValue("nats-accounts", accounts),),
        streams.APP: (SecretValue(f"{streams.APP}-nats", login),),
        "valkey": (SecretValue("valkey-users", {"default": "ai-services/valkey#password"}),),
    }


def _api_keys_files() -> dict[str, str]:
    """Return the component that has services use keys, where model servers and Milvus ask for them.

    The secret is not in it: services share one, and of two Flux Kustomizations only one may have an object.
    """
    volume = {"name": "api-keys", "secret": {"secretName": _KEYS_SECRET, "defaultMode": 0o440}}
    mount = {"name": "api-keys", "mountPath": f"{SECRETS_AT}/keys", "readOnly": True}
    container = "/spec/template/spec/containers/0"
    additions: list[tuple[str, Document]] = [
        *((f"{container}/env/-", {"name": f"{key}_FILE", "value": f"{SECRETS_AT}/keys/{key}"}) for key in _KEYS),
        (f"{container}/volumeMounts/-", mount),
        ("/spec/template/spec/volumes/-", volume),
    ]
    patch = [{"op": "add", "path": path, "value": value} for path, value in additions]
    written = write_yaml(patch).split("---\n", 1)[1]  # type: ignore[arg-type]  # a list is YAML, too
    return {"kustomization.yaml": write_yaml(component(patches=[{"target": {"kind": "Deployment"}, "patch": written}]))}


def _entry_files() -> dict[str, str]:
    """Return the namespaces with the apps in each, and what makes Flux look at them."""
    services = [app.name for app in apps()]
    groups: dict[str, list[str]] = {NAMESPACE: [CONFIG_MAP, streams.APP, *services, _PIPELINES, _OBSERVABILITY]}
    for name, chart in CHARTS.items():
        groups.setdefault(chart.group, []).append(name)
    found = {}
    for group, members in groups.items():
        # Milvus, etcd and MinIO of that chart do not run as the strictest level asks.
        level = "baseline" if group == "milvus" else "restricted"
        resources = ["namespace.yaml", *(f"{name}/ks.yaml" for name in members)]
        found[f"apps/{group}/namespace.yaml"] = write_yaml(namespace(group, level=level))
        found[f"apps/{group}/kustomization.yaml"] = write_yaml(kustomization(resources))
    found["apps/kustomization.yaml"] = write_yaml(kustomization(groups))
    entry = flux_kustomization("ai-services")
    entry["spec"] |= {"path": "./kubernetes/apps", "wait": False}
    del entry["spec"]["targetNamespace"]
    found["flux/ai-services.yaml"] = write_yaml(entry)
    return found
