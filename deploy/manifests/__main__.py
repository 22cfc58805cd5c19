"""``python -m deploy.manifests``: writes what an operator needs from what the services declare."""

from __future__ import annotations

import sys

from deploy.manifests.generate import write

if __name__ == "__main__":
    changed = write()
    print("\n".join(changed) if changed else "Everything is as the services declare.")
    sys.exit(0)
