"""YAML as it is written, and the pieces that every object has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

__all__ = [
    "NAMESPACE",
    "PART_OF",
    "Document",
    "component",
    "flux_kustomization",
    "kustomization",
    "labels",
    "write_yaml",
]

Document = dict[str, Any]

NAMESPACE: Final = "ai-ml"
"""Of the services."""

PART_OF: Final = "ai-platform"

_MADE: Final = "# Written by `make manifests`; change deploy/manifests instead.\n---\n"


class _Dumper(yaml.SafeDumper):
    """Writes lists indented, long texts as blocks, and what is the same twice."""

    def ignore_aliases(self, data: object) -> bool:
        """Write it out each time."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists under their key."""
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def write_yaml(*documents: Document, comment: str = "") -> str:
    """Return documents as one file.

    Args:
        documents: Its documents.
        comment: Lines above the first, without the marks of a comment.
    """
    above = "".join(f"# {line}\n" for line in comment.splitlines())
    texts = (yaml.dump(one, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120) for one in documents)
    return _MADE.replace("---\n", f"{above}---\n") + "---\n".join(texts)


def labels(name: str, *, kind: str = "handler", version: str = "") -> dict[str, str]:
    """Return the labels of every object of an app.

    Args:
        name: Of the app.
        kind: Its component.
        version: Of what runs; empty where nothing does.
    """
    found = {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/component": kind,
        "app.kubernetes.io/part-of": PART_OF,
        "app.kubernetes.io/managed-by": "flux",
    }
    return {**found, "app.kubernetes.io/version": version} if version else found


def kustomization(
    resources: Iterable[str],
    *,
    namespace: str = "",
    components: Iterable[str] = (),
    images: Iterable[Mapping[str, str]] = (),
    files: Mapping[str, tuple[str, ...]] | None = None,
) -> Document:
    """Return a kustomization.

    Args:
        resources: Files and folders.
        namespace: Where everything goes; empty: as each says.
        components: Folders of components.
        images: What images to put in.
        files: ConfigMaps by name, with the files in each.
    """
    found: Document = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    if namespace:
        found["namespace"] = namespace
    found["resources"] = list(resources)
    if files:
        found["configMapGenerator"] = [{"name": name, "files": list(those)} for name, those in files.items()]
        # Reloader restarts what uses it; another name would do so twice.
        found["generatorOptions"] = {"disableNameSuffixHash": True}
    if components := list(components):
        found["components"] = components
    if images := [dict(image) for image in images]:
        found["images"] = images
    return found


def component(resources: Iterable[str] = (), patches: Iterable[Document] = ()) -> Document:
    """Return a kustomize component."""
    found: Document = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
    if resources := list(resources):
        found["resources"] = resources
    if patches := list(patches):
        found["patches"] = patches
    return found


def flux_kustomization(
    name: str,
    *,
    group: str = NAMESPACE,
    depends_on: Iterable[str] = (),
    prune: bool = True,
    checks: Iterable[Document] = (),
) -> Document:
    """Return what has Flux apply an app.

    Args:
        name: Of the app.
        group: Folder of the app, and the namespace it goes to.
        depends_on: What has to be ready before.
        prune: Whether what is no longer in the repository is removed.
        checks: `healthCheckExprs`: how to tell that custom resources are ready.
    """
    spec: Document = {
        "targetNamespace": group,
        "path": f"./kubernetes/apps/{group}/{name}/app",
        "prune": prune,
        "wait": True,
        "interval": "30m",
        "retryInterval": "1m",
        "timeout": "5m",
        "sourceRef": {"kind": "GitRepository", "name": "flux-system", "namespace": "flux-system"},
    }
    if needed := [{"name": one} for one in depends_on]:
        spec["dependsOn"] = needed
    if expressions := list(checks):
        spec["healthCheckExprs"] = expressions
    metadata = {"name": name, "namespace": "flux-system", "labels": labels(name, kind="flux")}
    return {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": metadata, "spec": spec}
