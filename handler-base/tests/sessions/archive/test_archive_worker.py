"""From the stream of domain events into the archive, each message once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest

from handler_base.messages import DomainEvent, encode
from handler_base.messages.streams import AI_EVENTS
from handler_base.messages.subjects import CHAT_EVENT, PIPELINE_EVENT, VOICE_EVENT
from handler_base.sessions.archive.worker import DURABLE
from handler_base.sessions.conversation import ChatMessage
from handler_base.telemetry import metrics
from handler_base.testing.archive_bench import ArchiveBench, DifficultArchive, said
from handler_base.testing.nats_server import NatsServer
from handler_base.testing.waiting import wait_until

MakeMessage = Callable[..., ChatMessage]

QUESTION = CHAT_EVENT.format(name="message_received")
ANSWER = CHAT_EVENT.format(name="response_generated")


@pytest.fixture
async def bench(archive_url: str) -> AsyncIterator[ArchiveBench]:
    with NatsServer() as nats:
        async with ArchiveBench(nats.url, DifficultArchive(archive_url)) as made:
            yield made


async def test_what_is_said_is_archived_and_told(bench: ArchiveBench) -> None:
    worker = await bench.start()
    assert worker.trouble == ""
    ids = await bench.tell(0, 1)
    await bench.all_finished()

    question, answer = await bench.archive.messages("ann", "s1")
    assert (question.id, question.role, question.content) == (ids[0], "user", "text 0")
    assert (answer.id, answer.role, answer.content) == (ids[1], "assistant", "text 1")
    assert question.position < answer.position
    first, second = await bench.stored_events()
    assert first.id == f"{ids[0]}/stored"
    assert (first.user_id, first.session_id, first.request_id) == ("ann", "s1", "r0")
    assert first.data == {"message_id": ids[0], "role": "user"}
    assert second.data == {"message_id": ids[1], "role": "assistant"}
    assert (bench.told[0].headers or {})["Message-Type"] == "messages.v1.DomainEvent"
    assert (bench.told[0].headers or {})["Content-Type"] == "application/msgpack"


async def test_what_was_said_before_the_first_start_is_archived_too(bench: ArchiveBench) -> None:
    ids = await bench.tell(*range(4))
    await bench.start()
    await wait_until(lambda: bench.archive.batches)
    await bench.all_finished()
    assert await bench.archived() == ids


async def test_other_events_are_left_alone(bench: ArchiveBench) -> None:
    await bench.start()
    other = DomainEvent(id="ann/r0/user_login", name="user_login", user_id="ann", data={"text": "x"})
    await bench.publish(CHAT_EVENT.format(name="user_login"), encode(other))
    ids = await bench.tell(0)
    await bench.all_finished()
    assert bench.archive.batches == [ids]


async def test_a_step_of_a_spoken_question_without_text_is_no_dead_letter(bench: ArchiveBench) -> None:
    await bench.start()
    name = "transcription_completed"
    heard = DomainEvent(id=f"-/u1/{name}", name=name, session_id="live-1", request_id="u1", data={"characters": 4})
    await bench.publish(VOICE_EVENT.format(name=name), encode(heard))
    ids = await bench.tell(0)
    await bench.all_finished()
    assert bench.archive.batches == [ids]
    assert await bench.dead_letters() == []


async def test_messages_are_written_in_batches(bench: ArchiveBench) -> None:
    before = metrics.ARCHIVED_MESSAGES._value.get()
    ids = await bench.tell(*range(200))
    await bench.start(archive_batch=50, archive_flush=5)
    await bench.all_finished()
    assert [len(batch) for batch in bench.archive.batches] == [50] * 4
    assert await bench.archived() == ids
    assert metrics.ARCHIVED_MESSAGES._value.get() - before == 200
    assert metrics.CONSUMER_LAG.of(AI_EVENTS.name, DURABLE)._value.get() == 0


async def test_a_lone_message_does_not_wait_for_a_batch(bench: ArchiveBench) -> None:
    await bench.start(archive_batch=500, archive_flush=0.05)
    await bench.tell(0)
    assert await wait_until(lambda: bench.archive.batches) < 1


async def test_a_copy_of_a_message_is_stored_and_told_once(bench: ArchiveBench) -> None:
    await bench.start()
    ids = await bench.tell(0)
    await bench.all_finished()
    assert await bench.tell(0, 0, 1) == [*ids * 2, "ann/r0/response_generated"]
    await bench.all_finished()
    assert await bench.archived() == [*ids, "ann/r0/response_generated"]
    await bench.connection.flush()
    # The stream knows a repetition for two minutes only: here it was not even tried.
    assert len(bench.told) == 2


async def test_a_message_that_a_copy_was_stored_of_takes_its_first_place(
    bench: ArchiveBench, message: MakeMessage
) -> None:
    await bench.archive.open()
    await bench.archive.store([message(1), message(9, id="m")])
    assert await bench.archive.store([message(0, id="m")]) == []
    assert await bench.archive.store([message(8, id="m")]) == []
    stored = await bench.archive.messages("ada", "s1")
    assert [(each.id, each.position) for each in stored] == [("m", 0), ("ada/1", 1)]
    assert stored[0].content == message(9).content


async def test_while_the_database_is_away_what_is_held_is_kept_and_no_more_is_taken(bench: ArchiveBench) -> None:
    worker = await bench.start(archive_batch=10, ack_wait=0.6)
    bench.archive.away = True
    ids = await bench.tell(*range(60))
    await wait_until(lambda: "away" in worker.trouble)
    assert not worker.healthy
    held = await bench.consumer()
    assert (held.num_ack_pending, held.num_pending) == (20, 40)
    # Longer than the server would leave them without a sign of life; with growing pauses in between.
    beats = metrics.HEARTBEATS_SENT.of(AI_EVENTS.name, DURABLE)
    before = beats._value.get()
    await wait_until(lambda: beats._value.get() - before >= 6 * 20 and bench.archive.attempts >= 4, timeout=10)
    held = await bench.consumer()
    assert (held.num_ack_pending, held.num_pending, held.num_redelivered) == (20, 40, 0)

    bench.archive.away = False
    await wait_until(lambda: worker.healthy, timeout=10)
    await bench.all_finished()
    assert await bench.archived() == ids
    assert (await bench.consumer()).delivered.consumer_seq == 60
    assert len(bench.told) == 60


async def test_a_commit_that_was_not_heard_of_is_told_once(bench: ArchiveBench) -> None:
    await bench.start()
    bench.archive.forgets_to_answer = True
    ids = await bench.tell(0, 1)
    await bench.all_finished()
    assert await bench.archived() == ids
    assert [str(event.data["message_id"]) for event in await bench.stored_events()] == ids
    assert len(bench.told) == 2


async def test_a_message_that_the_database_refuses_does_not_hold_up_the_others(bench: ArchiveBench) -> None:
    bench.archive.refused = {said(5).id, said(40).id}
    ids = await bench.tell(*range(64))
    await bench.start(archive_batch=64)
    await bench.all_finished()
    assert await bench.archived() == [each for each in ids if each not in bench.archive.refused]
    letters = await bench.dead_letters()
    assert [letter.origin.sequence for letter in letters] == [6, 41]
    assert {(letter.reason, letter.origin.consumer, letter.description) for letter in letters} == {
        ("invalid_request", DURABLE, "The archive refuses a message.")
    }
    told = {str(event.data["message_id"]) for event in await bench.stored_events()}
    assert told == set(ids) - bench.archive.refused


async def test_what_is_no_event_is_given_up_at_once(bench: ArchiveBench) -> None:
    await bench.start()
    await bench.publish(QUESTION, b"\xc1 no MessagePack")
    await bench.publish(ANSWER, encode(said(1, data={})))
    ids = await bench.tell(0)
    await bench.all_finished()
    assert await bench.archived() == ids
    assert [letter.origin.subject for letter in await bench.dead_letters()] == [QUESTION, ANSWER]
    assert (await bench.consumer()).num_redelivered == 0


async def test_what_retention_would_remove_at_once_is_not_archived(bench: ArchiveBench) -> None:
    await bench.start(message_retention_days=3)
    await bench.tell(0, occurred_at=(datetime.now(UTC) - timedelta(days=4)).isoformat())
    ids = await bench.tell(1)
    await bench.all_finished()
    assert await bench.archived() == ids
    assert await bench.dead_letters() == []


async def test_a_run_is_archived_as_its_events_tell_it(bench: ArchiveBench) -> None:
    await bench.start()
    await bench.tell_run("trigger_received", pipeline="two")
    await bench.tell_run("run_created", pipeline="two", engine="argo", run_id="w-1", parameters='{"top-k":5}')
    await bench.tell_run("step_started", run_id="w-1", step="embed")
    await bench.tell_run("step_completed", run_id="w-1", step="embed", succeeded=False)
    await bench.tell_run("run_completed", run_id="w-1", pipeline="two", status="failed", error="It broke.")
    ids = await bench.tell(0)
    await bench.all_finished()
    (run,) = await bench.archive.runs()
    assert (run.request_id, run.run_id, run.pipeline, run.engine) == ("run", "w-1", "two", "argo")
    assert (run.status, run.error, run.parameters) == ("failed", "It broke.", {"top-k": 5})
    assert run.started_at is not None
    assert run.finished_at is not None
    assert run.submitted_at <= run.started_at <= run.finished_at
    assert await bench.archived() == ids
    assert await bench.dead_letters() == []
    assert metrics.CONSUMER_LAG.of(AI_EVENTS.name, DURABLE)._value.get() == 0


async def test_an_event_of_a_run_that_is_delivered_again_changes_nothing(bench: ArchiveBench) -> None:
    first = await bench.start()
    for name in ("run_created", "step_started", "run_completed"):
        await bench.tell_run(name, pipeline="two", status="succeeded")
    await bench.all_finished()
    before = await bench.archive.runs()
    await first.stop(timedelta(seconds=1))
    await bench.delete_consumer()
    # A new consumer has all of the stream delivered once more.
    await bench.start()
    await wait_until(lambda: bench.archive.attempts == 6)
    await bench.all_finished()
    assert await bench.archive.runs() == before


async def test_a_run_is_kept_whose_messages_would_be_too_old(bench: ArchiveBench) -> None:
    await bench.start(message_retention_days=3)
    await bench.tell_run("run_created", occurred_at=(datetime.now(UTC) - timedelta(days=40)).isoformat())
    await bench.all_finished()
    assert [run.request_id for run in await bench.archive.runs()] == ["run"]


async def test_a_run_that_cannot_be_archived_is_given_up(bench: ArchiveBench) -> None:
    bench.archive.refused = {"refused"}
    await bench.start()
    await bench.tell_run("run_created", request_id="refused")
    await bench.tell_run("run_completed", request_id="odd", status="sideways")
    await bench.tell_run("run_created")
    await bench.all_finished()
    assert [run.request_id for run in await bench.archive.runs()] == ["run"]
    letters = {letter.origin.subject: letter.description for letter in await bench.dead_letters()}
    assert letters == {
        PIPELINE_EVENT.format(name="run_created"): "The archive refuses a run.",
        PIPELINE_EVENT.format(name="run_completed"): "The event does not tell how the run ended.",
    }
