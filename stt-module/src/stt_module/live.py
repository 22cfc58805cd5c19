"""Containers that come in piece by piece, as a browser's recorder sends them.

PyAV reads them as a file, and a file's reader waits for what is not there yet. So each such session has a thread, which
sleeps while there is nothing to read; sessions with raw samples need none.
"""

from __future__ import annotations

import asyncio
import contextlib
from threading import Condition, Thread

from handler_base.errors import FleetError, InternalError, PayloadTooLargeError, UnsupportedFormatError
from stt_module.containers import container_of, samples_of

__all__ = ["LiveDecoder"]

_ENOUGH_TO_TELL = 12
"""Bytes by which a container is known."""

_ENOUGH_TO_BEGIN = {"mp3": 1536}
"""Bytes by which a decoder finds its beginning. An MP3's first frame may tell of the file instead of sounding: one that
comes in two reads is taken for damaged, and the next one is lost with it."""


class _Pipe:
    """Bytes between the loop and the thread. Whoever writes learns when all of it was read and more is wanted."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._changed = Condition()
        self._held = bytearray()
        self._over = self._idle = self._finished = False
        self.settled = asyncio.Event()

    def write(self, audio: bytes, *, over: bool = False) -> None:
        """On the loop: hand bytes on, or say that there are no more."""
        with self._changed:
            if self._finished:
                return
            self.settled.clear()
            self._held += audio
            self._over = self._over or over
            self._changed.notify()

    def read(self, size: int, /) -> bytes:
        """On the thread: see `Source`."""
        with self._changed:
            while not self._held and not self._over:
                self._idle = True
                self._tell()
                self._changed.wait()
                self._idle = False
            piece = bytes(self._held[:size])
            del self._held[:size]
            return piece

    def finish(self) -> None:
        """On the thread: nothing is read any more."""
        with self._changed:
            self._finished = True
            self._held.clear()
            self._tell()

    def _tell(self) -> None:
        # A loop that has closed waits for nothing.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        with self._changed:  # by now there may be more to read
            if self._finished or (self._idle and not self._held and not self._over):
                self.settled.set()


class LiveDecoder:
    """Decodes one session's container while it grows; one call at a time, and `close` at the end.

    Args:
        most_bytes: A piece longer than this, in or out, is refused.
    """

    def __init__(self, *, most_bytes: int = 2**23) -> None:
        self._most = most_bytes
        self._head = b""
        self._pipe: _Pipe | None = None
        self._samples: list[bytes] = []
        self._size = 0
        self._closed = False
        self._failure: FleetError | None = None

    async def feed(self, audio: bytes) -> bytes:
        """Take the next piece; give what it completes as 16 kHz mono.

        Raises:
            InvalidRequestError: It is damaged.
            PayloadTooLargeError: The piece is too long.
            UnsupportedFormatError: It is no container that is read, or PyAV is not installed.
        """
        if self._failure is not None:
            raise self._failure
        if len(audio) > self._most:
            raise PayloadTooLargeError("The audio is too large.")
        if self._pipe is None:
            self._head += audio
            if not self._begins(over=False):
                return b""
            audio, self._head = self._head, b""
        return await self._through(audio)

    async def end(self) -> bytes:
        """The container is over; give what is left. Errors as in `feed`."""
        if self._pipe is None and (self._failure is not None or not self._begins(over=True)):
            return b""
        audio, self._head = self._head, b""
        return await self._through(audio, over=True)

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        if self._pipe is not None:
            self._pipe.write(b"", over=True)

    def _begins(self, *, over: bool) -> bool:
        """Begin to decode once there is enough to begin with; tell whether it did."""
        if len(self._head) < _ENOUGH_TO_TELL:
            return False
        try:
            container = container_of(self._head)
        except UnsupportedFormatError as error:
            self._failure = error
            raise
        if over or len(self._head) >= _ENOUGH_TO_BEGIN.get(container, 0):
            self._start(container)
            return True
        return False

    def _start(self, container: str) -> None:
        self._pipe = pipe = _Pipe(asyncio.get_running_loop())
        Thread(target=self._decode, args=(pipe, container), name="live-audio", daemon=True).start()

    async def _through(self, audio: bytes, *, over: bool = False) -> bytes:
        assert self._pipe is not None  # noqa: S101  # both callers have made sure
        self._pipe.write(audio, over=over)
        await self._pipe.settled.wait()
        if self._failure is not None:
            raise self._failure
        samples, self._samples, self._size = b"".join(self._samples), [], 0
        return samples

    def _decode(self, pipe: _Pipe, container: str) -> None:
        """The thread."""
        try:
            for piece in samples_of(pipe, container, live=True):
                self._samples.append(piece)
                self._size += len(piece)
                if self._size > self._most:
                    raise PayloadTooLargeError("The audio is too long.")
                if self._closed:
                    break
        except FleetError as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001  # whatever a decoder does with such bytes, its session hears of it
            self._failure = InternalError()
            self._failure.__cause__ = error
        finally:
            pipe.finish()
