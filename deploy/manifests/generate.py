"""Every file that is written from the declarations, by its path; ``python -m deploy.manifests`` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.manifests.declarations import declared_services
from deploy.manifests.nats_accounts import accounts_conf
from deploy.manifests.permissions import owned_by_operator, users
from deploy.manifests.permissions_page import permissions_page

__all__ = ["ROOT", "generated", "stale", "write"]

ROOT: Final = Path(__file__).resolve().parents[2]


def generated() -> Mapping[str, str]:
    """Return the text of each file, by its path from the root of the checkout."""
    services = declared_services()
    everybody = users(services)
    return {
        "deploy/nats/accounts.conf": accounts_conf(everybody),
        "docs/permissions.md": permissions_page(everybody, owned_by_operator(services)),
    }


def stale(root: Path = ROOT) -> list[str]:
    """Return the files that are not as the declarations say, and those that should not be there.

    Args:
        root: Of the checkout.
    """
    wanted = generated()
    return sorted(path for path, text in wanted.items() if _read(root / path) != text)


def write(root: Path = ROOT) -> list[str]:
    """Write what is not as the declarations say; return the files that changed.

    Args:
        root: Of the checkout.
    """
    wanted = generated()
    changed = stale(root)
    for path in changed:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(wanted[path], encoding="utf-8")
    return changed


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
