"""The long help of each command, with examples."""

from __future__ import annotations

from typing import Final

from handler_base.cli.exit_codes import table

__all__ = [
    "CHAT",
    "DLQ",
    "DLQ_LIST",
    "DLQ_REPLAY",
    "DLQ_SHOW",
    "EVENTS",
    "FLEET",
    "FORGET",
    "HISTORY",
    "INGEST",
    "LISTEN",
    "PIPELINES",
    "PREFS",
    "PUBLISH",
    "RUNS",
    "SAY",
    "STATUS",
    "STREAMS",
    "TALK",
    "TRIGGER",
    "USAGE",
    "VERSION",
    "VOICE",
]


def _help(text: str, *examples: str) -> str:
    """Return paragraphs, each in one line so that the terminal folds it, and examples that keep their lines."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    shown = "\n".join(f"  {example}".replace("[", r"\[") for example in examples)
    return "\n\n".join((*paragraphs, f"\b\n[bold]Examples[/bold]\n{shown}"))


FLEET: Final = (
    _help(
        """Ask the fleet, feed it documents, look at it, read what was said, and repair what it gave up.

Addresses and credentials come from the environment (NATS_URL, NATS_USER, NATS_PASSWORD, NATS_TOKEN, NATS_CREDS,
EMBEDDINGS_URL, MILVUS_HOST, ARCHIVE_URL, REDIS_URL and so on), then from .env in the current folder, then from
.local/env of a stack that `make run` started here or in a folder above.""",
        "make run                                   start everything on this machine",
        "fleet status                               see what answers",
        'fleet chat "When does the first ferry leave?"',
        "fleet voice question.wav -o answer.wav     the same aloud",
        "fleet ingest docs/                         add your own documents",
    )
    + f"\n\n\b\n[bold]Exit codes[/bold]\n{table()}"
)


CHAT: Final = _help(
    """Ask a question and print the answer as it is written, with its sources.

Without a question it becomes a conversation: one session, so that the fleet remembers what was said; /new starts
another, /quit leaves. Lines piped in are asked one after the other. Ctrl-C cancels the running answer.""",
    'fleet chat "How do I reset the pump?"',
    'fleet chat "And what if that fails?" --session ann-1',
    'fleet chat "Summarise the contract" --collection legal --top-k 10 --verbose',
    'fleet chat "Say hello" --no-rag --speak hello.wav',
    'fleet chat "How many?" --json | jq -r .response',
    "fleet chat                                 a conversation",
)

INGEST: Final = _help(
    """Add files and folders (.txt, .md, .html, .pdf) to a collection.

Doing it again changes nothing: documents that are the same are left alone, changed ones are replaced piece by piece.
Embeddings come from EMBEDDINGS_URL; the collection is in Milvus at MILVUS_HOST and MILVUS_PORT.""",
    "fleet ingest docs/ handbook.pdf",
    "fleet ingest docs/ --collection handbook",
    "fleet ingest /srv/docs --root /srv/docs    named the same from anywhere",
    "fleet ingest docs/ --json | jq .failed",
)

STATUS: Final = _help(
    """List the services that answer, with their load and health.""",
    "fleet status",
    "fleet status chat-handler --endpoints      each endpoint",
    "fleet status --json | jq '.[] | {name, in_flight}'",
)

STREAMS: Final = _help(
    """Show the JetStream streams of the contract: present or missing, how full, and who reads them.""",
    "fleet streams",
    "fleet streams --check                      exit code 1 when one differs",
    "fleet streams --json | jq '.[] | select(.present) | .name'",
)

DLQ: Final = _help(
    """Look at work that was given up, and try it again.""",
    "fleet dlq list",
    "fleet dlq show 12",
    "fleet dlq replay 12 13",
    "fleet dlq replay --all --stream COMPANIONS_CHAT",
)

DLQ_LIST: Final = _help(
    """List the dead letters, oldest first.""",
    "fleet dlq list",
    "fleet dlq list --stream COMPANIONS_CHAT --limit 0",
    "fleet dlq list --json",
)

DLQ_SHOW: Final = _help(
    """Print a dead letter as JSON: why it was given up, its headers, and its message decoded.""",
    "fleet dlq show 12",
    "fleet dlq show 12 --save question.msgpack",
)

DLQ_REPLAY: Final = _help(
    """Publish dead letters again on the subjects they came from; each record goes when that is stored.""",
    "fleet dlq replay 12 13",
    "fleet dlq replay --all --consumer chat-handler",
)

PUBLISH: Final = _help(
    """Publish any message of the contract, described in JSON.

The subject tells which message it is; a field that is unknown or of the wrong type is named. Fields of bytes are
written as base64, or as "@FILE", relative to the JSON file. On a subject that a stream captures, the message is
stored before the command ends.""",
    'echo \'{"message": "hi"}\' | fleet publish ai.chat.request - --reply',
    "fleet publish ai.chat.user.ann.message question.json",
    "fleet publish ai.voice.request voice.json --reply --protobuf",
    'echo \'{"audio": "@hi.wav"}\' | fleet publish ai.voice.request - --reply',
)

EVENTS: Final = _help(
    """Print what happened in the fleet, a line an event: the last fifty, or all that --since and -n ask for.

With --follow it goes on with what comes, also when NATS was away meanwhile, until Ctrl-C. Nothing is left behind on
the server, and nobody else sees fewer events.""",
    "fleet events --follow",
    "fleet events --user ann --since 10m",
    "fleet events --domain chat --name response_generated --json | jq .data.latency_ms",
    "fleet events --session ann-1 -n 0          all of a conversation",
)

HISTORY: Final = _help(
    """Print archived conversations: a list of them, one as a dialogue, or what was said about something.

