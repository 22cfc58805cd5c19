"""A process that only searches over REST pays for nothing else."""

from __future__ import annotations

import subprocess
import sys


def test_the_package_loads_no_heavy_library() -> None:
    program = (
        "import sys, handler_base.rag\n"
        "print(*sorted({'pymilvus', 'pandas', 'grpc', 'numpy', 'pypdf', 'google.protobuf'} & set(sys.modules)))"
    )

    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)

    assert found.stdout.split() == []
