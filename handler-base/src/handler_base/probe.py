"""Asks a service of this container how it is: ``python -m handler_base.probe ready``; for containers without a shell.

Only the standard library is used: a probe runs every few seconds, and importing costs more than asking.
"""

from __future__ import annotations

import http.client
import os
import sys

__all__ = ["probe"]

_USAGE = 2


def probe(path: str, port: int, timeout: float = 4.0) -> int:
    """Ask once.

    Args:
        path: Such as `ready` or `health`.
        port: On 127.0.0.1.
        timeout: Seconds.

    Returns:
        0 when the answer is 200; 1 when it is another, which is printed, or when there is none.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", f"/{path}")
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        said = f"nothing answers on port {port}: {type(error).__name__}"
    else:
        if answer.status == http.client.OK:
            return 0
    finally:
        connection.close()
    print(said)  # noqa: T201 - the engine keeps it with the container's state
    return 1


def _main(arguments: list[str]) -> int:
    path = arguments[0] if arguments else "ready"
    port = arguments[1] if len(arguments) > 1 else os.environ.get("HEALTH_PORT") or "8080"
    if not port.isascii() or not port.isdigit():
        print(f"{port} is not a port", file=sys.stderr)  # noqa: T201
        return _USAGE
    return probe(path, int(port))


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
