"""Compiles the pipelines to their intermediate representation, beside this file; runs in the environment of KFP."""

import hashlib
import sys
from pathlib import Path

from kfp import compiler

HERE = Path(__file__).resolve().parent
# The checkout is not installed beside KFP.
sys.path.insert(0, str(HERE.parents[1]))

from deploy.kubeflow.pipelines import PIPELINES  # noqa: E402 - see above


def main() -> None:
    """Write a file for each pipeline, which says what it was made from."""
    digest = hashlib.sha256((HERE / "pipelines.py").read_bytes()).hexdigest()
    for name, pipeline in PIPELINES.items():
        path = HERE / f"{name}.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        made = path.read_text("utf-8")
        path.write_text(f"# Written by `make pipelines`. SHA-256 of pipelines.py: {digest}\n{made}", "utf-8")
        print(f"wrote deploy/kubeflow/{name}.yaml")


if __name__ == "__main__":
    main()
