"""What steps need: an image without the extras of the command and of ingestion can load them all."""

from __future__ import annotations

import subprocess
import sys

MODULES = ("batch_inference", "document_ingestion", "ingestion_plan", "kubeflow", "model_evaluation")
EXTRAS = ("typer", "rich", "prompt_toolkit", "pymilvus", "pypdf", "aiohttp", "numpy", "pandas", "grpc", "msgpack")


def test_steps_are_loaded_where_no_extra_is_installed() -> None:
    code = "\n".join(
        (
            "import sys",
            f"sys.modules.update(dict.fromkeys({EXTRAS}))",
            *(f"import pipeline_bridge.steps.{module}" for module in MODULES),
        )
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=25)
    assert done.returncode == 0, done.stderr
