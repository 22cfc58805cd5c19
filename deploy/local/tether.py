"""Becomes another program that the kernel kills when its parent dies: ``python -IS tether.py PARENT COMMAND...``.

A child cannot ask for this before it is a process of its own, and what it asked for stays through exec. Where the
kernel has no such service (outside Linux) the program simply runs. Only the standard library is at hand here.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Tie the process to its parent, and become the program."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - costs time, and there is nothing to call elsewhere

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != int(parent):  # it died in the meantime: nobody would tell us
            raise SystemExit(1)
    os.execv(command[0], command)  # noqa: S606 - there is no shell to be had here


if __name__ == "__main__":
    main()
