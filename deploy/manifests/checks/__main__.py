"""``python -m deploy.manifests.checks [--crds DIR]``: all that can be said of the manifests without a cluster."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from deploy.manifests.checks import policy
from deploy.manifests.checks.crd_schemas import load_schemas, problems
from deploy.manifests.checks.rendering import Rendered, RenderingError, find_kubectl, render_all


def main() -> int:
    """Check, and say what came of it.

    Returns:
        0 when nothing is wrong.
    """
    parser = argparse.ArgumentParser(prog="make manifests-check", description=__doc__)
    parser.add_argument("--crds", help="folder with CustomResourceDefinitions to validate custom resources against")
    crds: str = parser.parse_args().crds or ""
    kubectl = find_kubectl()
    if not kubectl:
        sys.stderr.write("kubectl is not on this machine: nothing can be rendered, and so nothing was checked.\n")
        return 1
    try:
        rendered = render_all(kubectl)
    except RenderingError as error:
        sys.stderr.write(f"cannot be rendered: {error}\n")
        return 1
    documents = _unique(rendered)
    print(f"rendered: {len(rendered)} kustomizations and components, {len(documents)} objects")
    wrong = _check_built_in(documents)
    wrong += _check_custom(documents, crds)
    for problem in wrong:
        sys.stderr.write(f"{problem}\n")
    return 1 if wrong else 0


def _unique(rendered: list[Rendered]) -> list[dict[str, Any]]:
    """Return each object once, however many components it was rendered with."""
    found = {yaml.safe_dump(one): one for every in rendered for one in every.documents}
    return list(found.values())


def _check_built_in(documents: list[dict[str, Any]]) -> list[str]:
    policy.install()
    with tempfile.TemporaryDirectory(prefix="rendered-") as place:
        folder = Path(place)
        (folder / "all.yaml").write_text(yaml.safe_dump_all(documents), encoding="utf-8")
        schemas = policy.check_schemas(folder)
        policies = policy.check_policies(folder)
    versions = ", ".join(f"{passed} for Kubernetes {version}" for version, passed in schemas.passed.items())
    print(f"kubernetes-validate, strict: {versions}; wrong: {len(schemas.wrong)}")
    print(f"checkov: {policies.passed} passed, {len(policies.failed)} failed, {len(policies.skipped)} skipped")
    return [*schemas.wrong, *policies.failed]


def _check_custom(documents: list[dict[str, Any]], crds: str) -> list[str]:
    if not crds:
        print("custom resources: not validated; CRDS=DIR names a folder with their definitions")
        return []
    schemas = load_schemas(Path(crds))
    wrong, seen = problems(schemas, documents)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(seen.items()))
    print(f"custom resources: {counts}; wrong: {len(wrong)}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