Read from the archive at ARCHIVE_URL.""",
    "fleet history --user ann",
    "fleet history --user ann --session ann-1   what was said",
    "fleet history --search 'seal kit' -n 10",
    "fleet history --session ann-1 --json | jq -r .content",
)

USAGE: Final = _help(
    """Print requests and tokens of the last days, a row for each day (in UTC) and user.

Counted in the archive at ARCHIVE_URL, so days that are no longer kept there are not counted either.""",
    "fleet usage",
    "fleet usage --user ann --days 30",
    "fleet usage --json | jq .completion_tokens",
)

PREFS: Final = _help(
    """Show what a user prefers, or set it and show it. An option set to nothing ('') is unset; --clear unsets all.

Preferences are kept in Valkey at REDIS_URL, until they are changed or the user is forgotten.""",
    "fleet prefs ann",
    "fleet prefs ann --language de --voice alba",
    "fleet prefs ann --no-rag",
    "fleet prefs ann --clear",
)

FORGET: Final = _help(
    """Remove all that is kept of a user: in the streams of NATS, in the archive, and in Valkey. Archived runs of
pipelines stay, without the user's id and the parameters.

It asks first; where there is no terminal it wants --yes. What cannot be reached is told of and the rest is done;
run it again for what is left. What lies in a stream's file is overwritten there, which takes some milliseconds a
message.""",
    "fleet forget ann",
    "fleet forget ann --yes",
)

SAY: Final = _help(
    """Have a text spoken by the tts-module: played as it comes where there is a sound device, and saved with -o.

A file whose name ends with .mp3, .opus or .ogg is of that kind and is not played; any other is wav. --like speaks in
the voice of a recording, where the speech server can. Ctrl-C stops the speech.""",
    'fleet say "The ferry leaves at six."',
    'fleet say "The ferry leaves at six." -o ferry.wav --no-play',
    "fleet say - -o letter.mp3 < letter.md",
    'fleet say "Good morning." --voice slt',
    "fleet say --voices                         who can speak",
)

VOICE: Final = _help(
    """Ask a recorded question (wav, webm or mp3). What was understood, the answer and its sources are printed, then how
long each step took; the spoken answer is played where there is a sound device, and saved with -o as wav.

With --stream text and sound come as they are made, and an answer may be of any length. A recording that is too large
for a message goes through an object store. Ctrl-C cancels the answer.""",
    "fleet voice question.wav -o answer.wav",
    "fleet voice question.webm --stream",
    "fleet voice more.mp3 --session ann-1       belongs to a conversation",
    "fleet voice question.wav --json --no-play | jq -r .transcription",
)

LISTEN: Final = _help(
    """Have sound transcribed by the stt-module while it is spoken: a recording at its own pace, or the microphone until
Ctrl-C.

While somebody speaks, the words that stay are bright and those that may still change are dim; where the output is no
terminal each reading is a line that begins with ~, the words that may change in brackets. A line without ~ is an
utterance for good. wav of 16 bit mono takes nothing else, other recordings PyAV.""",
    "fleet listen                               the microphone",
    "fleet listen lecture.wav --no-partials > lecture.txt",
    "fleet listen talk.webm --language de",
    "fleet listen meeting.wav --json | jq -r 'select(.kind == \"final\") | .transcript'",
)

TALK: Final = _help(
    """Hold a conversation aloud: speak, hear the answer, and interrupt it by speaking. Ctrl-C leaves.

Wear headphones: without them the microphone hears the answer, and the answer interrupts itself. Where there is no sound
device, a recording stands for the microphone, at its own pace: it is listened to, silence follows until all it asked is
answered, and -o saves what was said. What is interrupted is saved as far as it can have been heard.""",
    "fleet talk",
    "fleet talk --session ann-1 --user ann      go on with a conversation",
    "fleet talk --from questions.wav -o answers.wav",
    "fleet talk --from questions.wav --json | jq -r 'select(.kind == \"answer\") | .response'",
)

PIPELINES: Final = _help(
    """List the pipelines that may be triggered, where each runs, and the parameters it takes.""",
    "fleet pipelines",
    "fleet pipelines document-ingestion",
    "fleet pipelines --json | jq -r '.[].name'",
)

TRIGGER: Final = _help(
    """Start a pipeline. Without --follow the command ends when the run is submitted; with it, the run is shown to its
end, and the exit code is 0 only when it succeeded. Ctrl-C leaves the run alone.

The trigger is kept by NATS: it is run once a pipeline-bridge is there, and once only, also when it is sent again with
the same --request-id.""",
    "fleet trigger document-ingestion -p source-url=file:///srv/docs --follow",
    "fleet trigger batch-inference -p questions-url=file:///srv/questions.jsonl -p top-k=3",
    "fleet trigger model-evaluation -p questions-url=file:///srv/gold.jsonl --request-id nightly-7 -f",
    "fleet trigger document-ingestion -p source-url=file:///srv/docs -f --json | jq -r .progress",
)

RUNS: Final = _help(
    """List the runs of the last 30 days, or print the history of one; with --follow to its end, with --cancel after
stopping it. With --archived, what the archive (ARCHIVE_URL) has of runs of any age.""",
    "fleet runs",
    "fleet runs --pipeline document-ingestion --status failed",
    "fleet runs 8f14e45f-ceea-467f-a8d3-4c4f1f2f5a3b --follow",
    "fleet runs nightly-7 --cancel",
    "fleet runs --archived --pipeline model-evaluation -n 100",
    "fleet runs --json | jq -r .request_id",
)

VERSION: Final = "Print the version of the fleet's library and of Python."
