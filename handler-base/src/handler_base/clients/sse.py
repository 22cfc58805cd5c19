"""Server-sent events out of bytes as they arrive, cut anywhere."""

from __future__ import annotations

from typing import Final

from handler_base.errors import UpstreamError

__all__ = ["EventStream", "LineStream"]

_LONGEST_LINE: Final = 16 * 1024 * 1024


class LineStream:
    """Splits bytes into lines; a line may end with LF, CRLF or CR."""

    __slots__ = ("_after_return", "_rest", "_size")

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._size = 0
        self._after_return = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are complete now, without their ends.

        Raises:
            UpstreamError: A line is too long to be one.
        """
        if self._after_return and data:
            self._after_return = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_return = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        last = lines.pop()
        if lines and self._rest:
            lines[0] = b"".join((*self._rest, lines[0]))
            self._rest.clear()
            self._size = 0
        if last:
            self._rest.append(last)
            self._size += len(last)
            if self._size > _LONGEST_LINE:
                raise UpstreamError("A model server's answer does not end.")
        return lines

    def end(self) -> list[bytes]:
        """Return what is left as a last line."""
        last = b"".join(self._rest)
        self._rest.clear()
        return [last] if last else []


class EventStream:
    """Reads the data of server-sent events; names, ids and comments are passed over."""

    __slots__ = ("_data", "_lines")

    def __init__(self) -> None:
        self._lines = LineStream()
        self._data: bytes | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """Return the data of the events that are complete now."""
        return self._events(self._lines.feed(data))

    def end(self) -> list[bytes]:
        """Return the data of an event that the end of the stream completes."""
        return self._events([*self._lines.end(), b""])

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events = []
        data = self._data
        for line in lines:
            if line[:5] == b"data:":
                part = line[6:] if line[5:6] == b" " else line[5:]
                data = part if data is None else data + b"\n" + part
            elif not line and data is not None:
                events.append(data)
                data = None
        self._data = data
        return events
