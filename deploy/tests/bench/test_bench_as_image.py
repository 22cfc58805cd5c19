"""What a service's image has, and what is hidden from a service that is measured as one."""

import os
import subprocess
import sys

from deploy.bench.as_image import HIDDEN_VARIABLE, hidden_packages, required_distributions
from deploy.bench.process import ROOT


def test_an_image_has_the_extras_that_are_asked_for_and_no_others() -> None:
    needed = required_distributions("chat-handler")
    assert {"chat-handler", "handler-base", "nats-py", "nkeys", "httptools"} <= needed
    assert needed.isdisjoint({"aiohttp", "pymilvus", "pytest", "typer"})


def test_what_the_image_lacks_is_hidden() -> None:
    hidden = hidden_packages("chat-handler")
    assert {"aiohttp", "pymilvus", "pytest"} <= set(hidden)
    assert {"handler_base", "chat_handler", "httptools", "nats"}.isdisjoint(hidden)


def test_the_light_image_has_a_detector_without_a_model_and_the_full_one_all() -> None:
    light, full = set(hidden_packages("stt-module")), set(hidden_packages("stt-module-full"))
    assert {"onnxruntime", "silero_vad", "av"} <= light
    assert {"webrtcvad", "numpy", "stt_module"}.isdisjoint(light)
    assert {"onnxruntime", "silero_vad", "av", "webrtcvad"}.isdisjoint(full)


def test_a_hidden_package_cannot_be_imported() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "deploy.bench.as_image", "this", "argument"],
        env={**os.environ, HIDDEN_VARIABLE: "this,that"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert found.returncode == 1
    assert "No module named 'this'" in found.stderr
