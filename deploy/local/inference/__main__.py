"""Starts the local inference server: `python -m deploy.local.inference --port 8000`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

# Read by the libraries when they are imported. One thread a matrix product: the encoder runs several texts at once.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from aiohttp import web

from deploy.local.inference.encoder import MAX_TOKENS, SentenceEncoder
from deploy.local.inference.extractive import ABOUT
from deploy.local.inference.server import ServerOptions, build_app
from deploy.local.inference.speech_engines import Speaker, find_speaker
from deploy.local.inference.transcription_pool import Recognizer, find_recognizer

_CORPUS = str(Path(__file__).parents[1] / "corpus")


def _arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.inference", description=ABOUT)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 picks a free one")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="runs of the encoder at once")
    parser.add_argument("--max-tokens", type=int, default=MAX_TOKENS, help="longest text in tokens, at most 512")
    parser.add_argument(
        "--words-per-second", type=float, default=60.0, help="pace of streamed answers; 0 for no pause (default: 60)"
    )
    parser.add_argument(
        "--words-of",
        default=os.environ.get("LOCAL_CORPUS") or _CORPUS,
        help="documents whose words the recogniser expects beside general English (default: LOCAL_CORPUS, the sample)",
    )
    return parser.parse_args(argv)


def _about_speech(speaker: Speaker | None, recognizer: Recognizer | None) -> str:
    if speaker is None:
        spoken = "nothing speaks (neither flite nor espeak-ng is installed)"
    elif speaker.name == "flite":
        spoken = f"flite speaks (voices {', '.join(speaker.voices)})"
    else:
        spoken = f"{speaker.name} speaks, which pocketsphinx hardly understands; flite is not installed"
    heard = "nothing transcribes (pocketsphinx is not installed)" if recognizer is None else "pocketsphinx transcribes"
    return f"{spoken}; {heard}"


async def _serve(options: argparse.Namespace) -> None:
    encoder = SentenceEncoder(max_tokens=options.max_tokens)
    speaker = await asyncio.to_thread(find_speaker)
    recognizer = await asyncio.to_thread(find_recognizer, Path(options.words_of))
    settings = ServerOptions(
        words_per_second=options.words_per_second, workers=options.workers, speaker=speaker, recognizer=recognizer
    )
    app = build_app(encoder, settings)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    site = web.TCPSite(runner, options.host, options.port)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"local inference server (an extractive stand-in, not a language model) on http://{host}:{port}", flush=True)
    print(_about_speech(speaker, recognizer), flush=True)
    if recognizer is not None:
        recognizer.warm()
    await stop.wait()
    await runner.cleanup()
    if recognizer is not None:
        await recognizer.close()


def main() -> int:
    """Run the server until it is told to stop.

    Returns:
        0, or 1 when the weights are missing or the port is taken; the reason is on stderr in one line.
    """
    options = _arguments()
    try:
        asyncio.run(_serve(options))
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"error: cannot listen on {options.host}:{options.port} ({os.strerror(error.errno or 0).lower()})",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
