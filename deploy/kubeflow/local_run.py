"""Runs the compiled pipelines with KFP's local runner; in the environment of KFP, started by ``check.py``.

The runner takes Python components only, as it cannot know what is in an image. Here the image is known: it is the
environment of the checkout, named by its Python in the first argument. So two things differ from how KFP ships it: the
refusal of containers is lifted, and the artifacts a step declares are collected, as the launcher in a cluster does it,
where the runner takes those alone that a Python component tells of. What runs are the files that a cluster gets.
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

from kfp import components, local
from kfp.local import executor_output_utils, subprocess_task_handler

HERE = Path(__file__).resolve().parent


_outputs = executor_output_utils.get_outputs_from_executor_output


def _with_artifacts(executor_output: Any, executor_input: Any, component_spec: Any) -> Any:  # noqa: ANN401 - of KFP
    for name, artifacts in executor_input.outputs.artifacts.items():
        if name not in executor_output.artifacts:
            executor_output.artifacts[name].CopyFrom(artifacts)
    return _outputs(executor_output=executor_output, executor_input=executor_input, component_spec=component_spec)


def main(python: str, pipeline: str, arguments: dict[str, object]) -> None:
    """Run a pipeline and print its outputs as the last line, in JSON."""
    with tempfile.TemporaryDirectory() as root:
        local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=root)
        # The runner starts `python3` of a command as its own Python.
        with (
            mock.patch.object(sys, "executable", python),
            mock.patch.object(
                subprocess_task_handler.SubprocessTaskHandler, "validate_not_container_component", return_value=None
            ),
            mock.patch.object(executor_output_utils, "get_outputs_from_executor_output", _with_artifacts),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message="You may be attemping to run a task", category=RuntimeWarning)
            loaded = components.load_component_from_file(str(HERE / f"{pipeline}.yaml"))
            task = loaded(**arguments)
        print(json.dumps({name: _told(value) for name, value in task.outputs.items()}))


def _told(output: object) -> object:
    """Return a parameter as it is, and of an artifact how many bytes it has and how they begin."""
    path = getattr(output, "path", None)
    if path is None:
        return output
    content = Path(path).read_bytes()
    return {"bytes": len(content), "begins": content[:4].decode("latin-1")}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
