"""The audio of chunks, whatever it is, as 16 kHz mono."""

from __future__ import annotations

from typing import Final, Protocol

from handler_base.errors import InvalidRequestError, UnsupportedFormatError
from stt_module.heads import entry_of, head_of, newest_of
from stt_module.live import LiveDecoder
from stt_module.pcm import PcmFormat, PcmReader
from stt_module.wav import find_wav, is_wav

__all__ = ["ContainerIntake", "Intake", "RawIntake", "WavIntake", "check_encoding", "open_intake"]

_UNNAMED: Final = 0
_RAW: Final = 1
_KNOWN: Final = (0, 1, 2, 3, 4)
_LONGEST_WAV_HEADER: Final = 4096
_MOST_DECODED: Final = 1 << 20
"""Bytes one chunk may become: 32 s."""

_MAGIC: Final = (b"\x1a\x45\xdf\xa3", b"OggS", b"ID3")
_EBML: Final = _MAGIC[0]
_ENTRY: Final = 3
"""Bytes of a mark by which a decoder can begin that may have come, less than all of them."""


class Intake(Protocol):
    """Reads the chunks of one session, one call at a time."""

    async def feed(self, audio: bytes) -> bytes:
        """Take a chunk; give what it completes.

        Raises:
            FleetError: It cannot be read.
        """

    async def end(self) -> bytes:
        """The audio is over; give what is left.

        Raises:
            FleetError: It cannot be read.
        """

    def close(self) -> None:
        """Let go of everything."""


class RawIntake:
    """Samples without anything around them: no decoder.

    Args:
        layout: How they are laid out.
    """

    def __init__(self, layout: PcmFormat) -> None:
        self._reader = PcmReader(layout)

    async def feed(self, audio: bytes) -> bytes:
        """See `Intake`."""
        return self._reader.feed(audio)

    async def end(self) -> bytes:
        """See `Intake`."""
        return self._reader.flush()

    def close(self) -> None:
        """Nothing is held."""


class WavIntake:
    """A WAV file that grows, or a row of them; its samples need no decoder.

    Attributes:
        layout: Of its samples, once the header was read.
    """

    def __init__(self) -> None:
        self.layout: PcmFormat | None = None
        self._head = b""
        self._reader: PcmReader | None = None

    async def feed(self, audio: bytes) -> bytes:
        """See `Intake`."""
        if self._reader is not None and not is_wav(audio):
            return self._reader.feed(audio)
        before = self._reader.flush() if self._reader is not None else b""
        self._head += audio
        self._reader, samples = self._begin()
        return before + samples

    async def end(self) -> bytes:
        """See `Intake`."""
        if self._reader is None and self._head:
            raise InvalidRequestError("The WAV file is cut off before its samples.")
        return self._reader.flush() if self._reader is not None else b""

    def close(self) -> None:
        """Nothing is held."""

    def _begin(self) -> tuple[PcmReader | None, bytes]:
        """Read the header, once it is there, and the samples behind it."""
        if len(self._head) >= 12 and not is_wav(self._head):
            raise UnsupportedFormatError("Audio must be wav, webm, ogg or mp3.")
        at = self._head.find(b"data")
        if at < 0 or len(self._head) < at + 8:
            if len(self._head) > _LONGEST_WAV_HEADER:
                raise InvalidRequestError("The WAV file has no samples.")
            return None, b""
        # The file grows: what its header says of its length does not hold yet.
        wav = find_wav(self._head[: at + 4] + bytes(4) + self._head[at + 8 :])
        if wav is None:
            raise UnsupportedFormatError("The samples of the WAV file are compressed.")
        self.layout = wav.layout
        reader = PcmReader(wav.layout)
        rest, self._head = self._head[wav.start :], b""
        return reader, reader.feed(rest)


class ContainerIntake:
    """A container that a decoder reads while it grows; one that begins anew is read anew.

    Args:
        head: How it began, where the rest of it comes in the middle.

    Attributes:
        head: How it begins; empty until that is known, and where nobody needs it.
    """

    def __init__(self, head: bytes = b"") -> None:
        self._decoder = LiveDecoder(most_bytes=_MOST_DECODED)
        self._begun = False
        self._joined = head
        self._start: bytes | None = b""
        self._passed = b""
        self._newest = b""
        self.head = head

    @property
    def newest(self) -> bytes:
        """What a decoder that knows how it began reads to get to where this one is."""
        return self._start if self._start is not None else self._newest

    async def feed(self, audio: bytes) -> bytes:
        """See `Intake`."""
        before = b""
        if self._begun and audio[:4] == _EBML:
            before = await self._decoder.end()
            self._decoder.close()
            self._decoder = LiveDecoder(most_bytes=_MOST_DECODED)
            self._start, self._joined, self._newest = b"", b"", b""
        if self._joined and not self._begun and not audio.startswith(_EBML):
            audio = self._entered(audio)
            if not audio:
                return b""
            before = await self._decoder.feed(self._joined)
        self._begun = True
        self._look(audio)
        return before + await self._decoder.feed(audio)

    async def end(self) -> bytes:
        """See `Intake`."""
        return await self._decoder.end()

    def close(self) -> None:
        """End the decoder's thread."""
        self._decoder.close()

    def _entered(self, audio: bytes) -> bytes:
        """Return what comes from the next place on where a decoder can begin; nothing while there is none."""
        self._start = None
        self._passed += audio
        at = entry_of(self._joined, self._passed)
        if at < 0:
            self._passed = self._passed[-_ENTRY:]
            return b""
        entered, self._passed = self._passed[at:], b""
        return entered

    def _look(self, audio: bytes) -> None:
        """Find how it begins, and how it went on lately, for who goes on with it elsewhere."""
        if self._start is None:
            self._newest = newest_of(self.head, self._newest + audio)
            return
        self._start += audio
        head = head_of(self._start)
        if head is not None:
            self.head, self._newest = head, newest_of(head, self._start.removeprefix(head))
            self._start = None


def check_encoding(encoding: int) -> None:
    """Refuse what is no encoding of audio.

    Raises:
        UnsupportedFormatError: There is no such encoding.
    """
    if encoding not in _KNOWN:
        raise UnsupportedFormatError("audio_encoding must be 1 (pcm_s16le), 2 (wav), 3 (ogg or webm) or 4 (mp3).")


def open_intake(encoding: int, layout: PcmFormat, audio: bytes, head: bytes = b"") -> Intake:
    """Return what reads the audio of a session.

    Args:
        encoding: What its client calls it; 0: nothing, so that its first bytes tell.
        layout: Of raw samples.
        audio: How it begins here.
        head: How its container began at the replica that had it before.

    Raises:
        UnsupportedFormatError: There is no such encoding.
    """
    check_encoding(encoding)
    if head:
        return ContainerIntake(head)
    if encoding == _RAW:
        return RawIntake(layout)
    if is_wav(audio):
        return WavIntake()
    if encoding == _UNNAMED and not audio.startswith(_MAGIC):
        return RawIntake(layout)
    return ContainerIntake() if audio[:4] != b"RIFF" else WavIntake()
