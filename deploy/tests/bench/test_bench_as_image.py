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
