"""The same secrets in two ways: fetched by External Secrets, or kept in Git, encrypted by SOPS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from deploy.manifests.documents import Document, component, labels, write_yaml

__all__ = ["SecretValue", "eso_files", "sops_files"]

_STORE: Final = "ai-services"
"""Name of the ClusterSecretStore; the operator makes one of that name."""

_SOPS_NOTE: Final = """\
Give each secret its values under stringData, then encrypt the file: sops --encrypt --in-place secrets.sops.yaml
A value is missing here rather than empty: pods wait for what is missing, and NATS takes an empty password for one."""


@dataclass(frozen=True, slots=True)
class SecretValue:
    """A secret of an app.

    Attributes:
        name: Of the secret.
        keys: Its keys, each with the entry and the property of the vault that hold the value; a key that is public has
            the value itself, behind ``=``.
    """

    name: str
    keys: Mapping[str, str]


def eso_files(app: str, secrets: tuple[SecretValue, ...]) -> dict[str, str]:
    """Return the component that fetches the secrets."""
    documents = [_external(app, secret) for secret in secrets]
    return {
        "kustomization.yaml": write_yaml(component(["externalsecrets.yaml"])),
        "externalsecrets.yaml": write_yaml(*documents),
    }


def sops_files(app: str, secrets: tuple[SecretValue, ...]) -> dict[str, str]:
    """Return the component that has the secrets in Git."""
    documents = [_plain(app, secret) for secret in secrets]
    return {
        "kustomization.yaml": write_yaml(component(["secrets.sops.yaml"])),
        "secrets.sops.yaml": write_yaml(*documents, comment=_SOPS_NOTE),
    }


def _external(app: str, secret: SecretValue) -> Document:
    fetched = {key: place for key, place in secret.keys.items() if not place.startswith("=")}
    template: Document = {"engineVersion": "v2", "metadata": {"labels": labels(app, kind="secret")}}
    fixed = {key: place[1:] for key, place in secret.keys.items() if place.startswith("=")}
    if fixed:
        template["data"] = {**fixed, **{key: f"{{{{ .{key} }}}}" for key in fetched}}
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": {"name": secret.name, "labels": labels(app, kind="secret")},
        "spec": {
            "refreshInterval": "1h",
            "secretStoreRef": {"kind": "ClusterSecretStore", "name": _STORE},
            "target": {"name": secret.name, "creationPolicy": "Owner", "template": template},
            "data": [{"secretKey": key, "remoteRef": _remote(place)} for key, place in fetched.items()],
        },
    }


def _remote(place: str) -> dict[str, str]:
    entry, _, name = place.partition("#")
    return {"key": entry, "property": name}


def _plain(app: str, secret: SecretValue) -> Document:
    """Return a secret with what is public of it; what belongs in it besides is told in a note."""
    missing = [key for key, place in secret.keys.items() if not place.startswith("=")]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret.name,
            "labels": labels(app, kind="secret"),
            "annotations": {"description": f"Needs: {', '.join(missing)}"},
        },
        "type": "Opaque",
        "stringData": {key: place[1:] for key, place in secret.keys.items() if place.startswith("=")},
    }
