"""What heavy libraries a process loads, and when."""

from __future__ import annotations

import subprocess
import sys

_STORE = """
import asyncio, sys
from handler_base.rag import PyMilvusStore
from handler_base.telemetry import metrics
from handler_base.testing.waiting import wait_until

def imported():
    return hasattr(sys.modules.get("pymilvus"), "MilvusClient")

store = PyMilvusStore("http://127.0.0.1:1")
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=25)


def test_the_package_loads_no_heavy_library() -> None:
    program = (
        "import sys, handler_base.rag\n"
        "print(*sorted({'pymilvus', 'pandas', 'grpc', 'numpy', 'pypdf', 'google.protobuf'} & set(sys.modules)))"
    )

    assert run(program).stdout.split() == []


def test_an_open_store_imports_pymilvus_before_it_is_asked() -> None:
    program = """
async def main():
    print(imported())
    await store.open()
    print(imported())
    await wait_until(imported, timeout=20)
    print(imported())
    await store.close()

asyncio.run(main())
"""

    assert run(_STORE + program).stdout.split() == ["False", "False", "True"]


def test_closing_waits_for_the_import() -> None:
    program = """
async def main():
    await store.open()
    await store.close()
    print(imported())

asyncio.run(main())
"""

    assert run(_STORE + program).stdout.split() == ["True"]


def test_an_import_that_fails_is_told_and_keeps_no_store_from_opening() -> None:
    program = """
async def main():
    sys.modules["pymilvus"] = None
    await store.open()
    await store.close()
    counted = [line for line in metrics.render().decode().splitlines() if "milvus_import" in line]
    print("closed", *[line.split()[-1] for line in counted if "created" not in line])

asyncio.run(main())
"""

    ran = run(_STORE + program)

    assert ran.stdout.split() == ["closed", "1.0"]
    assert "pymilvus cannot be imported" in ran.stderr
