"""Generates the stubs from `messages.proto`; needs grpcio-tools, which is a development dependency."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

__all__ = ["generate"]

_HERE = Path(__file__).parent


def generate(target: Path = _HERE) -> int:
    """Write `messages_pb2.py` and `messages_pb2.pyi`.

    Args:
        target: The folder they go to.

    Returns:
        The compiler's exit code.
    """
    from grpc_tools import protoc  # noqa: PLC0415 - a development dependency

    well_known = resources.files("grpc_tools") / "_proto"
    return int(
        protoc.main(
            [
                "protoc",
                f"--proto_path={_HERE}",
                f"--proto_path={well_known}",
                f"--python_out={target}",
                f"--pyi_out={target}",
                str(_HERE / "messages.proto"),
            ]
        )
    )


if __name__ == "__main__":
    sys.exit(generate())
