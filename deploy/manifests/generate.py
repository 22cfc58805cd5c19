"""Every file that is written from the declarations, by its path; ``python -m deploy.manifests`` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from deploy.manifests.declarations import declared_services
from deploy.manifests.nats_accounts import accounts_conf
from deploy.manifests.permissions import owned_by_operator, users
from deploy.manifests.permissions_page import permissions_page
from deploy.manifests.tree import kubernetes_files

__all__ = ["ROOT", "generated", "stale", "write"]

ROOT: Final = Path(__file__).resolve().parents[2]

_KUBERNETES: Final = "deploy/kubernetes"
_MARK: Final = "# Written by `make manifests`; change deploy/manifests"
"""How files begin that nobody wrote by hand."""


@cache
def generated() -> Mapping[str, str]:
    """Return the text of each file, by its path from the root of the checkout."""
    services = declared_services()
    everybody = users(services)
    return {
        "deploy/nats/accounts.conf": accounts_conf(everybody),
        "docs/permissions.md": permissions_page(everybody, owned_by_operator(services)),
        **{f"{_KUBERNETES}/{path}": text for path, text in kubernetes_files().items()},
    }


def stale(root: Path = ROOT) -> list[str]:
    """Return the files that are not as the declarations say, and those that should not be there.

    Args:
        root: Of the checkout.
    """
    wanted = generated()
    differing = {path for path, text in wanted.items() if _read(root / path) != text}
    written = (path for path in (root / _KUBERNETES).rglob("*.yaml") if _read(path).startswith(_MARK))
    left = {str(path.relative_to(root)) for path in written} - wanted.keys()
    return sorted(differing | left)


def write(root: Path = ROOT) -> list[str]:
    """Write what is not as the declarations say, and remove what is left over; return the files that changed.

    Args:
        root: Of the checkout.
    """
    wanted = generated()
    changed = stale(root)
    for path in changed:
        place = root / path
        if path not in wanted:
            place.unlink()
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(wanted[path], encoding="utf-8")
    return changed


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
