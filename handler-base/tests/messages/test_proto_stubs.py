from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from handler_base.messages import proto
from handler_base.messages.proto.generate import generate

HERE = Path(str(proto.__file__)).parent


@pytest.mark.parametrize("name", ["messages_pb2.py", "messages_pb2.pyi"])
def test_the_stubs_are_those_of_the_proto_file(name: str, tmp_path: Path) -> None:
    assert generate(tmp_path) == 0
    assert (tmp_path / name).read_text() == (HERE / name).read_text(), "run `make proto`"


def test_the_runtime_takes_the_stubs_without_a_warning() -> None:
    code = "import handler_base.messages.proto.messages_pb2"
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("module", ["google.protobuf", "msgpack", "aiohttp", "nats"])
def test_messages_load_without_what_they_may_never_need(module: str) -> None:
    code = f"""
import sys
from handler_base.messages import ChatRequest, decode, encode, subjects, streams
decode(ChatRequest, encode(ChatRequest(message="hello")))
assert {module!r} not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
