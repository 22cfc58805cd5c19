"""Reading a hostile body: refused with a typed error, at a cost that is bounded by its size."""

from __future__ import annotations

import gc
import sys
import time
from datetime import timedelta
from functools import partial

import pytest

from chat_handler import ChatHandler
from deploy.tests.hostile.bodies import Body, harmful, huge, unreadable
from handler_base.handler import Endpoint, endpoints_of
from handler_base.handler.question import Question, read_question
from handler_base.messages.subjects import Subject
from pipeline_bridge import PipelineBridge
from voice_assistant import VoiceHandler

SMALL = 64 * 1024
"""Bytes that every subject takes."""

TARGETS = [
    pytest.param(endpoint, subject, id=subject.template)
    for handler in (ChatHandler, PipelineBridge, VoiceHandler)
    for endpoint in endpoints_of(handler)
    for subject in (*endpoint.core, *endpoint.durable)
]


def read(endpoint: Endpoint, subject: Subject, body: Body) -> Question:
    name = subject.format(**dict.fromkeys(subject.placeholders, "ann"))
    return read_question(endpoint, subject, name, body.payload, body.headers, reply="", budget=timedelta(seconds=1))


@pytest.mark.parametrize(("endpoint", "subject"), TARGETS)
def test_what_cannot_be_read_has_a_typed_error(endpoint: Endpoint, subject: Subject) -> None:
    # A recording may be as large as a message: on its subjects a large body is one like others.
    bodies = [
        body
        for body in (*unreadable(endpoint.schema), *huge())
        if len(body.payload) <= SMALL or len(body.payload) > subject.max_bytes
    ]
    wrong = {
        body.name: question.error
        for body in bodies
        if (question := read(endpoint, subject, body)).error is None or question.error.code not in {400, 413, 415}
    }
    assert wrong == {}


@pytest.mark.parametrize(("endpoint", "subject"), TARGETS)
def test_reading_costs_no_more_than_an_event_loop_can_spare(endpoint: Endpoint, subject: Subject) -> None:
    slow = {}
    # A recording may be as large as a message, and is read to its end.
    most = 0.025 if subject.max_bytes <= SMALL else 0.05
    for body in (*unreadable(endpoint.schema), *harmful(), *huge()):
        seconds = min(_cost(partial(read, endpoint, subject, body)) for _ in range(3))
        if seconds > most:
            slow[body.name] = seconds
    assert slow == {}


def _cost(call: partial[Question]) -> float:
    """Seconds of CPU, which other programs on the machine do not add to."""
    began = time.thread_time()
    call()
    return time.thread_time() - began


@pytest.mark.parametrize(("endpoint", "subject"), TARGETS)
def test_the_error_of_a_body_does_not_hold_it(endpoint: Endpoint, subject: Subject) -> None:
    gc.collect()
    gc.disable()
    try:
        for body in (*unreadable(endpoint.schema), *huge()):
            holders = sys.getrefcount(body.payload)
            read(endpoint, subject, body)
            left = sys.getrefcount(body.payload)
            assert left == holders, body.name
    finally:
        gc.enable()
