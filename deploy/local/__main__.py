"""Runs the fleet and everything it needs on this machine: ``python -m deploy.local``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Final

from deploy.local.environment import PORTS, read_settings
from deploy.local.ingest import CORPUS
from deploy.local.screen import complain
from deploy.local.stack import run
from handler_base.errors import FleetError

_ROOT: Final = Path(__file__).resolve().parents[2]
_SETTINGS: Final = """\
settings, in the environment or in .env:
  NATS_URL, MILVUS_HOST, REDIS_URL, VLLM_URL, EMBEDDINGS_URL, RERANKER_URL, WHISPER_URL, TTS_URL
                        servers of your own, in place of the local ones
  {ports}
                        ports of the local ones
  LOCAL_DIR             where data and logs are kept; default .local
  LOCAL_CORPUS          documents ingested at the first start; default {corpus}
"""


def main() -> int:
    """Run the local stack until it is told to stop.

    Returns:
        0, or 1 when it could not be brought up; the reason is on stderr.
    """
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local",
        description="Run the fleet and everything it needs on this machine, until Ctrl-C.",
        epilog=_SETTINGS.format(ports=", ".join(PORTS), corpus=CORPUS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    try:
        asyncio.run(run(read_settings(_ROOT)))
    except FleetError as error:
        complain(error.message)
        return 1
    except OSError as error:
        complain(f"{error.filename or 'the local stack'}: {error.strerror}")
        return 1
    except KeyboardInterrupt:  # before there was anything to stop
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
