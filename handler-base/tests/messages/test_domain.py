from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_base.errors import InternalError, InvalidRequestError, UnsupportedFormatError
from handler_base.messages.domain import AudioFormat, RunState, check_artifact_uri, check_transcript


@pytest.mark.parametrize("name", ["wav", "webm", "mp3", "WAV", "Mp3"])
def test_audio_is_wav_webm_or_mp3(name: str) -> None:
    assert AudioFormat.named(name) == name.lower()


@pytest.mark.parametrize("name", ["", "ogg", "wav ", "../wav", "mp4"])
def test_other_audio_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedFormatError):
        AudioFormat.named(name)


@given(st.lists(st.sampled_from(RunState), max_size=6))
def test_a_run_never_goes_back(steps: list[RunState]) -> None:
    order = [RunState.PENDING, RunState.RUNNING, RunState.SUCCEEDED, RunState.FAILED]
    state = RunState.PENDING
    for step in steps:
        if state.may_become(step):
            assert order.index(step) > order.index(state)
            assert not state.final
            state = state.then(step)
        else:
            with pytest.raises(InternalError):
                state.then(step)
    assert state.final == (state in {RunState.SUCCEEDED, RunState.FAILED})


def test_a_run_that_ended_stays_so() -> None:
    assert not RunState.SUCCEEDED.may_become(RunState.FAILED)
    assert not RunState.FAILED.may_become(RunState.SUCCEEDED)


@pytest.mark.parametrize("uri", ["s3://models/run-7/model.tar.gz", "s3://abc/x", "s3://a.b-c/deep/er/key"])
def test_an_artifact_lies_in_a_bucket(uri: str) -> None:
    assert check_artifact_uri(uri) == uri


@pytest.mark.parametrize(
    "uri",
    ["", "s3://", "s3://bucket", "s3://bucket/", "s3://ab/x", "s3://Bucket/x", "http://bucket/x", "s3://bucket/a b",
     "s3://bucket/../x", "s3://bucket//x", "file:///etc/passwd", "s3://bucket/x\n"],
)  # fmt: skip
def test_other_addresses_are_refused(uri: str) -> None:
    with pytest.raises(InvalidRequestError):
        check_artifact_uri(uri)


def test_a_transcript_of_speech_is_not_empty() -> None:
    assert check_transcript(" When does the ferry leave?\n") == "When does the ferry leave?"
    with pytest.raises(InvalidRequestError):
        check_transcript(" \n")
